"""Generative models, as Pyro model functions."""

from pyro_vmm.models.latent_mixture import LatentMixtureModel
from pyro_vmm.models.vade import VaDE, VaDEObjective

__all__ = ["LatentMixtureModel", "VaDE", "VaDEObjective"]
