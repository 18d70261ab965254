"""Whether stored weights are those of the model that a config describes, found out before memory is taken for either."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from pyro_vmm.errors import UserError
from pyro_vmm.random_numbers import OwnRandomNumbers


def check_stored_shapes(path: Path, build: Callable[[], tuple[nn.Module, nn.Module]], *, num_layers: int) -> None:
    """Compare names and shapes in the header of ``model.safetensors`` with those of a model without storage.

    A config of a stranger's may claim any size. The file cannot: safetensors refuses a header that claims more than
    the file holds.

    Parameters
    ----------
    path
        The file of weights.
    build
        Makes the model and its guide; called with ``"meta"`` as torch's default device.
    num_layers
        Hidden layers that the config claims; each has weights in the file.

    Raises
    ------
    UserError
        If the file is missing, damaged or of another model.
    """
    mismatch = f"The weights in {path} do not fit the options in config.json beside it: fit again."
    try:
        with safe_open(path, "pt") as file:
            stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path} is missing: fit again, or go on from a checkpoint with --resume.") from None
    except (SafetensorError, OSError):
        raise UserError(f"{path} is damaged or no safetensors file: fit again.") from None
    if num_layers > len(stored):
        raise UserError(mismatch)
    try:
        with OwnRandomNumbers(0), torch.device("meta"):
            modules = zip(("model", "guide"), build(), strict=True)
    except UserError:
        raise
    except (RuntimeError, TypeError, OverflowError, MemoryError):
        raise UserError(mismatch) from None
    expected = {
        f"{owner}.{name}": tuple(t.shape) for owner, module in modules for name, t in module.state_dict().items()
    }
    if stored != expected:
        raise UserError(mismatch)
