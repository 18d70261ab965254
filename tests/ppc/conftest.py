"""Models of which everything is known, so that what a check should find can be said beforehand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.likelihoods import NegativeBinomial, Normal, Poisson
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.priors import StandardNormal

NUM_FEATURES, LATENT_DIM, NOISE = 12, 2, 0.5


@pytest.fixture(scope="session")
def factor_model() -> tuple[LatentMixtureModel, AmortizedNormal]:
    """Factor analysis, ``x = W z + b + noise``, and its exact posterior."""
    generator = torch.Generator().manual_seed(3)
    loading = torch.randn(NUM_FEATURES, LATENT_DIM, generator=generator)
    intercept = torch.randn(NUM_FEATURES, generator=generator)
    model = LatentMixtureModel(StandardNormal(LATENT_DIM), nn.Linear(LATENT_DIM, NUM_FEATURES), Normal(NOISE))
    covariance = (torch.eye(LATENT_DIM) + loading.T @ loading / NOISE**2).inverse()
    scale = torch.linalg.cholesky(covariance)
    to_mean = covariance @ loading.T / NOISE**2
    encoder = nn.Linear(NUM_FEATURES, AmortizedNormal.num_outputs(LATENT_DIM))
    with torch.no_grad():
        model.decoder.weight.copy_(loading)
        model.decoder.bias.copy_(intercept)
        encoder.weight.zero_()
        encoder.weight[:LATENT_DIM] = to_mean
        encoder.bias[:LATENT_DIM] = -to_mean @ intercept
        encoder.bias[LATENT_DIM : 2 * LATENT_DIM] = scale.diagonal().expm1().log()
        encoder.bias[2 * LATENT_DIM :] = scale[1, 0]
    return model, AmortizedNormal(encoder)


@pytest.fixture(scope="session")
def factor_data(factor_model: tuple[LatentMixtureModel, AmortizedNormal]) -> Tensor:
    """600 observations of that model."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return factor_model[0].fitted(num_observations=600).detach()


class ConstantRate(nn.Module):
    """A decoder that says the same whatever ``z`` is."""

    def __init__(self, log_means: Tensor) -> None:
        super().__init__()
        self.log_means = nn.Parameter(log_means)

    def forward(self, z: Tensor, **covariates: Tensor) -> Tensor:
        return self.log_means.expand(*z.shape[:-1], -1)


class WithoutCovariates(nn.Linear):
    """An encoder that takes covariates and looks at none."""

    def forward(self, x: Tensor, **covariates: Tensor) -> Tensor:
        return super().forward(x)


@pytest.fixture(scope="session")
def constant_counts() -> Callable[[str], dict[str, Any]]:
    """``constant_counts("poisson" | "nb")``: model and guide of counts with known means and inverse dispersion 2."""

    def make(likelihood: str) -> dict[str, Any]:
        decoder = ConstantRate(torch.linspace(-1, 2, NUM_FEATURES))
        overdispersed = NegativeBinomial(NUM_FEATURES)
        overdispersed.inverse_dispersion.start_at(torch.full((NUM_FEATURES,), 2.0))
        chosen = {"poisson": Poisson(), "nb": overdispersed}[likelihood]
        encoder = WithoutCovariates(NUM_FEATURES, AmortizedNormal.num_outputs(LATENT_DIM))
        return {
            "model": LatentMixtureModel(StandardNormal(LATENT_DIM), decoder, chosen),
            "guide": AmortizedNormal(encoder),
        }

    return make


@pytest.fixture(scope="session")
def overdispersed_counts(constant_counts: Callable[[str], dict[str, Any]]) -> Tensor:
    """800 observations of the negative binomial one, ``[800, 12]``."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return constant_counts("nb")["model"].fitted(num_observations=800).detach()
