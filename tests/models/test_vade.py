"""VaDE: its estimator, its preparation, and that it clusters."""

from typing import cast

import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from pyro_vmm.errors import UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.likelihoods import Normal
from pyro_vmm.models import VaDE, VaDEObjective
from pyro_vmm.networks import MLPDecoder, MLPEncoder


def pair(dtype: torch.dtype = torch.float32) -> tuple[VaDE, AmortizedNormal]:
    torch.manual_seed(0)
    guide = AmortizedNormal(MLPEncoder(6, (32,), num_outputs=AmortizedNormal.num_outputs(2, "diagonal")), "diagonal")
    model = VaDE(2, 4, MLPDecoder(2, (32,), num_outputs=6), Normal())
    return model.to(dtype), guide.to(dtype)


@pytest.fixture(scope="module")
def blobs() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = make_blobs(400, n_features=6, centers=4, cluster_std=0.7, random_state=0)
    return torch.from_numpy((x - x.mean(0)) / x.std(0)).float(), torch.from_numpy(y)


def test_with_one_component_the_estimator_is_the_elbo() -> None:
    """The inner expectation in closed form and the sampled one agree; only Monte Carlo error is left."""
    model, guide = pair(torch.float64)
    model.prior.mixture_weights.set_weights(torch.tensor([1 - 3e-12, 1e-12, 1e-12, 1e-12], dtype=torch.float64))
    x = torch.randn(5, 6, dtype=torch.float64).repeat(4000, 1)
    torch.manual_seed(1)
    own = -model.negative_elbo(guide, x)
    torch.manual_seed(1)
    summed = -Trace_ELBO().differentiable_loss(model.fitted, guide.forward, x) / len(x)
    assert abs(own.item() - summed.item()) < 0.05


class NarrowGuide:
    """Of nearly exact posteriors at two entries of the observations."""

    def posterior(self, x: torch.Tensor) -> dist.Independent:
        return dist.Normal(x[:, :2], 1e-6).to_event(1)


def test_with_exact_posteriors_the_estimator_sums_the_components_out() -> None:
    """Whichever the responsibilities: what the assignment has in entropy it must not lose."""
    model, _ = pair(torch.float64)
    with torch.no_grad():
        model.prior.loc.copy_(torch.randn(4, 2, dtype=torch.float64))
    guide, x = NarrowGuide(), torch.randn(8, 6, dtype=torch.float64)
    z, posterior = x[:, :2], guide.posterior(x)
    assert model.prior.responsibilities(z).max(-1).values.min() < 0.9
    expected = model.log_likelihood(x, z) + model.prior.distribution().log_prob(z) + posterior.entropy()
    found = model.negative_elbo(cast(AmortizedNormal, guide), x)
    assert found.item() == pytest.approx(-expected.mean().item(), abs=1e-3)


def test_prior_is_fitted_by_the_elbo() -> None:
    model, guide = pair()
    svi = EmpiricalBayesSVI(model, guide, loss=VaDEObjective(model, guide))
    assert "prior.loc" in svi.partition.elbo
    assert not svi.partition.prior
    before = model.prior.loc.detach().clone()
    svi.step(torch.randn(16, 6))
    assert not torch.equal(before, model.prior.loc)


def test_pretraining_lowers_the_error_and_the_start_is_the_latents_mixture(
    blobs: tuple[torch.Tensor, torch.Tensor],
) -> None:
    x, _ = blobs
    model, guide = pair()
    losses = model.pretrain(guide, x, epochs=20, batch_size=64, learning_rate=5e-3)
    assert losses[-1] < losses[0] - 0.5
    model.start_mixture(guide, x)
    means = guide.posterior(x).mean.detach()
    torch.testing.assert_close(model.prior.weights @ model.prior.centres, means.mean(0), atol=2e-3, rtol=1e-3)
    assert (
        model.prior.covariances - torch.diag_embed(model.prior.covariances.diagonal(dim1=-2, dim2=-1))
    ).abs().max() < 1e-6
    with pytest.raises(UserError, match="epochs"):
        model.pretrain(guide, x, epochs=0)


def test_it_clusters(blobs: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = blobs
    model, guide = pair()
    model.pretrain(guide, x, epochs=30, batch_size=64, learning_rate=5e-3)
    model.start_mixture(guide, x)
    svi = EmpiricalBayesSVI(model, guide, optim=2e-3, loss=VaDEObjective(model, guide))
    for _ in range(20):
        for rows in torch.randperm(len(x)).split(64):
            svi.step(x[rows])
    clusters = model.prior.responsibilities(guide.posterior(x).mean).argmax(-1)
    assert adjusted_rand_score(y, clusters) > 0.9
