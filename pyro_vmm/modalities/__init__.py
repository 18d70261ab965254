"""What data are: one file a modality."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyro_vmm.modalities.registry import known, named, recognised, register

if TYPE_CHECKING:
    from pyro_vmm.modalities.base import Modality
    from pyro_vmm.modalities.inputs import Input

__all__ = ["Input", "Modality", "known", "named", "recognised", "register"]
_OBJECTS = {"Input": "pyro_vmm.modalities.inputs", "Modality": "pyro_vmm.modalities.base"}


def __getattr__(name: str) -> Any:
    # The command lists the modalities of other packages in its help, for which torch need not be loaded.
    if name in _OBJECTS:
        return getattr(import_module(_OBJECTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
