"""The amortised guide, and a user's own encoders under it, keep the contract."""

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch import nn
from torch.distributions import kl_divergence

from pyro_vmm import UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.likelihoods import Normal
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks import MLPEncoder
from pyro_vmm.priors import StandardNormal
from pyro_vmm.testing import GuideContract

both = pytest.mark.parametrize("covariance", ["full", "diagonal"])


class TestFullCovariance(GuideContract):
    def make_guide(self):
        outputs = AmortizedNormal.num_outputs(self.latent_dim)
        return AmortizedNormal(MLPEncoder(self.num_features, (8,), num_outputs=outputs))


class TestDiagonalCovariance(GuideContract):
    def make_guide(self):
        encoder = MLPEncoder(self.num_features, (8,), num_outputs=2 * self.latent_dim, normalization="layer")
        return AmortizedNormal(encoder, covariance="diagonal")


class TestOneDimension(GuideContract):
    latent_dim = 1

    def make_guide(self):
        return AmortizedNormal(nn.Linear(self.num_features, 2), covariance="full")


class EncoderWithCovariate(nn.Module):
    """A user's own encoder."""

    def __init__(self, num_features, num_outputs):
        super().__init__()
        self.linear, self.shift = nn.Linear(num_features, num_outputs), nn.Linear(2, num_outputs)

    def forward(self, x, *, batch):
        return self.linear(x) + self.shift(batch)


class TestCovariates(GuideContract):
    def make_guide(self):
        return AmortizedNormal(EncoderWithCovariate(self.num_features, AmortizedNormal.num_outputs(self.latent_dim)))

    def covariates(self, num):
        return {"batch": torch.eye(2)[torch.arange(num) % 2]}


@both
def test_gaussian_fills_its_outputs_in_the_documented_order(covariance):
    outputs = torch.tensor([[1.0, 2.0, 3.0, -1.0, 0.0, 1.0, 7.0, 8.0, 9.0]])[:, : 9 if covariance == "full" else 6]
    loc, scale_tril = AmortizedNormal(nn.Identity(), covariance).location_and_scale_tril(outputs)
    torch.testing.assert_close(loc, torch.tensor([[1.0, 2.0, 3.0]]))
    diagonal = nn.functional.softplus(torch.tensor([-1.0, 0.0, 1.0])) + 1e-4
    expected = diagonal.diag()
    if covariance == "full":
        expected[1, 0], expected[2, 0], expected[2, 1] = 7.0, 8.0, 9.0
    torch.testing.assert_close(scale_tril[0], expected)


@both
def test_scales_stay_positive_at_extreme_outputs(covariance):
    num_outputs = AmortizedNormal.num_outputs(3, covariance)
    outputs = torch.full((2, num_outputs), -1e4, requires_grad=True)
    posterior = AmortizedNormal(nn.Identity(), covariance).posterior(outputs)
    log_prob = posterior.log_prob(posterior.rsample())
    assert log_prob.isfinite().all()
    assert torch.autograd.grad(log_prob.sum(), outputs)[0].isfinite().all()


@pytest.mark.parametrize(
    ("covariance", "width", "formula"),
    [
        ("full", 1, r"D \+ D \(D \+ 1\) / 2"),
        ("full", 8, r"D \+ D \(D \+ 1\) / 2"),
        ("full", 10, r"D \+ D \(D \+ 1\) / 2"),
        ("diagonal", 1, "2 D"),
        ("diagonal", 7, "2 D"),
    ],
)
def test_a_wrong_encoder_width_is_named(covariance, width, formula):
    guide = AmortizedNormal(nn.Linear(4, width), covariance)
    for call in (guide, guide.posterior, guide.location_and_scale_tril):
        with pytest.raises(
            UserError, match=rf"encoder gives {width} numbers .*a {covariance} covariance needs {formula}"
        ):
            call(torch.rand(2, 4))


@both
@pytest.mark.parametrize("latent_dim", [1, 2, 3, 10, 50])
def test_every_right_width_is_known(covariance, latent_dim):
    outputs = torch.zeros(2, AmortizedNormal.num_outputs(latent_dim, covariance))
    loc, _ = AmortizedNormal(nn.Identity(), covariance).location_and_scale_tril(outputs)
    assert loc.shape == (2, latent_dim)


def test_unknown_covariance():
    with pytest.raises(UserError, match="covariance='tied' is not known"):
        AmortizedNormal(nn.Identity(), covariance="tied")


@both
def test_closed_form_kl_against_the_standard_normal_agrees_with_monte_carlo(covariance):
    torch.manual_seed(0)
    num_outputs = AmortizedNormal.num_outputs(3, covariance)
    guide = AmortizedNormal(nn.Linear(4, num_outputs), covariance).double()
    prior = StandardNormal(3).double()
    with torch.no_grad():
        posterior = guide.posterior(torch.randn(5, 4, dtype=torch.float64))
        for standard in (prior.distribution(), prior.distribution().expand([5])):
            closed = kl_divergence(posterior, standard)
            assert closed.shape == (5,)
            z = posterior.sample((20_000,))
            draws = posterior.log_prob(z) - prior.log_prob(z)
            assert ((draws.mean(0) - closed).abs() < 5.0 * draws.std(0) / 20_000**0.5).all()


@both
def test_elbo_with_the_closed_form_kl_agrees_with_the_sampled_one(covariance):
    torch.manual_seed(0)
    num_outputs = AmortizedNormal.num_outputs(2, covariance)
    guide = AmortizedNormal(nn.Linear(4, num_outputs), covariance)
    model = LatentMixtureModel(StandardNormal(2), nn.Linear(2, 4), Normal())
    x = torch.randn(6, 4)
    with torch.no_grad():
        found = []
        for kind in (TraceMeanField_ELBO, Trace_ELBO):
            elbo = kind(num_particles=500, vectorize_particles=True, max_plate_nesting=1)
            found.append(torch.tensor([elbo.loss(model.fitted, guide, x) for _ in range(30)]))
    error = sum(draws.var() / len(draws) for draws in found).sqrt()
    assert (found[0].mean() - found[1].mean()).abs() < 5.0 * error
    assert not list(pyro.get_param_store().keys())
