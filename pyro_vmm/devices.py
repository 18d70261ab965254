"""Which device to use."""

import torch

from pyro_vmm.errors import Option, UserError
from pyro_vmm.plain_values import plain


def choose_device(name: str | torch.device, option: str = "device") -> torch.device:
    """``"auto"`` (CUDA where there is one, else the CPU), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``, or torch's object for one.

    ``option`` is what messages call the choice.

    Raises
    ------
    UserError
        For another name, or CUDA where torch finds none.
    """
    name = plain(name)
    if not isinstance(name, str):
        raise UserError("is not known: choose 'auto', 'cpu' or 'cuda'.", option=Option(option, name))
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise UserError("is not known: choose 'auto', 'cpu' or 'cuda'.", option=Option(option, name))
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(Option(option, name), ", but torch finds no CUDA device here: choose 'auto' or 'cpu'.")
    try:
        return torch.device(name)
    except RuntimeError:
        raise UserError("is not known: choose 'auto', 'cpu' or 'cuda'.", option=Option(option, name)) from None


def resident(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """``x`` on the device when it takes less than half of what is free there; else left where it is."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return x.to(device) if x.numel() * x.element_size() < free // 2 else x.pin_memory()
    return x.to(device)
