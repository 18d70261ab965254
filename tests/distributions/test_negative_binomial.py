"""NegativeBinomial against 60-digit arithmetic, against scipy, and as a distribution in Pyro."""

import copy
import io
import warnings

import mpmath as mp
import numpy as np
import pyro
import pyro.distributions
import pytest
import scipy.stats
import torch
from exact_counts import assert_close, exact_negative_binomial, points_of_the_box
from pyro.infer import Predictive
from torch import Tensor

from pyro_vmm.distributions import count_log_prob
from pyro_vmm.distributions.gamma_remainders import log_growth_beyond_share
from pyro_vmm.distributions.negative_binomial import NegativeBinomial
from pyro_vmm.distributions.poisson import Poisson


def log_prob_and_gradients(count: list[int], parameters: list[list[float]], dtype: torch.dtype) -> list[Tensor]:
    leaves = [torch.tensor(parameter, dtype=dtype, requires_grad=True) for parameter in parameters]
    log_prob = NegativeBinomial(*leaves).log_prob(torch.tensor(count, dtype=dtype))
    return [log_prob.detach(), *torch.autograd.grad(log_prob.sum(), leaves)]


@pytest.fixture(scope="module", params=["any count", "small counts"])
def box(request):
    points = [point[:3] for point in points_of_the_box(seed=0, number=3000)]
    if request.param == "small counts":  # which have a formula of their own, where they are the most
        points = [(2 + number % 7, *point[1:]) for number, point in enumerate(points[::3])]
    exact = list(zip(*(exact_negative_binomial(*point) for point in points), strict=True))
    return points, exact


def test_float32_is_exact_to_1e_5_over_the_whole_box(box):
    points, exact = box
    count, *parameters = map(list, zip(*points, strict=True))
    for found, truth in zip(log_prob_and_gradients(count, parameters, torch.float32), exact, strict=True):
        assert_close(found, truth, truth, 1e-5, points)


def test_float64_is_exact_to_1e_12_over_the_whole_box(box):
    points, exact = box
    count, *parameters = map(list, zip(*points, strict=True))
    found = log_prob_and_gradients(count, parameters, torch.float64)
    assert_close(found[0], exact[0], exact[0], 1e-12, points)
    assert_close(found[1], exact[1], exact[1], 1e-12, points)
    # The derivative by theta is a difference of two positive terms; this is the smaller-is-never-hidden size of one.
    deviances = []
    for x, mean, theta in points:
        excess = (mp.mpf(x) - mp.mpf(mean)) / (mp.mpf(theta) + mp.mpf(mean))
        deviances.append(excess - mp.log(1 + excess))
    scale = [max(abs(truth), deviance) for truth, deviance in zip(exact[2], deviances, strict=True)]
    assert_close(found[2], exact[2], scale, 1e-12, points)


@pytest.mark.parametrize("theta", [1e4, 1e6, 1e8])
@pytest.mark.parametrize("count", [3, 100_000])
def test_large_inverse_dispersion_at_the_mean(count, theta):
    # pyro and scvi-tools are 17 % and 12 % off at count 3, mean 2, theta 1e6: lgamma(x + theta) - lgamma(theta).
    mean = 2.0 if count == 3 else float(count)
    exact = exact_negative_binomial(count, mean, theta)
    for found, truth in zip(log_prob_and_gradients([count], [[mean], [theta]], torch.float32), exact, strict=True):
        assert found.item() == pytest.approx(float(truth), rel=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 4e-6), (torch.float64, 4e-14)])
def test_growth_beyond_share_is_exact_on_both_sides_of_its_switch(dtype, tolerance):
    u = torch.cat((torch.logspace(-15, 8, 2000, dtype=dtype), torch.linspace(0.1, 0.13, 2000, dtype=dtype)))
    found = log_growth_beyond_share(u / (1 + u), u.log1p())
    with mp.workdps(60):
        truth = [float(mp.log1p(value) - value / (1 + value)) for value in map(mp.mpf, u.tolist())]
    torch.testing.assert_close(found.double(), torch.tensor(truth, dtype=torch.float64), rtol=tolerance, atol=0)


def test_second_derivatives():
    mean = torch.tensor([0.1, 1.0, 2.0, 7.0, 30.0, 0.3], dtype=torch.float64, requires_grad=True)
    theta = torch.tensor([0.2, 1.0, 3.0, 9.0, 15.0, 50.0], dtype=torch.float64, requires_grad=True)
    count = torch.tensor([[0.0], [1.0], [2.0], [7.0], [40.0]], dtype=torch.float64)

    def log_prob(mean: Tensor, theta: Tensor) -> Tensor:
        return NegativeBinomial(mean, theta).log_prob(count)

    assert torch.autograd.gradcheck(log_prob, (mean, theta))
    assert torch.autograd.gradgradcheck(log_prob, (mean, theta))
    # With create_graph=True the first derivatives come from another formula.
    plain, with_graph = (
        torch.autograd.grad(log_prob(mean, theta).sum(), (mean, theta), create_graph=flag) for flag in (False, True)
    )
    torch.testing.assert_close(with_graph, plain, rtol=1e-10, atol=1e-12)


def test_only_what_needs_a_gradient_gets_one():
    theta = torch.tensor(2.0, requires_grad=True)
    log_prob = NegativeBinomial(torch.tensor(3.0), theta).log_prob(torch.tensor([0.0, 1.0, 5.0]))
    log_prob.sum().backward()
    truth = sum(exact_negative_binomial(x, 3.0, 2.0)[2] for x in (0, 1, 5))
    assert theta.grad.item() == pytest.approx(float(truth), rel=1e-5)


@pytest.mark.parametrize(("mean", "theta"), [(7.0, 0.5), (7.0, 50.0), (0.01, 3.0), (90.0, 1e8)])
def test_sums_to_one_with_its_mean_and_variance(mean, theta):
    distribution = NegativeBinomial(torch.tensor(mean, dtype=torch.float64), theta)
    count = torch.arange(4000, dtype=torch.float64)
    probability = distribution.log_prob(count).exp()
    assert probability.sum().item() == pytest.approx(1.0, abs=1e-12)
    assert (probability * count).sum().item() == pytest.approx(distribution.mean.item(), rel=1e-10)
    spread = (probability * (count - mean) ** 2).sum().item()
    assert spread == pytest.approx(distribution.variance.item(), rel=1e-10)


@pytest.mark.parametrize(("mean", "theta"), [(3.0, 0.4), (3.0, 1e8), (20.0, 5.0)])
def test_samples_follow_the_log_probability(mean, theta):
    torch.manual_seed(0)
    distribution = NegativeBinomial(torch.tensor(mean), torch.tensor(theta))
    sample = distribution.sample((40_000,))
    probability = distribution.log_prob(torch.arange(5000.0)).double().exp().numpy()
    assert goodness_of_fit(sample, probability) > 1e-3


def goodness_of_fit(sample: Tensor, probability: np.ndarray) -> float:
    """The p-value of a chi-square test; counts too rare for it share the last bin."""
    expected = probability * sample.numel()
    common = int(np.argmax((expected < 10) & (np.arange(expected.size) > expected.argmax())))
    observed = np.bincount(sample.long().numpy(), minlength=common + 1)
    bins = [np.append(part[:common], part[common:].sum()) for part in (observed, expected)]
    bins[1] *= bins[0].sum() / bins[1].sum()
    return float(scipy.stats.chisquare(*bins).pvalue)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_of_extreme_parameters_are_counts(dtype):
    torch.manual_seed(0)
    mean = torch.tensor([1e-10, 1.0, 1e6], dtype=dtype)
    theta = torch.tensor([[1e-8], [1e-2], [1.0], [1e8]], dtype=dtype)
    distribution = NegativeBinomial(mean, theta)
    sample = distribution.sample((2000,))
    assert sample.dtype == dtype
    assert distribution.support.check(sample).all()
    assert distribution.log_prob(sample).isfinite().all()
    assert (sample[:, :, 0] == 0).all()
    assert sample[:, -1, 2].mean().item() == pytest.approx(1e6, rel=1e-3)


def test_tends_to_poisson():
    count = torch.tensor([0.0, 1.0, 2.0, 15.0, 1000.0], dtype=torch.float64)
    mean = torch.tensor([0.01, 3.0, 1000.0], dtype=torch.float64).unsqueeze(-1)
    poisson = Poisson(mean).log_prob(count)
    gap = [(NegativeBinomial(mean, theta).log_prob(count) - poisson).abs() for theta in (1e6, 1e8, 1e30)]
    # the leading difference is ((count - mean)^2 - count) / (2 theta)
    torch.testing.assert_close(gap[0], ((count - mean) ** 2 - count).abs() / 2e6, rtol=2e-3, atol=1e-11)
    torch.testing.assert_close(gap[1], ((count - mean) ** 2 - count).abs() / 2e8, rtol=2e-5, atol=1e-11)
    torch.testing.assert_close(gap[2], torch.zeros_like(gap[2]), rtol=0, atol=1e-11)


def test_agrees_with_scipy():
    count = torch.arange(60)
    mean, theta = torch.tensor([[0.3], [4.0], [25.0]]).double(), torch.tensor([[[0.7]], [[3.0]], [[40.0]]]).double()
    truth = scipy.stats.nbinom.logpmf(count.numpy(), theta.numpy(), (theta / (theta + mean)).numpy())
    found = NegativeBinomial(mean, theta).log_prob(count)
    np.testing.assert_allclose(found.numpy(), truth, rtol=1e-11)


def test_shapes_dtypes_and_expand():
    distribution = NegativeBinomial(mean=torch.rand(4, 1) + 0.1, inverse_dispersion=torch.rand(3) + 0.1)
    assert distribution.batch_shape == (4, 3)
    assert distribution.sample((5,)).shape == (5, 4, 3)
    count = torch.randint(0, 4, (7, 1, 1))
    assert distribution.log_prob(count).shape == (7, 4, 3)
    wider = distribution.expand((2, 4, 3))
    assert wider.sample().shape == (2, 4, 3)
    torch.testing.assert_close(
        wider.log_prob(count.float()[:, None]), distribution.log_prob(count).expand(2, 7, 4, 3).transpose(0, 1)
    )
    vectors = distribution.to_event(1)
    torch.testing.assert_close(vectors.log_prob(count), distribution.log_prob(count).sum(-1))
    assert distribution.log_prob(count.double()).dtype == torch.float64
    assert NegativeBinomial(2.0, 3.0).log_prob(torch.tensor(3)).dtype == torch.float32
    assert NegativeBinomial(torch.ones(0), 1.0).log_prob(torch.zeros(0)).shape == (0,)


@pytest.mark.parametrize("theta", [1e-8, 1e-3, 1.0, 1e3, 1e8])
def test_a_count_is_worth_the_same_among_small_and_among_large_ones(theta):
    # Small counts go another way than large ones, and a few large ones among them a third.
    counts = torch.arange(2.0, 12.0)
    mean, theta = torch.tensor([0.01, 3.0, 50.0], requires_grad=True), torch.full((1,), theta, requires_grad=True)

    def found(counts: Tensor) -> tuple[Tensor, ...]:
        log_prob = NegativeBinomial(mean.unsqueeze(-1), theta).log_prob(counts)
        return log_prob[:, :10], *torch.autograd.grad(log_prob[:, :10].sum(), (mean, theta))

    among_large = found(torch.cat([counts, torch.full((100,), 1e3)]))
    for ours, theirs in zip(found(torch.cat([counts, torch.full((100,), 2.0)])), among_large, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)


def test_what_is_no_count_is_no_small_one():
    fractions = torch.tensor([2.5, 7.5])
    plain = NegativeBinomial(3.0, 2.0, validate_args=False)
    alone = plain.log_prob(fractions)
    mixed = plain.log_prob(torch.cat([fractions, torch.tensor([float("nan"), -1.0]), torch.full((9,), 2.0)]))
    torch.testing.assert_close(mixed[:2], alone, rtol=1e-6, atol=0)
    assert mixed[2:4].isnan().all()
    assert mixed[4:].isfinite().all()


@pytest.mark.parametrize("size", [7, 10**6])
def test_the_pieces_do_not_matter(monkeypatch, size):
    torch.manual_seed(1)
    mean, theta = torch.rand(20, 30) * 3, torch.rand(30) + 0.1
    count = NegativeBinomial(mean, theta).sample()
    truth = torch.stack(
        [
            NegativeBinomial(m, t).log_prob(x)
            for m, t, x in zip(mean.view(-1), theta.repeat(20), count.view(-1), strict=True)
        ]
    )
    monkeypatch.setattr(count_log_prob, "_PIECE", size)
    monkeypatch.setattr(count_log_prob, "_SPECIAL_PIECE", size)
    torch.testing.assert_close(NegativeBinomial(mean, theta).log_prob(count).view(-1), truth, rtol=1e-6, atol=0)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_traced_model_sees_new_counts(requires_grad):
    mean = torch.full((3,), 2.0, requires_grad=requires_grad)

    def log_prob(count: Tensor, mean: Tensor) -> Tensor:
        return NegativeBinomial(mean, torch.tensor(3.0), validate_args=False).log_prob(count)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.trace, which pyro.infer.JitTrace_ELBO uses, is deprecated
        traced = torch.jit.trace(log_prob, (torch.zeros(3), mean), check_trace=False)
    count = torch.tensor([0.0, 1.0, 6.0])
    torch.testing.assert_close(traced(count, mean), log_prob(count, mean))


def test_mean_zero_allows_only_zero():
    found = NegativeBinomial(torch.zeros(3), 2.0).log_prob(torch.tensor([0.0, 1.0, 5.0]))
    assert found.tolist() == [0.0, -torch.inf, -torch.inf]


def test_copies_and_pickles():
    distribution = NegativeBinomial(torch.tensor([1.0, 2.0]), torch.tensor(3.0))
    buffer = io.BytesIO()
    torch.save(distribution, buffer)
    buffer.seek(0)
    count = torch.tensor([4.0, 0.0])
    for other in (torch.load(buffer, weights_only=False), copy.deepcopy(distribution), copy.copy(distribution)):
        assert torch.equal(other.log_prob(count), distribution.log_prob(count))


def test_validation():
    for mean, theta in ((-1.0, 1.0), (1.0, 0.0), (torch.nan, 1.0)):
        with pytest.raises(ValueError, match="NegativeBinomial"):
            NegativeBinomial(mean, theta, validate_args=True)
        NegativeBinomial(mean, theta, validate_args=False)
    for count in (-1.0, 0.5):
        with pytest.raises(ValueError, match="support"):
            NegativeBinomial(1.0, 1.0, validate_args=True).log_prob(torch.tensor(count))
        NegativeBinomial(1.0, 1.0, validate_args=False).log_prob(torch.tensor(count))
    assert NegativeBinomial(1.0, 1.0, validate_args=True).expand((2,))._validate_args


def test_in_a_pyro_model():
    mean, theta = torch.tensor([1.0, 5.0, 20.0]), torch.tensor(2.0)

    def model(count: Tensor | None = None) -> Tensor:
        with pyro.plate("cells", 6, dim=-2), pyro.plate("genes", 3, dim=-1):
            return pyro.sample("count", NegativeBinomial(mean, theta), obs=count)

    count = torch.arange(18.0).view(6, 3)
    trace = pyro.poutine.trace(model).get_trace(count)
    torch.testing.assert_close(trace.log_prob_sum(), NegativeBinomial(mean, theta).log_prob(count).sum())
    torch.manual_seed(0)
    drawn = Predictive(model, num_samples=2000, parallel=True)()["count"]
    assert drawn.shape == (2000, 6, 3)
    torch.testing.assert_close(drawn.mean((0, 1)), mean, rtol=0.05, atol=0)
