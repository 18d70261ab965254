"""The core: a fit of any modality, how it comes about, and how it is stored."""

from pyro_vmm.fit.fit import Fit
from pyro_vmm.fit.observed import ObservedFit

__all__ = ["Fit", "ObservedFit"]
