"""Generative models, as Pyro model functions."""

from pyro_vmm.models.count_mixture import CountMixtureModel
from pyro_vmm.models.latent_mixture import LatentMixtureModel
from pyro_vmm.models.vade import VaDE, VaDEObjective

__all__ = ["CountMixtureModel", "LatentMixtureModel", "VaDE", "VaDEObjective"]
