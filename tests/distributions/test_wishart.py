import numpy as np
import pyro
import pytest
import scipy.stats
import torch
from pyro import poutine
from torch.distributions import biject_to

from pyro_vmm.distributions.wishart import Wishart, diagonal_wishart


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def scale_tril(dim, dtype=torch.float64):
    return (0.3 * torch.randn(dim, dim, dtype=dtype)).tril(-1) + torch.diag(0.5 + torch.rand(dim, dtype=dtype))


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_density_is_scipys(dim):
    factor = scale_tril(dim)
    wishart = Wishart(torch.tensor(dim + 2.0, dtype=torch.float64), scale_tril=factor)
    draws = wishart.sample((6,))
    scipys = scipy.stats.wishart(df=dim + 2, scale=(factor @ factor.T).numpy())
    expected = [float(scipys.logpdf(draw.numpy())) for draw in draws]
    np.testing.assert_allclose(wishart.log_prob(draws).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("extra_degrees", [0.3, 2.0, 20.0])
def test_draws_have_the_mean_and_variances(extra_degrees):
    num, dim = 20_000, 3
    factor = scale_tril(dim)
    wishart = Wishart(torch.tensor(dim + extra_degrees, dtype=torch.float64), scale_tril=factor)
    draws = wishart.sample((num,))
    scipys = scipy.stats.wishart(df=dim + extra_degrees, scale=(factor @ factor.T).numpy())
    mean, variance = torch.from_numpy(np.array(scipys.mean())), torch.from_numpy(np.array(scipys.var()))
    for drawn, expected in ((draws, mean), ((draws - mean).square(), variance)):
        assert ((drawn.mean(0) - expected).abs() < 5.0 * drawn.std(0) / num**0.5).all()
    # log det W - log det V is a sum of logarithms of chi-squares with df, df - 1, ... degrees of freedom.
    log_det = torch.linalg.slogdet(draws).logabsdet - 2.0 * factor.diagonal().log().sum()
    halves = 0.5 * (dim + extra_degrees - torch.arange(dim, dtype=torch.float64))
    expected = torch.digamma(halves).sum() + dim * np.log(2.0)
    assert (log_det.mean() - expected).abs() < 5.0 * log_det.std() / num**0.5
    # Each diagonal element over its scale is chi-square.
    ratio = (draws.diagonal(dim1=-2, dim2=-1) / (factor @ factor.T).diagonal()).numpy()
    for column in ratio.T:
        assert scipy.stats.kstest(column, scipy.stats.chi2(dim + extra_degrees).cdf).pvalue > 1e-4


@pytest.mark.parametrize("dim", [1, 10, 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_are_symmetric_positive_definite_and_silent(dim, dtype):
    wishart = Wishart(torch.tensor(dim + 2.0, dtype=dtype), scale_tril=torch.eye(dim, dtype=dtype)).expand([100])
    draws = wishart.sample((5,))
    assert draws.shape == (5, 100, dim, dim)
    assert draws.dtype == dtype
    assert torch.equal(draws, draws.mT)
    torch.linalg.cholesky(draws)
    assert wishart.log_prob(draws).shape == (5, 100)
    assert wishart.log_prob(draws).isfinite().all()


def test_singular_draws_are_drawn_again():
    class Sometimes(Wishart):
        def _draw(self, sample_shape):
            draws = super()._draw(sample_shape)
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 1:
                self.first = draws.clone()
                draws[0] = 1.0
            return draws

    wishart = Sometimes(torch.tensor(5.0), scale_tril=torch.eye(3))
    draws = wishart.rsample((4,))
    assert wishart.calls == 2
    torch.linalg.cholesky(draws)
    assert torch.equal(draws[1:], wishart.first[1:])


def test_draws_are_differentiable_in_the_scale():
    factor = scale_tril(3).requires_grad_()
    degrees = torch.tensor(6.0, dtype=torch.float64)

    def draw(factor):
        torch.manual_seed(1)
        return Wishart(degrees, scale_tril=factor.tril(), validate_args=False).rsample((2,))

    assert torch.autograd.gradcheck(draw, (factor,))


def test_in_a_plate():
    wishart = Wishart(torch.tensor(12.0), scale_tril=torch.eye(10))

    def model():
        with pyro.plate("components", 4):
            return pyro.sample("precisions", wishart)

    trace = poutine.trace(model).get_trace()
    trace.compute_log_prob()
    assert trace.nodes["precisions"]["value"].shape == (4, 10, 10)
    assert trace.nodes["precisions"]["log_prob"].shape == (4,)


# ---- the bijections --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_positive_definite_matrices_are_in_bijection_with_vectors(dim):
    torch.manual_seed(0)
    support = Wishart(
        torch.tensor(dim + 2.0, dtype=torch.float64), scale_tril=torch.eye(dim, dtype=torch.float64)
    ).support
    transform = biject_to(support)
    number = dim * (dim + 1) // 2
    vector = torch.randn(3, number, dtype=torch.float64)
    matrix = transform(vector)
    assert matrix.shape == transform.forward_shape(vector.shape) == (3, dim, dim)
    assert transform.inverse_shape(matrix.shape) == vector.shape
    assert support.check(matrix).all()
    torch.testing.assert_close(transform.inv(matrix), vector)
    rows, columns = torch.tril_indices(dim, dim)
    for each, found in zip(vector, transform.log_abs_det_jacobian(vector, matrix), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: transform(v)[rows, columns], each)
        torch.testing.assert_close(found, torch.linalg.slogdet(jacobian).logabsdet)


def test_diagonal_matrices_are_in_bijection_with_vectors():
    distribution = diagonal_wishart(torch.tensor(5.0, dtype=torch.float64), 0.4, 3)
    transform = biject_to(distribution.support)
    vector = torch.randn(2, 3, dtype=torch.float64)
    matrix = transform(vector)
    assert distribution.support.check(matrix).all()
    assert not distribution.support.check(matrix + 0.1).any()
    torch.testing.assert_close(transform.inv(matrix), vector)
    torch.testing.assert_close(transform.log_abs_det_jacobian(vector, matrix), vector.sum(-1))
    torch.testing.assert_close(matrix, torch.diag_embed(vector.exp()))
