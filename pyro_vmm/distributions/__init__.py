"""Probability distributions, usable alone in any Pyro model."""

from pyro_vmm.distributions.gaussian_mixture import GaussianMixture

__all__ = ["GaussianMixture"]
