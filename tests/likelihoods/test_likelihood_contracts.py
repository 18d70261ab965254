"""Every likelihood of the library, and a user's own, keeps the contract."""

import math

import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_vmm import UserError
from pyro_vmm.likelihoods import (
    NAMED,
    Bernoulli,
    ContinuousBernoulli,
    Likelihood,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    ZeroInflatedNegativeBinomial,
    make_likelihood,
)
from pyro_vmm.testing import LikelihoodContract


class TestBernoulli(LikelihoodContract):
    def make_likelihood(self, num_features):
        return Bernoulli()

    def values(self):
        return torch.tensor([0.0, 1.0])


class TestBernoulliOfBlocks(LikelihoodContract):
    normalised = False

    def make_likelihood(self, num_features):
        return Bernoulli(pixels_per_feature=16)

    def values(self):
        return torch.arange(17) / 16.0


class TestContinuousBernoulli(LikelihoodContract):
    def make_likelihood(self, num_features):
        return ContinuousBernoulli()


class TestNormal(LikelihoodContract):
    def make_likelihood(self, num_features):
        return Normal(initial_scale=0.5)


class TestStudentT(LikelihoodContract):
    def make_likelihood(self, num_features):
        return StudentT(initial_scale=0.5)


class CountContract(LikelihoodContract):
    def values(self):
        return torch.arange(2000)


class TestPoisson(CountContract):
    def make_likelihood(self, num_features):
        return Poisson()


class TestNegativeBinomial(CountContract):
    def make_likelihood(self, num_features):
        return NegativeBinomial(num_features)


class TestZeroInflatedNegativeBinomial(CountContract):
    def make_likelihood(self, num_features):
        return ZeroInflatedNegativeBinomial(num_features)


class TestNegativeBinomialOfLibrariesAndBatches(CountContract):
    def make_likelihood(self, num_features):
        likelihood = NegativeBinomial(num_features, num_batches=2)
        nn.init.normal_(likelihood.inverse_dispersion.log_value, mean=1.0, std=0.3)
        return likelihood

    def covariates(self, num_observations):
        library_size = 10.0 + torch.arange(num_observations, dtype=torch.get_default_dtype())
        return {"library_size": library_size, "batch": torch.eye(2).repeat(10, 1)[:num_observations]}


class Cauchy(Likelihood):
    """A user's own likelihood: two outputs a feature, a parameter a feature, no mean."""

    outputs_per_feature = 2

    def __init__(self, num_features):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(num_features))

    def forward(self, outputs, **covariates):
        loc, log_scale = outputs.chunk(2, -1)
        scale = nn.functional.softplus(log_scale) + self.log_scale.exp()
        return dist.Cauchy(loc, scale, validate_args=False).to_event(1)


class TestAUsersCauchy(LikelihoodContract):
    has_mean = False

    def make_likelihood(self, num_features):
        return Cauchy(num_features)


class Counts(Likelihood):
    """A user's own likelihood of counts, given each observation's library size."""

    data_range = (0.0, math.inf)

    def forward(self, outputs, *, library_size):
        return dist.Poisson(library_size * outputs.softmax(-1), validate_args=False).to_event(1)


class TestAUsersCounts(LikelihoodContract):
    def make_likelihood(self, num_features):
        return Counts()

    def covariates(self, num_observations):
        return {"library_size": 10.0 + torch.arange(num_observations, dtype=torch.get_default_dtype()).unsqueeze(-1)}

    def values(self):
        return torch.arange(200)


class Halved(Normal):
    def forward(self, outputs, **covariates):
        class Broken(dist.Normal):
            def log_prob(self, value):
                return super().log_prob(value) - math.log(2.0)

        return Broken(outputs, self.scale, validate_args=False).to_event(1)


class Shifted(Normal):
    def forward(self, outputs, **covariates):
        class Broken(dist.Normal):
            def sample(self, sample_shape=torch.Size()):
                return super().sample(sample_shape) + 0.1

        return Broken(outputs, self.scale, validate_args=False).to_event(1)


class OutOfRange(Normal):
    data_range = (0.0, 1.0)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Halved, "test_density_of_one_feature_sums_to_one"),
        (Shifted, "test_samples_have_the_mean"),
        (OutOfRange, "test_samples_lie_in_the_data_range"),
    ],
)
def test_the_contract_sees_a_broken_likelihood(broken, test):
    class Contract(LikelihoodContract):
        def make_likelihood(self, num_features):
            return broken()

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()


def test_grey_values_are_probabilities_of_ink():
    """The Bernoulli log-likelihood of a grey value is the expected one over its binarisations."""
    torch.manual_seed(0)
    outputs, grey = torch.randn(3), torch.rand(3)
    found = Bernoulli()(outputs).log_prob(grey)
    p = outputs.sigmoid()
    torch.testing.assert_close(found, (grey * p.log() + (1.0 - grey) * (1.0 - p).log()).sum())


def test_blocks_have_the_likelihood_of_their_pixels():
    torch.manual_seed(0)
    outputs, bitmap = torch.randn(3), torch.rand(3, 16).round()
    of_blocks = Bernoulli(pixels_per_feature=16)(outputs).log_prob(bitmap.mean(-1))
    of_pixels = Bernoulli()(outputs.repeat_interleave(16)).log_prob(bitmap.flatten())
    torch.testing.assert_close(of_blocks, of_pixels)
    variance = Bernoulli(pixels_per_feature=16)(outputs).sample((20_000,)).var(0)
    torch.testing.assert_close(Bernoulli(pixels_per_feature=16)(outputs).variance, variance, rtol=0.1, atol=0.0)


def test_normal_scale_starts_where_asked_and_stays_above_its_minimum():
    likelihood = Normal(initial_scale=0.3, minimum_scale=0.01)
    torch.testing.assert_close(likelihood.scale.detach(), torch.tensor(0.3))
    with torch.no_grad():
        likelihood.log_scale.fill_(-1e4)
    torch.testing.assert_close(likelihood.scale.detach(), torch.tensor(0.01))


def test_names_stand_for_their_classes():
    for name, kind in NAMED.items():
        assert type(make_likelihood(name, num_features=3)) is kind
    given = Bernoulli()
    assert make_likelihood(given) is given
    assert make_likelihood("bernoulli", pixels_per_feature=16).pixels_per_feature == 16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_likelihood("gauss"), "likelihood='gauss' is not known: choose one of 'bernoulli'"),
        (
            lambda: make_likelihood("normal", width=2),
            "likelihood='normal' has no option 'width': it takes 'initial_scale'",
        ),
        (lambda: Bernoulli(pixels_per_feature=0), "pixels_per_feature is 0"),
        (lambda: Normal(initial_scale=0.1, minimum_scale=0.2), "initial_scale 0.1 and minimum_scale 0.2"),
        (lambda: Normal(minimum_scale=0.0), "minimum_scale is 0.0"),
        (
            lambda: make_likelihood("nb"),
            r"likelihood='nb' needs the number of features.*NegativeBinomial\(num_features\)",
        ),
        (lambda: make_likelihood("zinb", num_features=2, width=2), "likelihood='zinb' has no option 'width'"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
