"""Priors over the latent space: interchangeable, each one file."""

from pyro_vmm.priors.base import Prior
from pyro_vmm.priors.gaussian_mixture import GaussianMixture
from pyro_vmm.priors.mixture import PRIOR_WEIGHT, MixturePrior
from pyro_vmm.priors.pseudo_inputs import PseudoInputs
from pyro_vmm.priors.standard_normal import StandardNormal
from pyro_vmm.priors.vamp_mixture import VampMixture
from pyro_vmm.priors.vamp_prior import VampPrior
from pyro_vmm.priors.weights import MixtureWeights, StickBreaking, SymmetricDirichlet

__all__ = [
    "PRIOR_WEIGHT",
    "GaussianMixture",
    "MixturePrior",
    "MixtureWeights",
    "Prior",
    "PseudoInputs",
    "StandardNormal",
    "StickBreaking",
    "SymmetricDirichlet",
    "VampMixture",
    "VampPrior",
]
