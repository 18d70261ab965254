"""Poisson against 60-digit arithmetic and as a distribution in Pyro."""

import copy

import pytest
import scipy.stats
import torch
from exact_counts import assert_close, exact_poisson, points_of_the_box

from pyro_vmm.distributions.poisson import Poisson, sample_poisson


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_exact_over_the_whole_box(dtype, tolerance):
    points = [point[:2] for point in points_of_the_box(seed=2, number=1000)]
    count, mean = (torch.tensor(column, dtype=dtype) for column in zip(*points, strict=True))
    mean.requires_grad_()
    log_prob = Poisson(mean).log_prob(count)
    (by_mean,) = torch.autograd.grad(log_prob.sum(), mean)
    exact = list(zip(*(exact_poisson(*point) for point in points), strict=True))
    assert_close(log_prob.detach(), exact[0], exact[0], tolerance, points)
    assert_close(by_mean, exact[1], exact[1], tolerance, points)


def test_large_count_at_its_mean():
    # torch's own is 1 % off: terms of 1e6 cancel to 6.7
    found = Poisson(torch.tensor(1e5)).log_prob(torch.tensor(1e5)).item()
    assert found == pytest.approx(float(exact_poisson(100_000, 1e5)[0]), rel=1e-6)


def test_second_derivatives():
    mean = torch.tensor([0.1, 1.0, 2.0, 30.0], dtype=torch.float64, requires_grad=True)
    count = torch.tensor([[0.0], [1.0], [7.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda mean: Poisson(mean).log_prob(count), mean)
    assert torch.autograd.gradgradcheck(lambda mean: Poisson(mean).log_prob(count), mean)


def test_agrees_with_scipy_and_sums_to_one():
    count = torch.arange(300, dtype=torch.float64)
    for mean in (0.01, 3.0, 80.0):
        found = Poisson(torch.tensor(mean, dtype=torch.float64)).log_prob(count)
        assert found.exp().sum().item() == pytest.approx(1.0, abs=1e-12)
        assert found.tolist() == pytest.approx(scipy.stats.poisson.logpmf(count.numpy(), mean).tolist(), rel=1e-11)


def test_samples():
    torch.manual_seed(0)
    distribution = Poisson(torch.tensor([0.0, 1e-10, 4.0, 1e6, 1e12]))
    sample = distribution.sample((20_000,)).double()
    assert distribution.support.check(sample).all()
    assert (sample[:, :2] == 0).all()
    mean = distribution.mean.double()
    # the last rate is drawn from the normal approximation
    assert ((sample.mean(0) - mean).abs() <= 4 * (mean / 20_000).sqrt()).all()
    assert ((sample.var(0) / mean)[2:] - 1).abs().max().item() < 0.05


def test_sampling_keeps_the_dtype():
    assert sample_poisson(torch.tensor([1.0, 1e12], dtype=torch.float64)).dtype == torch.float64


def test_shapes_copies_and_validation():
    distribution = Poisson(torch.tensor([[1.0], [2.0]])).expand((2, 3))
    assert distribution.batch_shape == distribution.mean.shape == distribution.variance.shape == (2, 3)
    assert distribution.sample((4,)).shape == (4, 2, 3)
    count = torch.tensor([0, 1, 5])
    torch.testing.assert_close(
        copy.deepcopy(distribution).to_event(1).log_prob(count), distribution.log_prob(count).sum(-1)
    )
    with pytest.raises(ValueError, match="Poisson"):
        Poisson(-1.0, validate_args=True)
    with pytest.raises(ValueError, match="support"):
        Poisson(1.0, validate_args=True).log_prob(torch.tensor(0.5))


def test_mean_zero_allows_only_zero():
    assert Poisson(torch.zeros(2)).log_prob(torch.tensor([0.0, 1.0])).tolist() == [0.0, -torch.inf]
