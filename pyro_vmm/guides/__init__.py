"""Amortised guides: from observations to distributions over their latents."""

from pyro_vmm.guides.amortized_counts import AmortizedCounts
from pyro_vmm.guides.amortized_normal import AmortizedNormal

__all__ = ["AmortizedCounts", "AmortizedNormal"]
