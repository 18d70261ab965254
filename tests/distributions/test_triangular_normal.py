"""The guide's Gaussian: torch's own density, without its overflow."""

import copy

import pytest
import torch
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
