"""Deep latent variable models with a Dirichlet-process VampPrior mixture prior (VMM), in Pyro.

``VMM`` fits arrays as scikit-learn does, ``SingleCellVMM`` an AnnData of counts as scverse does: two faces of a ``fit``.
``modalities`` say what its data are, ``observations`` where they lie. ``models``, ``guides``, ``priors``, ``likelihoods`` and
``infer`` are the pieces to build one's own from. Everything is imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_vmm import (
        clustering,
        diagnosis,
        distributions,
        fit,
        guides,
        infer,
        likelihoods,
        modalities,
        models,
        networks,
        observations,
        options,
        plotting,
        ppc,
        priors,
        scoring,
        training,
    )
    from pyro_vmm.errors import UserError
    from pyro_vmm.single_cell import SingleCellVMM
    from pyro_vmm.vmm import VMM

__version__ = "0.1.0"
__all__ = [
    "VMM",
    "SingleCellVMM",
    "UserError",
    "clustering",
    "diagnosis",
    "distributions",
    "fit",
    "guides",
    "infer",
    "likelihoods",
    "modalities",
    "models",
    "networks",
    "observations",
    "options",
    "plotting",
    "ppc",
    "priors",
    "scoring",
    "training",
]
_OBJECTS = {"VMM": "pyro_vmm.vmm", "SingleCellVMM": "pyro_vmm.single_cell", "UserError": "pyro_vmm.errors"}


def __getattr__(name: str) -> Any:
    if name in _OBJECTS:
        return getattr(import_module(_OBJECTS[name]), name)
    if name in __all__:
        return import_module(f"pyro_vmm.{name}")
    raise AttributeError(f"module 'pyro_vmm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
