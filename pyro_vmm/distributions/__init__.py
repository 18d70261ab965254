"""Probability distributions, usable alone in any Pyro model."""

from pyro_vmm.distributions.gaussian_mixture import GaussianMixture
from pyro_vmm.distributions.negative_binomial import NegativeBinomial
from pyro_vmm.distributions.poisson import Poisson
from pyro_vmm.distributions.triangular_normal import TriangularNormal
from pyro_vmm.distributions.zero_inflated_negative_binomial import ZeroInflatedNegativeBinomial

__all__ = ["GaussianMixture", "NegativeBinomial", "Poisson", "TriangularNormal", "ZeroInflatedNegativeBinomial"]
