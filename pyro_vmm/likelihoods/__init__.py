"""Likelihoods: small objects from decoder outputs to a distribution over an observation."""

from pyro_vmm.likelihoods.base import Likelihood
from pyro_vmm.likelihoods.bernoulli import Bernoulli
from pyro_vmm.likelihoods.continuous_bernoulli import ContinuousBernoulli
from pyro_vmm.likelihoods.named import NAMED, make_likelihood
from pyro_vmm.likelihoods.normal import Normal

__all__ = ["NAMED", "Bernoulli", "ContinuousBernoulli", "Likelihood", "Normal", "make_likelihood"]
