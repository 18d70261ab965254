"""Whether a fit went well, in words."""

from pyro_vmm.diagnosis.finding import Diagnosis, Finding

__all__ = ["Diagnosis", "Finding"]
