"""The compiled pass over counts: as exact as the operations of torch, and used only where it can be."""

import importlib.util
import math
import sys
from collections.abc import Callable, Iterator

import mpmath as mp
import numpy as np
import pytest
import torch
from exact_counts import assert_close, exact_negative_binomial, exact_zero_inflated, points_of_the_box
from torch import Tensor

pytest.importorskip("numba", reason="numba, which compiles the kernels, is not installed")

from pyro_vmm.distributions import NegativeBinomial, ZeroInflatedNegativeBinomial, compiled_pass
from pyro_vmm.distributions.compiled import SMALLEST, can_compile, remainders
from pyro_vmm.distributions.compiled import functions as compiled_functions
from pyro_vmm.distributions.compiled_pass import compiled_negative_binomial

DISTRIBUTIONS = {2: NegativeBinomial, 3: ZeroInflatedNegativeBinomial}
ROWS, COLUMNS = 96, 700


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """What every compiled pass of the test left to torch's operations; None for those that declined."""
    found: list[int | None] = []

    def noted(value: Tensor, parameters: list[Tensor], results: list[Tensor]) -> Tensor | None:
        left = compiled_negative_binomial(value, parameters, results)
        found.append(None if left is None else len(left))
        return left

    for module in (
        "negative_binomial.NegativeBinomialFormula",
        "zero_inflated_negative_binomial.ZeroInflatedNegativeBinomialFormula",
    ):
        monkeypatch.setattr(f"pyro_vmm.distributions.{module}.compiled", staticmethod(noted))
    return found


def random_counts(seed: int = 0) -> tuple[Tensor, list[Tensor]]:
    """Counts ``[ROWS, COLUMNS]`` from 0 to some hundreds, means and logits alike, and an inverse dispersion for each column."""
    torch.manual_seed(seed)
    mean = torch.exp(2.0 * torch.randn(ROWS, COLUMNS) - 1.0)
    theta = torch.exp(1.5 * torch.randn(COLUMNS))
    return NegativeBinomial(mean, theta).sample(), [mean, theta, 2.0 * torch.randn(ROWS, COLUMNS)]


def evaluated(count: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    """Log-probability, and the derivatives of its sum."""
    leaves = [parameter.clone().requires_grad_() for parameter in parameters]
    log_prob = DISTRIBUTIONS[len(leaves)](*leaves, validate_args=False).log_prob(count)
    return [log_prob.detach(), *torch.autograd.grad(log_prob.sum(), leaves)]


def by_torch(monkeypatch: pytest.MonkeyPatch, count: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    with monkeypatch.context() as context:
        context.setattr(compiled_pass, "can_compile", lambda: False)
        return evaluated(count, parameters)


@pytest.mark.parametrize(("number", "exact"), [(2, exact_negative_binomial), (3, exact_zero_inflated)])
def test_it_is_exact_to_1e_5_over_the_whole_box(number: int, exact: Callable, passes: list[int | None]) -> None:
    points = [point[: 1 + number] for point in points_of_the_box(seed=3, number=1500)]
    repeats = -(-SMALLEST // len(points))
    count, *parameters = torch.tensor(points).T.contiguous()
    found = evaluated(count.repeat(repeats, 1), [parameter.repeat(repeats, 1) for parameter in parameters])
    assert len(passes) == 1
    assert passes[0] is not None
    assert passes[0] < 0.5 * repeats * len(points)
    truths = list(zip(*(exact(*point) for point in points), strict=True))
    for values, truth in zip(found, truths, strict=True):
        assert all(torch.equal(row, values[0]) for row in values)
        assert_close(values[0], truth, truth, 1e-5, points)


@pytest.mark.parametrize("number", [2, 3])
def test_it_is_what_torch_gives(number: int, passes: list[int | None], monkeypatch: pytest.MonkeyPatch) -> None:
    count, parameters = random_counts()
    expected = by_torch(monkeypatch, count, parameters[:number])
    passes.clear()
    for found, wanted in zip(evaluated(count, parameters[:number]), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert passes == [0]


def test_threads_change_nothing(passes: list[int | None]) -> None:
    count, parameters = random_counts()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = evaluated(count, parameters)
        torch.set_num_threads(3)
        together = evaluated(count, parameters)
    finally:
        torch.set_num_threads(before)
    assert passes == [0, 0]
    assert torch.equal(alone[0], together[0])


def test_every_shape_of_parameters(passes: list[int | None], monkeypatch: pytest.MonkeyPatch) -> None:
    count, (mean, theta, gate) = random_counts()
    cases = [
        (count, [mean.expand(2, -1, -1), theta, gate[:1]]),  # samples before the rows
        (count, [torch.stack([mean, 2.0 * mean]), theta.expand(ROWS, -1), gate[:, :1]]),
        (count[0], [mean, torch.tensor(0.7), gate.T.contiguous().T]),
        (count.expand(2, -1, -1), [mean[:, :1], theta, torch.tensor([-1.0])]),
        (count.flatten(), [mean.flatten(), torch.tensor(2.0), gate.flatten()]),
    ]
    for counts, parameters in cases:
        expected = by_torch(monkeypatch, counts, parameters)
        for found, wanted in zip(evaluated(counts, parameters), expected, strict=True):
            # Sums over up to 70,000 entries, in single precision.
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-2)
        assert passes[-1] == 0


def test_without_gradients_and_with_second_ones() -> None:
    count, parameters = random_counts()
    log_prob, by_mean, *_ = evaluated(count, parameters)
    distribution = ZeroInflatedNegativeBinomial(*parameters, validate_args=False)
    torch.testing.assert_close(distribution.log_prob(count), log_prob)
    mean = parameters[0].clone().requires_grad_()
    value = ZeroInflatedNegativeBinomial(mean, *parameters[1:], validate_args=False).log_prob(count)
    (slope,) = torch.autograd.grad(value.sum(), mean, create_graph=True)
    torch.testing.assert_close(slope.detach(), by_mean, rtol=1e-4, atol=1e-4)
    slope.sum().backward()
    assert mean.grad is not None
    assert mean.grad.isfinite().all()


def test_what_is_no_count_and_no_parameter_is_left_to_torch(
    passes: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    count, parameters = random_counts()
    odd = [torch.nan, torch.inf, -torch.inf, -1.0, 0.0, 1e-30, 1e30]  # of theta those that are positive, and NaN
    counts = [torch.nan, torch.inf, -1.0, 0.5, 0.0, 1.0, 3.0, 2e6]
    # Each in a column of its own, far from the others, over rows of whatever counts there are.
    for column, value in enumerate(odd):
        for which, parameter in enumerate((parameters[0], parameters[2])):
            parameter[:, 20 * column + which] = value
        if not value <= 0.0 and value != torch.inf:
            parameters[1][20 * column + 2] = value
    for column, value in enumerate(counts):
        count[: len(count) // 2, 300 + column] = value
    expected = by_torch(monkeypatch, count, parameters)
    for found, wanted in zip(evaluated(count, parameters), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5, equal_nan=True)
    assert expected[0].isnan().any()
    assert passes[-1] is not None
    assert 0 < passes[-1] < 0.2 * count.numel()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda tensor: tensor.double(), id="double precision"),
        pytest.param(lambda tensor: tensor[..., :40].repeat(20, 1), id="short rows"),
        pytest.param(lambda tensor: tensor[..., :500], id="few entries"),
    ],
)
def test_it_declines_what_it_is_not_for(change: Callable[[Tensor], Tensor], passes: list[int | None]) -> None:
    count, (mean, _, gate) = random_counts()
    evaluated(change(count), [change(mean), torch.tensor(1.5).to(change(mean)), change(gate)])
    assert passes == [None]


@pytest.fixture
def asked_anew() -> Iterator[None]:
    can_compile.cache_clear()
    yield
    can_compile.cache_clear()


@pytest.mark.usefixtures("asked_anew")
def test_numba_can_be_absent_or_forbidden_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    assert can_compile()
    can_compile.cache_clear()
    with monkeypatch.context() as context:
        context.setattr(numba.config, "DISABLE_JIT", 1)
        assert not can_compile()
    can_compile.cache_clear()
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "numba", None)
        context.setattr(importlib.util, "find_spec", lambda name: "there")
        with pytest.warns(UserWarning, match="numba cannot be imported, so that counts train more slowly"):
            assert not can_compile()
    can_compile.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not can_compile()


def relative_errors(function: Callable[..., float], truth: Callable[[mp.mpf], mp.mpf], arguments: np.ndarray) -> float:
    return max(
        float(abs((mp.mpf(float(function(x))) - truth(mp.mpf(float(x)))) / truth(mp.mpf(float(x))))) for x in arguments
    )


def test_functions_of_one_number() -> None:
    draw = np.random.default_rng(0)
    both = np.concatenate([10.0 ** draw.uniform(-30, 36, 300), -(10.0 ** draw.uniform(-30, -0.07, 300))])
    small = np.float32(both)
    unit = 2.0**-24
    one = np.float32(1.0)
    assert relative_errors(lambda x: compiled_functions.log1p_single(x, one / (one + x)), mp.log1p, small) < 5 * unit
    negative = np.float32(-(10.0 ** draw.uniform(-30, 0.3, 300)))
    assert relative_errors(compiled_functions.expm1_single, mp.expm1, negative) < 10 * unit
    assert relative_errors(compiled_functions.exp_single, mp.exp, np.float32(draw.uniform(-80, 80, 300))) < 3 * unit
    assert relative_errors(compiled_functions.log1p_double, mp.log1p, both) < 1e-14
    assert relative_errors(compiled_functions.exp_double, mp.exp, draw.uniform(-700, 700, 300)) < 1e-14
    assert relative_errors(compiled_functions.log_double, mp.log, 10.0 ** draw.uniform(-299, 299, 300)) < 1e-14
    share = draw.uniform(1e-6, 0.999, 300)
    for function, kind, error in (
        (compiled_functions.beyond_share_single, np.float32, 20 * unit),
        (compiled_functions.beyond_share_double, np.float64, 1e-13),
    ):
        rounded = kind(share)
        assert (
            relative_errors(
                lambda s, function=function, kind=kind: function(s, kind(-math.log1p(-float(s)))),
                lambda s: -mp.log1p(-s) - s,
                rounded,
            )
            < error
        )


def test_remainders_of_gamma() -> None:
    draw = np.random.default_rng(1)
    y = 10.0 ** draw.uniform(-8, 8, 300)

    def stirling(y: mp.mpf) -> mp.mpf:
        return mp.loggamma(y + 1) - (y + 0.5) * mp.log(y) + y - mp.log(2 * mp.pi) / 2

    error = relative_errors(remainders.stirling_remainder, stirling, y)
    assert error < 1e-11
    for step in (1.0, 40.0, 1e5):

        def difference(y: mp.mpf, step: float = step) -> mp.mpf:
            return mp.log(y) - mp.digamma(y) - mp.log(y + step) + mp.digamma(y + step)

        assert relative_errors(lambda y, s=step: remainders.digamma_remainder_difference(y, s), difference, y) < 1e-12
