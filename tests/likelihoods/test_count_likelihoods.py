"""Likelihoods of counts: library sizes, inverse dispersions of batches, and what is refused."""

import math

import pytest
import torch
from torch import nn

from pyro_vmm import UserError, distributions
from pyro_vmm.likelihoods import Likelihood, NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from pyro_vmm.networks import Log1pInput

B, F = 4, 3


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def with_dispersions(kind, num_batches):
    likelihood = kind(F, num_batches)
    nn.init.normal_(likelihood.inverse_dispersion.log_value)
    # The bound of 1e-6 .. 1e6 bends the parameter a little; the comparisons by hand take what comes out of it.
    limit = math.log(1e6)
    return likelihood, (limit * (likelihood.inverse_dispersion.log_value.detach() / limit).tanh()).exp()


@pytest.mark.parametrize("leading_shape", [(), (5,), (2, 5)])
@pytest.mark.parametrize("column", [False, True])
def test_library_sizes_are_shared_out_by_a_softmax(leading_shape, column):
    library_size = torch.tensor([10.0, 100.0, 1e3, 1e4])
    given = library_size.unsqueeze(-1) if column else library_size
    outputs = torch.randn(*leading_shape, B, 2 * F)
    scale_head, gate_logits = outputs[..., :F], outputs[..., F:]
    mean = library_size.unsqueeze(-1) * scale_head.softmax(-1)
    nb, theta = with_dispersions(NegativeBinomial, 1)
    zinb = ZeroInflatedNegativeBinomial(F)
    zinb.load_state_dict(nb.state_dict())
    x = torch.poisson(mean)
    for found, expected in (
        (Poisson()(scale_head, library_size=given), distributions.Poisson(mean)),
        (nb(scale_head, library_size=given), distributions.NegativeBinomial(mean, theta[0])),
        (
            zinb(outputs, library_size=given),
            distributions.ZeroInflatedNegativeBinomial(mean, theta[0], gate_logits),
        ),
    ):
        torch.testing.assert_close(found.mean, expected.mean)
        torch.testing.assert_close(found.log_prob(x), expected.log_prob(x).sum(-1))


def test_one_observation_may_come_with_one_library_size():
    """A library size of shape ``[1]`` is that of the one observation, not of a feature."""
    for library_size in (torch.tensor([7.0]), torch.tensor([[7.0]])):
        mean = Poisson()(torch.randn(1, F), library_size=library_size).mean
        assert mean.shape == (1, F)
        torch.testing.assert_close(mean.sum(), torch.tensor(7.0))


@pytest.mark.parametrize("kind", [NegativeBinomial, ZeroInflatedNegativeBinomial])
def test_each_batch_has_its_own_dispersion(kind):
    likelihood, theta = with_dispersions(kind, 2)
    which = torch.tensor([0, 1, 1, 0])
    batch = nn.functional.one_hot(which, 2)
    outputs = torch.randn(5, B, kind.outputs_per_feature * F)
    base = likelihood(outputs, batch=batch).base_dist
    torch.testing.assert_close(base.inverse_dispersion.detach(), theta[which].expand(5, B, F))


@pytest.mark.parametrize("kind", [NegativeBinomial, ZeroInflatedNegativeBinomial])
def test_between_batches_the_dispersion_is_the_geometric_mean(kind):
    likelihood, theta = with_dispersions(kind, 2)
    base = likelihood(torch.randn(1, kind.outputs_per_feature * F), batch=torch.tensor([[0.25, 0.75]])).base_dist
    torch.testing.assert_close(base.inverse_dispersion.detach()[0], theta[0] ** 0.25 * theta[1] ** 0.75)


def test_without_a_library_size_means_are_exponentials_that_cannot_overflow():
    moderate = torch.linspace(-2.0, 2.0, 9)
    torch.testing.assert_close(Poisson()(moderate).mean, moderate.exp(), rtol=0.01, atol=0.0)
    extreme = torch.tensor([-1e30, 1e30], requires_grad=True)
    distribution = Poisson()(extreme)
    torch.testing.assert_close(distribution.mean.detach().log(), torch.tensor([-20.0, 20.0]))
    (gradient,) = torch.autograd.grad(distribution.log_prob(torch.tensor([1e4, 0.0])), extreme)
    assert gradient.isfinite().all()


def test_a_share_of_zero_in_float32_leaves_counts_possible():
    scale_head = torch.tensor([[0.0, -200.0]], requires_grad=True)
    log_prob = Poisson()(scale_head, library_size=torch.tensor([10.0])).log_prob(torch.tensor([[5.0, 5.0]]))
    (gradient,) = torch.autograd.grad(log_prob.sum(), scale_head)
    assert log_prob.isfinite().all()
    assert gradient.isfinite().all()


def test_maximum_likelihood_finds_the_dispersion():
    x = distributions.NegativeBinomial(torch.tensor([20.0, 5.0, 50.0]), torch.tensor([0.5, 3.0, 8.0])).sample((4000,))
    likelihood, outputs = NegativeBinomial(3), nn.Parameter(x.mean(0).log())
    optimiser = torch.optim.Adam([outputs, *likelihood.parameters()], 0.05)
    for _ in range(200):
        optimiser.zero_grad()
        (-likelihood(outputs).log_prob(x).mean()).backward()
        optimiser.step()
    base = likelihood(outputs).base_dist
    torch.testing.assert_close(base.mean.detach(), x.mean(0), rtol=0.02, atol=0.0)
    torch.testing.assert_close(base.inverse_dispersion.detach(), torch.tensor([0.5, 3.0, 8.0]), rtol=0.15, atol=0.0)


def test_the_encoder_sees_logarithms_of_counts_only():
    assert Likelihood.encoder_sees == "data"
    assert {kind.encoder_sees for kind in (Poisson, NegativeBinomial, ZeroInflatedNegativeBinomial)} == {"log1p"}
    network, x = nn.Linear(F, 2), torch.tensor([[0.0, 1.0, 1e6]])
    torch.testing.assert_close(Log1pInput(network)(x), network((1.0 + x).log()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NegativeBinomial(0), "num_features is 0"),
        (lambda: NegativeBinomial(3, 0), "num_batches is 0"),
        (lambda: NegativeBinomial(3)(torch.zeros(4)), "made for 3 features, but the decoder gives 4"),
        (lambda: ZeroInflatedNegativeBinomial(3, 2)(torch.zeros(1, 6)), "needs the covariate 'batch', one-hot"),
        (lambda: NegativeBinomial(3, 2)(torch.zeros(1, 3), batch=torch.zeros(1)), r"'batch' has shape \(1,\)"),
        (lambda: Poisson()(torch.zeros(2, 3), library_size=torch.ones(2, 3)), r"library_size has shape \(2, 3\)"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
