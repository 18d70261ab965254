import copy

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from pyro_vmm import UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.networks import MLPEncoder
from pyro_vmm.priors import GaussianMixture, PseudoInputs, VampMixture, VampPrior

DIM, COMPONENTS, FEATURES = 2, 5, 4


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def make_guide(**options):
    return AmortizedNormal(MLPEncoder(FEATURES, (16,), num_outputs=AmortizedNormal.num_outputs(DIM), **options))


def make_mixture(guide, centre_uncertainty="expected", **options):
    return VampMixture(DIM, guide, torch.randn(COMPONENTS, FEATURES), centre_uncertainty=centre_uncertainty, **options)


def priors_of(guide):
    return [
        make_mixture(guide),
        VampPrior(DIM, guide, torch.randn(COMPONENTS, FEATURES)),
    ]


def moved(prior):
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return prior


@pytest.mark.parametrize("centre_uncertainty", ["none", "integrated", "expected"])
def test_density_has_the_centres_integrated_out_or_as_points(centre_uncertainty):
    guide = make_guide().double()
    prior = moved(make_mixture(guide, centre_uncertainty).double())
    u, _ = prior.encoded_centres.pseudo_inputs()
    mean, scale = guide.location_and_scale_tril(u)
    cholesky = prior.precisions.cholesky()
    covariances = torch.linalg.inv(cholesky @ cholesky.mT)
    if centre_uncertainty != "none":
        covariances = covariances + scale @ scale.mT
    expected = MixtureSameFamily(Categorical(prior.weights), MultivariateNormal(mean, covariances))
    z = 2.0 * torch.randn(30, DIM, dtype=torch.float64)
    torch.testing.assert_close(prior.log_prob(z), expected.log_prob(z))
    torch.testing.assert_close(prior.centres, mean)
    torch.testing.assert_close(prior.covariances, covariances)


def test_expected_log_prob_is_the_mean_over_the_centres():
    guide = make_guide().double()
    prior = moved(make_mixture(guide).double())
    z = torch.randn(3, DIM, dtype=torch.float64)
    with torch.no_grad():
        loc, scale = prior.centre_posterior()
        mu = MultivariateNormal(loc, scale_tril=scale).sample((40_000,))
        cholesky = prior.precisions.cholesky()
        draws = MultivariateNormal(mu, precision_matrix=cholesky @ cholesky.mT).log_prob(z[:, None, None])  # [3, S, K]
        of_centres = MultivariateNormal(torch.zeros_like(loc), torch.eye(DIM, dtype=loc.dtype)).log_prob(mu)
        for found, sampled in (
            (prior.expected_component_log_prob(z), draws.transpose(0, 1)),
            (prior.centres_log_prob(), of_centres),
        ):
            error = sampled.std(0) / 200.0
            assert ((found - sampled.mean(0)).abs() < 5.0 * error).all()


def test_e_step_is_the_softmax_of_the_expected_log_joint():
    prior = moved(make_mixture(make_guide()))
    z = torch.randn(6, DIM)
    joint = prior.weights.log() + prior.expected_component_log_prob(z)
    torch.testing.assert_close(prior.responsibilities(z), joint.softmax(-1))


@pytest.mark.parametrize("centre_uncertainty", ["none", "integrated"])
def test_empirical_bayes_step_fits_the_density_of_the_elbo_and_assigns_by_it(centre_uncertainty):
    """One objective in both steps: ``-log p(z)``; the paper's have two."""
    z = torch.randn(20, DIM, dtype=torch.float64)
    prior = moved(make_mixture(make_guide().double(), centre_uncertainty, inference="mle").double())
    torch.testing.assert_close(prior.responsibilities(z), prior.distribution().responsibilities(z))
    parameters = list(prior.parameters())
    found = torch.autograd.grad(prior.empirical_bayes_loss(z), parameters)
    torch.testing.assert_close(found, torch.autograd.grad(-prior.log_prob(z).mean(), parameters))
    paper = moved(make_mixture(make_guide().double(), "expected", inference="mle").double())
    assert not torch.allclose(paper.responsibilities(z), paper.distribution().responsibilities(z), atol=1e-3)


class TellsNothing(nn.Module):
    """An encoder of codes that tell nothing of ``x``: all have mean 0 and standard deviation 1."""

    def location_and_scale_tril(self, x):
        return x.new_zeros(len(x), DIM), torch.eye(DIM).to(x).expand(len(x), -1, -1)


@pytest.mark.parametrize(("centre_uncertainty", "variance"), [("none", 1.0), ("integrated", 1.0), ("expected", 3.0)])
def test_prior_of_codes_that_tell_nothing(centre_uncertainty, variance):
    """As wide as the codes, or they widen to meet it, and it them, as long as training lasts: the paper's is three times."""
    prior = VampMixture(
        DIM, TellsNothing(), torch.zeros(1, FEATURES), centre_uncertainty=centre_uncertainty, inference="mle"
    )
    z = torch.randn(100_000, DIM)
    optimizer = torch.optim.Adam(prior.precisions.parameters(), lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        prior.empirical_bayes_loss(z).backward()
        optimizer.step()
    torch.testing.assert_close(prior.covariances[0].detach(), variance * torch.eye(DIM), rtol=0.0, atol=0.03)


def test_unknown_centre_uncertainty():
    with pytest.raises(UserError, match="centre_uncertainty='some' is not known: choose 'none', 'integrated' or"):
        make_mixture(make_guide(), "some")


@pytest.mark.parametrize("which", [0, 1])
def test_centres_come_from_the_encoder_in_evaluation_mode(which):
    guide = make_guide(normalization="batch", dropout=0.5)
    guide.encoder(10.0 * torch.randn(50, FEATURES))
    guide.eval()
    prior = priors_of(guide)[which]
    z, running = torch.randn(6, DIM), copy.deepcopy(dict(guide.named_buffers()))
    expected = prior.log_prob(z)
    guide.train()
    prior.train()
    frozen = guide.encoder.layers[0].eval()
    assert torch.equal(prior.log_prob(z), expected)
    assert torch.equal(prior.log_prob(z), expected)
    if prior.fitted_by == "empirical-bayes":
        assert torch.equal(prior.empirical_bayes_loss(z), prior.empirical_bayes_loss(z))
    for name, buffer in guide.named_buffers():
        assert torch.equal(buffer, running[name]), name
    modes = {name: module.training for name, module in guide.named_modules()}
    assert not modes.pop("encoder.layers.0")
    assert not frozen.training
    assert all(modes.values())


def test_modes_come_back_after_an_error():
    guide = make_guide()
    prior = VampMixture(DIM, guide, torch.randn(COMPONENTS, FEATURES + 1))
    with pytest.raises(UserError, match="num_features=4"):
        prior.log_prob(torch.randn(6, DIM))
    assert all(module.training for module in guide.modules())


@pytest.mark.parametrize("which", [0, 1])
def test_the_guide_is_no_part_of_the_prior(which):
    guide = make_guide()
    prior = priors_of(guide)[which]
    of_guide = {id(parameter) for parameter in guide.parameters()}
    assert not of_guide & {id(parameter) for parameter in prior.parameters()}
    assert not any(module is guide for module in prior.modules())
    assert not any("guide" in name or "encoder" in name.split(".") for name in prior.state_dict())
    before = prior.centres.detach()
    with torch.no_grad():
        guide.encoder.layers[-1].bias.add_(1.0)
    assert not torch.equal(prior.centres, before)


@pytest.mark.parametrize("which", [0, 1])
def test_gradient_of_the_density_flows_into_the_encoder_through_centres_and_scales(which):
    guide = make_guide()
    prior = priors_of(guide)[which]
    loss = prior.log_prob(torch.randn(6, DIM)).sum()
    weights = guide.encoder.layers[-1].weight
    (gradient,) = torch.autograd.grad(loss, weights)
    of_mean, of_diagonal, of_rest = gradient.split([DIM, DIM, 1])
    for part in (of_mean, of_diagonal, of_rest):
        assert part.abs().max() > 1e-6
    difference = 1e-5
    doubled = copy.deepcopy(guide).double()
    prior.double().encoded_centres.__dict__["guide"] = doubled
    direction, z = torch.randn_like(weights).double(), torch.randn(6, DIM, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(prior.log_prob(z).sum(), doubled.encoder.layers[-1].weight)
    values = []
    for sign in (1.0, -2.0):
        with torch.no_grad():
            doubled.encoder.layers[-1].weight.add_(sign * difference * direction)
            values.append(prior.log_prob(z).sum())
    numeric = (values[0] - values[1]) / (2.0 * difference)
    torch.testing.assert_close(numeric, (gradient * direction).sum(), rtol=1e-5, atol=1e-6)


class CovariateEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(FEATURES + 3, AmortizedNormal.num_outputs(DIM))

    def forward(self, x, batch):
        return self.linear(torch.cat([x, batch], -1))


def test_covariates_of_the_pseudo_inputs_reach_the_encoder():
    guide = AmortizedNormal(CovariateEncoder())
    pseudo_inputs = PseudoInputs(torch.randn(COMPONENTS, FEATURES), covariates={"batch": 3})
    prior = VampMixture(DIM, guide, pseudo_inputs)
    u, t = pseudo_inputs()
    torch.testing.assert_close(prior.centres, guide.posterior(u, **t).mean)
    (gradient,) = torch.autograd.grad(
        prior.empirical_bayes_loss(torch.randn(8, DIM)), pseudo_inputs.covariate_logits["batch"]
    )
    assert (gradient != 0.0).any()


@pytest.mark.parametrize("make", [0, 1])
def test_stopped_responsibilities_have_the_gradient_of_the_marginal_likelihood(make):
    """EM's gradient: that of ``-mean_n logsumexp_k l_nk``, section 4; differentiated ones have another."""
    z = torch.randn(20, DIM, dtype=torch.float64)
    gradients = []
    for choice in ("stopped", "differentiated"):
        torch.manual_seed(1)
        options = {"inference": "mle", "responsibility_gradient": choice}
        prior = make_mixture(make_guide().double(), **options) if make else GaussianMixture(DIM, COMPONENTS, **options)
        prior = moved(prior.double())
        parameters = list(prior.parameters())
        loss = prior.empirical_bayes_loss(z)
        joint = prior.mixture_weights.log_weights() + prior.expected_component_log_prob(z)
        expected = torch.autograd.grad(-joint.logsumexp(-1).mean(), parameters, retain_graph=True)
        torch.testing.assert_close(loss, -(joint.softmax(-1) * joint).sum(-1).mean())
        gradients.append((torch.autograd.grad(loss, parameters), expected))
    torch.testing.assert_close(*gradients[0])
    assert not all(torch.allclose(a, b) for a, b in zip(*gradients[1], strict=True))


def test_prior_weight_is_the_number_of_observations_the_hyper_prior_is_weighed_against():
    z = torch.randn(20, DIM)
    losses = []
    for prior_weight in (1.0, 50.0):
        torch.manual_seed(1)
        losses.append(GaussianMixture(DIM, COMPONENTS, prior_weight=prior_weight).empirical_bayes_loss(z))
    torch.manual_seed(1)
    hyper = GaussianMixture(DIM, COMPONENTS).hyper_log_prob()
    torch.testing.assert_close(losses[1] - losses[0], hyper * (1.0 - 1.0 / 50.0))


def test_hyper_prior_of_each_inference():
    torch.manual_seed(1)
    by_inference = {}
    for inference in ("mle", "map", "map-dp"):
        torch.manual_seed(1)
        prior = GaussianMixture(DIM, COMPONENTS, inference=inference)
        by_inference[inference] = prior.hyper_log_prob().detach()
    assert by_inference["mle"] == 0.0
    # Concentrations start at 1, where log Gamma(1; 1, 1) = -1.
    torch.testing.assert_close(by_inference["map-dp"], by_inference["map"] - 1.0)
    sums = prior.mixture_weights.log_prob() + prior.centres_log_prob().sum() + prior.precisions.log_prob().sum()
    torch.testing.assert_close(by_inference["map"], sums.detach())
