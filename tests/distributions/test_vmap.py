"""``torch.func`` over the distributions: one call for many, the same numbers."""

import pytest
import torch
from torch.func import grad, vmap

from pyro_vmm.distributions import GaussianMixture, NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial

KINDS = {Poisson: 1, NegativeBinomial: 2, ZeroInflatedNegativeBinomial: 3}


def parameters(kind, dtype, *shape):
    generator = torch.Generator().manual_seed(0)
    mean, theta, gate = (torch.randn(*shape, generator=generator, dtype=dtype) for _ in range(3))
    return ((2.0 * mean).exp(), theta.exp(), gate)[: KINDS[kind]]


def counts(dtype, *shape):
    return torch.randint(0, 12, shape, generator=torch.Generator().manual_seed(1)).to(dtype) * (
        torch.arange(shape[-1]) % 3
    )


def log_prob(kind):
    return lambda value, *given: kind(*given, validate_args=False).log_prob(value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_log_prob(kind, dtype):
    given, value = parameters(kind, dtype, 6, 70), counts(dtype, 6, 70)
    expected = log_prob(kind)(value, *given)
    assert torch.equal(vmap(log_prob(kind))(value, *given), expected)
    assert torch.equal(vmap(vmap(log_prob(kind)))(value, *given), expected)
    ones = (None,) * len(given)
    first = tuple(parameter[0] for parameter in given)
    assert torch.equal(vmap(log_prob(kind), (0, *ones))(value, *first), log_prob(kind)(value, *first))
    zeros = (0,) * len(given)
    assert torch.equal(vmap(log_prob(kind), (None, *zeros))(value[0], *given), log_prob(kind)(value[0], *given))
    columns = vmap(log_prob(kind), 1, out_dims=1)(value, *given)
    torch.testing.assert_close(columns, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind):
    dtype = torch.float64
    given = tuple(parameter.requires_grad_() for parameter in parameters(kind, dtype, 4, 9))
    value = counts(dtype, 4, 9)
    expected = torch.autograd.grad(log_prob(kind)(value, *given).sum(), given)
    through = torch.autograd.grad(vmap(log_prob(kind))(value, *given).sum(), given)
    arguments = tuple(range(1, len(given) + 1))
    of_each = vmap(grad(lambda *all_given: log_prob(kind)(*all_given).sum(), arguments))(value, *given)
    of_all = grad(lambda *all_given: vmap(log_prob(kind))(*all_given).sum(), arguments)(value, *given)
    for found in (through, of_each, of_all):
        for mine, exact in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, exact)


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_samples(kind):
    given = tuple(parameter.expand(5000, 4) for parameter in parameters(kind, torch.float64, 4))
    torch.manual_seed(0)
    drawn = vmap(lambda *each: kind(*each, validate_args=False).sample(), randomness="different")(*given)
    whole = kind(*given, validate_args=False)
    assert drawn.shape == (5000, 4)
    error = (whole.variance[0] / 5000).sqrt()
    assert ((drawn.mean(0) - whole.mean[0]).abs() < 5.0 * error).all()
    assert len(drawn.unique(dim=0)) > 1


def test_samples_of_large_rates():
    torch.manual_seed(0)
    drawn = vmap(lambda mean: Poisson(mean, validate_args=False).sample(), randomness="different")(
        torch.tensor([1e12, 3.0])
    )
    assert abs(float(drawn[0]) / 1e12 - 1.0) < 1e-4
    assert float(drawn[1]) < 30.0


def test_gaussian_mixture():
    torch.manual_seed(0)
    loc, scales = torch.randn(5, 3, 2, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    identity, z = torch.eye(2, dtype=torch.float64).expand(3, 2, 2), torch.randn(5, 2, dtype=torch.float64)

    def density(loc, scale, z):
        weights = torch.zeros(3, dtype=torch.float64).log_softmax(-1)
        mixture = GaussianMixture(
            weights, loc, precision_cholesky=identity, extra_scale=scale * identity, validate_args=False
        )
        return mixture.log_prob(z)

    expected = torch.stack([density(*each) for each in zip(loc, scales, z, strict=True)])
    torch.testing.assert_close(vmap(density)(loc, scales, z), expected)
