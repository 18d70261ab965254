"""Generative models, as Pyro model functions."""

from pyro_vmm.models.latent_mixture import LatentMixtureModel

__all__ = ["LatentMixtureModel"]
