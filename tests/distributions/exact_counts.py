"""Log-probabilities of counts and their derivatives with 60 digits, and the box of parameters we promise them over."""

import random
from collections.abc import Sequence
from itertools import product

import mpmath as mp
import torch
from torch import Tensor

mp.mp.dps = 60  # lgamma(1e8) leaves 50 digits, digamma differences at 1e8 another 30

SMALLEST_FLOAT32 = 2.0**-149

Point = tuple[int, float, float, float]
"""Count, mean, inverse dispersion, dropout logits; the last three exactly representable in float32."""


def points_of_the_box(seed: int, number: int) -> list[Point]:
    """Every corner, a grid through the places where formulas change hands, and ``number`` random points."""
    counts = (0, 1, 2, 9, 10, 11, 100_000)
    means = (1e-10, 1e-3, 2.0, 1e5, 1e6)
    dispersions = (1e-8, 0.5, 9.99, 10.0, 1e4, 1e6, 1e8)
    points = list(product(counts, means, dispersions, (-30.0, 0.0, 30.0)))
    draw = random.Random(seed)
    for _ in range(number):
        count = draw.choice([0, 0, 1, draw.randint(2, 20), int(10 ** draw.uniform(0, 5))])
        mean, dispersion = 10 ** draw.uniform(-10, 6), 10 ** draw.uniform(-8, 8)
        if count and draw.random() < 0.4:
            # Near the mean everything cancels: in the value and, a standard deviation away, in the derivative by theta.
            mean = max(1e-10, count + draw.choice([0, 1e-6 * count, draw.uniform(-1, 1), count**0.5, -(count**0.5)]))
        points.append((count, mean, dispersion, draw.uniform(-30, 30)))
    return [(count, *torch.tensor(rest, dtype=torch.float32).tolist()) for count, *rest in points]


def exact_poisson(count: int, mean: float) -> list[mp.mpf]:
    """Log-probability and its derivative by the mean."""
    mean = mp.mpf(mean)
    return [count * mp.log(mean) - mean - mp.loggamma(count + 1), count / mean - 1]


def exact_negative_binomial(count: int, mean: float, theta: float) -> list[mp.mpf]:
    """Log-probability and its derivatives by mean and theta, by the textbook's formula."""
    mean, theta = mp.mpf(mean), mp.mpf(theta)
    log_prob = mp.loggamma(count + theta) - mp.loggamma(theta) - mp.loggamma(count + 1)
    log_prob += theta * mp.log(theta / (theta + mean)) + count * mp.log(mean / (theta + mean))
    by_theta = mp.digamma(count + theta) - mp.digamma(theta) + mp.log(theta / (theta + mean))
    return [log_prob, count / mean - (count + theta) / (theta + mean), by_theta + (mean - count) / (theta + mean)]


def exact_zero_inflated(count: int, mean: float, theta: float, gate_logits: float) -> list[mp.mpf]:
    """Log-probability and its derivatives by mean, theta and dropout logits."""
    log_prob, by_mean, by_theta = exact_negative_binomial(count, mean, theta)
    dropout = 1 / (1 + mp.exp(-mp.mpf(gate_logits)))
    if count:
        return [log_prob + mp.log(1 - dropout), by_mean, by_theta, -dropout]
    zero = dropout + (1 - dropout) * mp.exp(log_prob)
    weight = (1 - dropout) * mp.exp(log_prob) / zero
    by_gate = dropout * (1 - dropout) * (1 - mp.exp(log_prob)) / zero
    return [mp.log(zero), by_mean * weight, by_theta * weight, by_gate]


def assert_close(
    found: Tensor, exact: Sequence[mp.mpf], scale: Sequence[mp.mpf], tolerance: float, points: Sequence
) -> None:
    """Assert that each found number is finite and within ``tolerance * |scale|`` of the exact one."""
    assert found.isfinite().all()
    underflow = SMALLEST_FLOAT32 if found.dtype == torch.float32 else 1e-300
    for value, truth, size, point in zip(found.tolist(), exact, scale, points, strict=True):
        error = abs(mp.mpf(value) - truth)
        assert error <= tolerance * abs(size) + underflow, f"{point}: {value} instead of {mp.nstr(truth, 12)}"
