"""Weights of a model and its guide beside the configuration that they belong to."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import nn

from pyro_vmm.atomic_writing import write_together
from pyro_vmm.errors import UserError


def write_model(directory: Path, config: dict[str, Any], model: nn.Module, guide: nn.Module, prefix: str = "") -> None:
    """Write ``config.json`` and the weights of model and guide, ``model.safetensors``, each atomically.

    ``prefix`` comes before both names.

    Raises
    ------
    UserError
        If the folder cannot be made or written.
    """
    tensors = {
        f"{owner}.{name}": tensor.detach().cpu().contiguous().clone()
        for owner, module in (("model", model), ("guide", guide))
        for name, tensor in module.state_dict().items()
    }
    content = save_tensors(tensors)
    # One may be of an earlier fit, if we are killed between writing the two.
    config = config | {"weights_sha256": hashlib.sha256(content).hexdigest()}
    files = {
        directory / f"{prefix}model.safetensors": content,
        directory / f"{prefix}config.json": json.dumps(config, indent=1).encode(),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_together(files)
    except OSError as error:
        raise UserError(f"{directory} cannot be written ({error.strerror}): choose another folder.") from error


def load_weights(model: nn.Module, guide: nn.Module, path: Path, sha256: str | None = None) -> None:
    """Read the weights that :func:`write_model` wrote into a model and a guide of the same options.

    ``sha256`` is their checksum in ``config.json``; the first weeks' models have none.

    Raises
    ------
    UserError
        If the file is missing or damaged, or its weights are of another model.
    """
    try:
        tensors = load_file(path)
        with path.open("rb") as file:
            whole = sha256 in (None, hashlib.file_digest(file, "sha256").hexdigest())
    except FileNotFoundError:
        raise UserError(f"{path} is missing: fit again, or go on from a checkpoint with --resume.") from None
    except (SafetensorError, OSError):
        raise UserError(f"{path} is damaged or no safetensors file: fit again.") from None
    if not whole:
        raise UserError(
            f"{path} is damaged or of another fit than config.json beside it (its checksum does not match): fit again, or "
            "go on from a checkpoint with --resume."
        )
    for owner, module in (("model", model), ("guide", guide)):
        prefix = owner + "."
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        try:
            module.load_state_dict(own)
        except RuntimeError:
            raise UserError(
                f"The weights in {path} do not fit the options in config.json beside it: fit again."
            ) from None
        module.eval()
