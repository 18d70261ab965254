"""The guide's Gaussian: torch's own density, without its overflow."""

import copy

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO
from torch.distributions import MultivariateNormal, kl_divergence

from pyro_vmm.distributions import TriangularNormal


def parameters(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    loc = torch.randn(4, 3, dtype=dtype)
    factor = torch.randn(4, 3, 3, dtype=dtype).tril(-1) + torch.diag_embed(torch.rand(4, 3, dtype=dtype) + 0.3)
    return loc.requires_grad_(), factor.requires_grad_()


@pytest.mark.parametrize("sample_shape", [(), (5,)])
def test_density_and_total_gradient_at_its_own_draw_are_torchs(sample_shape: tuple[int, ...]) -> None:
    loc, factor = parameters()
    mine, torchs = TriangularNormal(loc, scale_tril=factor), MultivariateNormal(loc, scale_tril=factor)
    z = mine.rsample(sample_shape)
    assert z.shape == (*sample_shape, 4, 3)
    torch.testing.assert_close(mine.log_prob(z), torchs.log_prob(z))
    ours = torch.autograd.grad(mine.log_prob(z).sum(), (loc, factor), retain_graph=True, allow_unused=True)
    theirs = torch.autograd.grad(torchs.log_prob(z).sum(), (loc, factor))
    torch.testing.assert_close(theirs[0], torch.zeros_like(loc), atol=1e-9, rtol=0)
    assert ours[0] is None or ours[0].abs().max() < 1e-9
    torch.testing.assert_close(ours[1].tril(), theirs[1].tril())


def test_density_elsewhere_is_torchs() -> None:
    loc, factor = parameters()
    mine, torchs = TriangularNormal(loc, scale_tril=factor), MultivariateNormal(loc, scale_tril=factor)
    mine.rsample()
    z = torch.randn(7, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(mine.log_prob(z), torchs.log_prob(z))
    torch.testing.assert_close(mine.log_prob(z.clone()), torchs.log_prob(z))
    standard = MultivariateNormal(torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(kl_divergence(mine, standard), kl_divergence(torchs, standard))
    torch.testing.assert_close(mine.expand((2, 4)).log_prob(z[:2]), torchs.log_prob(z[:2]))
    torch.testing.assert_close(
        copy.deepcopy(TriangularNormal(loc.detach(), scale_tril=factor.detach())).log_prob(z), torchs.log_prob(z)
    )


def test_nearly_deterministic_posteriors_stay_finite() -> None:
    """Diagonal 1e-4 beside entries of 5 in ten dimensions: the state in which a fit to MNIST met NaN."""
    torch.manual_seed(0)
    factor = (5.0 * torch.randn(64, 10, 10)).tril(-1) + 1e-4 * torch.eye(10)
    factor.requires_grad_()
    posterior = TriangularNormal(torch.zeros(64, 10), scale_tril=factor)
    z = posterior.rsample()
    log_prob = posterior.log_prob(z)
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all()
    assert torch.isfinite(factor.grad).all()
    torchs = MultivariateNormal(torch.zeros(64, 10), scale_tril=factor).log_prob(z)
    assert not torch.isfinite(torchs).all(), "if torch can do it, this class is not needed"


def gradients(log_prob: torch.Tensor, *parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(log_prob.sum(), parameters, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("sample_shape", [(), (5,)])
def test_gradient_at_a_sample_holds_the_value_fixed(sample_shape: tuple[int, ...]) -> None:
    """What score-function estimators and wake-phi steps differentiate."""
    loc, factor = parameters()
    mine, torchs = TriangularNormal(loc, scale_tril=factor), MultivariateNormal(loc, scale_tril=factor)
    for draw in (mine.sample, lambda shape: mine.rsample(shape).detach()):
        z = draw(sample_shape)
        ours = gradients(mine.log_prob(z), loc, factor)
        theirs = gradients(torchs.log_prob(z), loc, factor)
        torch.testing.assert_close(ours[0], theirs[0])
        torch.testing.assert_close(ours[1].tril(), theirs[1].tril())
        assert theirs[0].abs().max() > 0.1


def test_gradient_where_one_parameter_alone_is_learned() -> None:
    loc, factor = (parameter.detach() for parameter in parameters())
    for mine, torchs, learned in (
        (TriangularNormal(loc.requires_grad_(), scale_tril=factor), MultivariateNormal(loc, scale_tril=factor), loc),
        (
            TriangularNormal(loc.detach(), scale_tril=factor.requires_grad_()),
            MultivariateNormal(loc.detach(), scale_tril=factor),
            factor,
        ),
    ):
        z = mine.sample()
        (ours,), (theirs,) = gradients(mine.log_prob(z), learned), gradients(torchs.log_prob(z), learned)
        torch.testing.assert_close(ours, theirs.tril() if learned is factor else theirs)


def test_wake_phi_step_is_torchs() -> None:
    """Self-normalised importance weights times ``log q``: the gradient of the wake-phi estimator."""
    loc, factor = parameters()
    found = []
    for kind in (TriangularNormal, MultivariateNormal):
        torch.manual_seed(1)
        q = kind(loc, scale_tril=factor)
        z = q.sample((16,))
        with torch.no_grad():
            weights = (-z.square().sum(-1) - q.log_prob(z)).softmax(0)
        found.append(gradients(-weights * q.log_prob(z), loc, factor))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1].tril(), found[1][1].tril())


def test_score_function_estimator_of_pyro_is_torchs() -> None:
    """Pyro takes the score function where a distribution says that it cannot be reparameterised."""
    x = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)
    found = []
    for kind in (TriangularNormal, pyro.distributions.MultivariateNormal):
        loc, factor = parameters()

        def guide(kind=kind, loc=loc, factor=factor) -> None:
            pyro.sample("z", kind(loc[0], scale_tril=factor[0]).has_rsample_(False))

        def model() -> None:
            z = pyro.sample("z", pyro.distributions.Normal(torch.zeros(3).double(), 1.0).to_event(1))
            pyro.sample("x", pyro.distributions.Normal(z, 1.0).to_event(1), obs=x)

        torch.manual_seed(2)
        loss = Trace_ELBO(num_particles=3).differentiable_loss(model, guide)
        found.append(gradients(loss, loc, factor))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1].tril(), found[1][1].tril())
    assert found[1][0].abs().max() > 0.1


def test_a_draw_or_parameters_changed_in_place_are_seen() -> None:
    loc, factor = (parameter.detach() for parameter in parameters())
    for change in (
        lambda q, z: z.add_(1.0),
        lambda q, z: q.loc.add_(1.0),
        lambda q, z: q._unbroadcasted_scale_tril.mul_(2.0),
    ):
        mine = TriangularNormal(loc.clone(), scale_tril=factor.clone())
        z = mine.sample()
        change(mine, z)
        torchs = MultivariateNormal(mine.loc, scale_tril=mine._unbroadcasted_scale_tril)
        torch.testing.assert_close(mine.log_prob(z), torchs.log_prob(z))


def test_inference_mode() -> None:
    loc, factor = (parameter.detach() for parameter in parameters())
    with torch.inference_mode():
        mine = TriangularNormal(loc, scale_tril=factor)
        of_inference = TriangularNormal(loc.clone(), scale_tril=factor)
        z = mine.sample()
        torch.testing.assert_close(mine.log_prob(z), MultivariateNormal(loc, scale_tril=factor).log_prob(z))
    z = of_inference.sample()
    torch.testing.assert_close(of_inference.log_prob(z), MultivariateNormal(loc, scale_tril=factor).log_prob(z))


@pytest.mark.parametrize("fixed", [False, True])
def test_the_gradient_by_a_draw_that_is_made_a_leaf(fixed: bool) -> None:
    wanted = tuple(parameter.detach() if fixed else parameter for parameter in parameters())
    mine = TriangularNormal(wanted[0], scale_tril=wanted[1])
    z = mine.sample().requires_grad_()
    given = (z,) if fixed else (z, *wanted)
    torchs = MultivariateNormal(wanted[0], scale_tril=wanted[1])
    ours, theirs = (torch.autograd.grad(each.log_prob(z).sum(), given) for each in (mine, torchs))
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found.tril() if found.ndim == 3 else found, expected)
