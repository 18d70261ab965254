"""ZeroInflatedNegativeBinomial against 60-digit arithmetic and as a distribution in Pyro."""

import copy
import io

import numpy as np
import pyro
import pyro.distributions
import pytest
import scipy.stats
import torch
from exact_counts import assert_close, exact_zero_inflated, points_of_the_box
from pyro.infer import SVI, Predictive, Trace_ELBO
from torch import Tensor

from pyro_vmm.distributions.negative_binomial import NegativeBinomial
from pyro_vmm.distributions.zero_inflated_negative_binomial import ZeroInflatedNegativeBinomial


def log_prob_and_gradients(count: list[int], parameters: list[list[float]], dtype: torch.dtype) -> list[Tensor]:
    leaves = [torch.tensor(parameter, dtype=dtype, requires_grad=True) for parameter in parameters]
    log_prob = ZeroInflatedNegativeBinomial(*leaves).log_prob(torch.tensor(count, dtype=dtype))
    return [log_prob.detach(), *torch.autograd.grad(log_prob.sum(), leaves)]


@pytest.fixture(scope="module")
def box():
    points = points_of_the_box(seed=1, number=3000)
    exact = list(zip(*(exact_zero_inflated(*point) for point in points), strict=True))
    return points, exact


def test_float32_is_exact_to_1e_5_over_the_whole_box(box):
    points, exact = box
    count, *parameters = map(list, zip(*points, strict=True))
    for found, truth in zip(log_prob_and_gradients(count, parameters, torch.float32), exact, strict=True):
        assert_close(found, truth, truth, 1e-5, points)


def test_float64_is_exact_to_1e_12_over_the_whole_box(box):
    points, exact = box
    count, *parameters = map(list, zip(*points, strict=True))
    log_prob, by_mean, by_theta, by_gate = log_prob_and_gradients(count, parameters, torch.float64)
    assert by_theta.isfinite().all()  # its accuracy is the negative binomial's
    for found, truth in zip((log_prob, by_mean, by_gate), (exact[0], exact[1], exact[3]), strict=True):
        assert_close(found, truth, truth, 1e-12, points)


@pytest.mark.parametrize(
    ("count", "mean", "theta", "gate_logits"),
    [
        pytest.param(3, 2.0, 1e6, 0.0, id="pyro 17 %, scvi-tools 12 % off: lgamma(x + theta) - lgamma(theta)"),
        pytest.param(3, 2.0, 1e8, 0.0, id="the same, far worse"),
        pytest.param(1, 1e-10, 2.0, 0.0, id="scvi-tools -19.1 instead of -23.7: epsilon added to the mean"),
        pytest.param(0, 5.0, 2.0, 30.0, id="pyro NaN with gate=: saturated"),
        pytest.param(7, 5.0, 2.0, 30.0, id="pyro -inf with gate=: saturated, at a count"),
        pytest.param(0, 1e-10, 2.0, -30.0, id="log p(0) of -2e-10 rounds to zero as a difference of softplus"),
        pytest.param(0, 1e6, 1e8, -30.0, id="a zero explained by dropout alone"),
    ],
)
def test_where_others_fail(count, mean, theta, gate_logits):
    point = [[mean], [theta], [gate_logits]]
    exact = exact_zero_inflated(count, mean, theta, gate_logits)
    for found, truth in zip(log_prob_and_gradients([count], point, torch.float32), exact, strict=True):
        assert found.item() == pytest.approx(float(truth), rel=1e-5, abs=1e-45)


def test_the_gate_is_the_probability_of_an_extra_zero():
    base = NegativeBinomial(4.0, 2.0)
    dropout = 1 / (1 + np.exp(-0.7))
    distribution = ZeroInflatedNegativeBinomial(mean=4.0, inverse_dispersion=2.0, gate_logits=0.7)
    at_zero = dropout + (1 - dropout) * base.log_prob(torch.tensor(0.0)).exp().item()
    assert distribution.log_prob(torch.tensor(0.0)).exp().item() == pytest.approx(at_zero, rel=1e-6)
    at_three = (1 - dropout) * base.log_prob(torch.tensor(3.0)).exp().item()
    assert distribution.log_prob(torch.tensor(3.0)).exp().item() == pytest.approx(at_three, rel=1e-6)


def test_without_dropout_it_is_the_negative_binomial():
    count, mean = torch.arange(8.0), torch.tensor([[0.2], [3.0]])
    found = ZeroInflatedNegativeBinomial(mean, 1.5, -200.0).log_prob(count)
    torch.testing.assert_close(found, NegativeBinomial(mean, 1.5).log_prob(count))


def test_far_outside_the_box_nothing_is_nan():
    gate_logits = torch.tensor([-1e4, 0.0, 1e4], requires_grad=True)
    mean = torch.tensor([[1e-30], [1e20]], requires_grad=True)
    theta = torch.tensor([1e-20, 1.0, 1e30], requires_grad=True)
    count = torch.tensor([0.0, 1.0, 1e9]).view(-1, 1, 1, 1)
    log_prob = ZeroInflatedNegativeBinomial(mean, theta.view(-1, 1, 1), gate_logits).log_prob(count)
    assert not log_prob.isnan().any()
    log_prob.sum().backward()
    assert not any(leaf.grad.isnan().any() for leaf in (mean, theta, gate_logits))


def test_second_derivatives():
    mean = torch.tensor([0.1, 1.0, 2.0, 7.0, 30.0, 0.3], dtype=torch.float64, requires_grad=True)
    theta = torch.tensor([0.2, 1.0, 3.0, 9.0, 15.0, 50.0], dtype=torch.float64, requires_grad=True)
    gate_logits = torch.tensor([-1.0, 0.0, 2.0, 0.3, -3.0, 1.0], dtype=torch.float64, requires_grad=True)
    count = torch.tensor([[0.0], [1.0], [2.0], [40.0]], dtype=torch.float64)

    def log_prob(*parameters: Tensor) -> Tensor:
        return ZeroInflatedNegativeBinomial(*parameters).log_prob(count)

    assert torch.autograd.gradcheck(log_prob, (mean, theta, gate_logits))
    assert torch.autograd.gradgradcheck(log_prob, (mean, theta, gate_logits))
    # With create_graph=True the first derivatives come from another formula.
    plain, with_graph = (
        torch.autograd.grad(log_prob(mean, theta, gate_logits).sum(), (mean, theta, gate_logits), create_graph=flag)
        for flag in (False, True)
    )
    torch.testing.assert_close(with_graph, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("mean", "theta", "gate_logits"), [(7.0, 0.5, 0.3), (30.0, 1e8, -2.0), (0.01, 3.0, 4.0)])
def test_sums_to_one_with_its_mean_and_variance(mean, theta, gate_logits):
    distribution = ZeroInflatedNegativeBinomial(torch.tensor(mean, dtype=torch.float64), theta, gate_logits)
    count = torch.arange(4000, dtype=torch.float64)
    probability = distribution.log_prob(count).exp()
    assert probability.sum().item() == pytest.approx(1.0, abs=1e-12)
    average = (probability * count).sum().item()
    assert average == pytest.approx(distribution.mean.item(), rel=1e-7)
    spread = (probability * (count - average) ** 2).sum().item()
    assert spread == pytest.approx(distribution.variance.item(), rel=1e-7)


def test_samples_follow_the_log_probability():
    torch.manual_seed(0)
    distribution = ZeroInflatedNegativeBinomial(torch.tensor(6.0), torch.tensor(0.8), torch.tensor(-0.5))
    number, bins = 40_000, 30
    probability = distribution.log_prob(torch.arange(float(bins))).double().exp().numpy()
    expected = number * np.append(probability, 1.0 - probability.sum())
    sample = distribution.sample((number,)).clamp(max=bins)
    observed = np.bincount(sample.long().numpy(), minlength=bins + 1)
    assert scipy.stats.chisquare(observed, expected).pvalue > 1e-3


def test_samples_of_extreme_parameters_are_counts():
    torch.manual_seed(0)
    gate_logits = torch.tensor([-30.0, 0.0, 30.0])
    distribution = ZeroInflatedNegativeBinomial(
        torch.tensor([1e-10, 1e6])[:, None], torch.tensor([1e-8, 1e8])[:, None, None], gate_logits
    )
    sample = distribution.sample((2000,))
    assert distribution.support.check(sample).all()
    assert (sample[..., 2] == 0).all()
    assert (sample[:, 1, 1, 0] > 9e5).all()
    dropped = (sample[:, 1, 1, 1] == 0).float().mean().item()
    assert dropped == pytest.approx(0.5, abs=0.05)


def test_shapes_and_expand():
    distribution = ZeroInflatedNegativeBinomial(torch.rand(4, 1) + 0.1, torch.rand(3) + 0.1, torch.randn(2, 1, 1))
    assert distribution.batch_shape == distribution.mean.shape == distribution.variance.shape == (2, 4, 3)
    assert distribution.gate_logits.shape == distribution.inverse_dispersion.shape == (2, 4, 3)
    assert distribution.sample((5,)).shape == (5, 2, 4, 3)
    count = torch.randint(0, 3, (7, 1, 1, 1))
    log_prob = distribution.log_prob(count)
    assert log_prob.shape == (7, 2, 4, 3)
    torch.testing.assert_close(distribution.expand((6, 2, 4, 3)).log_prob(count[:6]), log_prob[:6])
    torch.testing.assert_close(distribution.to_event(2).log_prob(count), log_prob.sum((-1, -2)))


def test_no_grad_gives_the_same_values():
    mean = torch.tensor([0.1, 3.0, 50.0], requires_grad=True)
    distribution = ZeroInflatedNegativeBinomial(mean, 2.0, -1.0)
    count = torch.tensor([[0.0], [1.0], [9.0]])
    with torch.no_grad():
        without = distribution.log_prob(count)
    assert not without.requires_grad
    assert torch.equal(without, distribution.log_prob(count).detach())


def test_copies_and_pickles():
    distribution = ZeroInflatedNegativeBinomial(torch.tensor([1.0, 2.0]), torch.tensor(3.0), torch.tensor(0.5))
    buffer = io.BytesIO()
    torch.save(distribution, buffer)
    buffer.seek(0)
    count = torch.tensor([4.0, 0.0])
    for other in (torch.load(buffer, weights_only=False), copy.deepcopy(distribution)):
        assert torch.equal(other.log_prob(count), distribution.log_prob(count))


def test_validation():
    for parameters in ((-1.0, 1.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, torch.nan)):
        with pytest.raises(ValueError, match="NegativeBinomial"):
            ZeroInflatedNegativeBinomial(*parameters, validate_args=True)
        ZeroInflatedNegativeBinomial(*parameters, validate_args=False)
    for count in (-1.0, 0.5):
        with pytest.raises(ValueError, match="support"):
            ZeroInflatedNegativeBinomial(1.0, 1.0, 0.0, validate_args=True).log_prob(torch.tensor(count))
    assert not ZeroInflatedNegativeBinomial(1.0, 1.0, 0.0, validate_args=False).expand((2,))._validate_args


def test_svi_finds_the_parameters_of_simulated_counts():
    torch.manual_seed(0)
    truth = {"mean": 5.0, "theta": 2.0, "gate": -0.5}
    count = ZeroInflatedNegativeBinomial(*truth.values()).sample((4000, 2))

    def model(count: Tensor | None = None) -> Tensor:
        positive = pyro.distributions.constraints.positive
        mean = pyro.param("mean", torch.tensor(1.0), constraint=positive)
        theta = pyro.param("theta", torch.tensor(1.0), constraint=positive)
        gate_logits = pyro.param("gate", torch.tensor(0.0))
        distribution = ZeroInflatedNegativeBinomial(mean, theta, gate_logits).expand((2,)).to_event(1)
        with pyro.plate("cells", 4000):
            return pyro.sample("count", distribution, obs=count)

    svi = SVI(model, lambda count: None, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())
    for _ in range(200):
        svi.step(count)
    found = {name: pyro.param(name).item() for name in truth}
    assert found == pytest.approx(truth, rel=0.12)
    drawn = Predictive(model, num_samples=50, parallel=True)()["count"]
    assert drawn.shape == (50, 4000, 2)
    assert drawn.mean().item() == pytest.approx(count.mean().item(), rel=0.02)
