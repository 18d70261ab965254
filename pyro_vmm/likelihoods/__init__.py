"""Likelihoods: small objects from decoder outputs to a distribution over an observation."""

from pyro_vmm.likelihoods.base import Likelihood
from pyro_vmm.likelihoods.bernoulli import Bernoulli
from pyro_vmm.likelihoods.continuous_bernoulli import ContinuousBernoulli
from pyro_vmm.likelihoods.counts import CountLikelihood
from pyro_vmm.likelihoods.named import NAMED, make_likelihood
from pyro_vmm.likelihoods.negative_binomial import NegativeBinomial
from pyro_vmm.likelihoods.normal import Normal
from pyro_vmm.likelihoods.poisson import Poisson
from pyro_vmm.likelihoods.student_t import StudentT
from pyro_vmm.likelihoods.zero_inflated_negative_binomial import ZeroInflatedNegativeBinomial

__all__ = [
    "NAMED",
    "Bernoulli",
    "ContinuousBernoulli",
    "CountLikelihood",
    "Likelihood",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "StudentT",
    "ZeroInflatedNegativeBinomial",
    "make_likelihood",
]
