"""Log-probabilities of counts in one compiled pass over the entries; needs the package numba.

The same mathematics as in :mod:`~pyro_vmm.distributions.negative_binomial` and
:mod:`~pyro_vmm.distributions.zero_inflated_negative_binomial`, in loops that a compiler turns into vector instructions: a row
of entries stays in the processor's cache from its parameters to its derivatives. What lies outside a comfortable range
(:data:`LARGEST`, :data:`LEAST_MEAN` and so on) is left to the formulas written in torch's operations.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

from pyro_vmm.distributions.compiled.functions import (
    beyond_share_double,
    beyond_share_single,
    compiled,
    exp_double,
    exp_single,
    expm1_single,
    log1p_double,
    log1p_single,
    log_double,
)
from pyro_vmm.distributions.compiled.remainders import (
    digamma_remainder_difference,
    excess_over_log1p,
    stirling_remainder,
)
from pyro_vmm.distributions.gamma_remainders import HALF_LOG_TWO_PI

FEW = 16
"""Counts to here are done by products, larger ones by Loader's saddle-point form, which costs the same for all."""

LARGEST = np.float32(1e6)
# Within these a product of FEW factors neither overflows nor vanishes in double precision.
LEAST_MEAN, MOST_MEAN = np.float32(1e-6), np.float32(1e8)
LEAST_THETA, MOST_THETA = np.float32(1e-8), np.float32(1e8)
MOST_GATE = np.float32(80.0)

# Where a zero in single precision is no longer right: mean / theta, and the logarithm of the counts' own p(0).
_MOST_RATIO, _LEAST_BASE = np.float32(1e37), np.float32(-2.0)
_LARGEST_EXPONENT = 700.0
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_WORK_ARRAYS = 8

Kernel = Callable[..., int]
"""``(first, last, counts, mean, theta, gate, log_prob, by_mean, by_theta, by_gate, left) -> how many are left``.

All but ``left`` are float32, C-contiguous, of the same number of columns. Writes the rows ``first .. last - 1`` of
``log_prob`` and of its derivatives, except at the flat indices that it puts into ``left`` (int64). Other arrays may have
fewer rows than ``log_prob``, and these are then taken in turn.
"""


@functools.cache
def kernel(*, gated: bool) -> Kernel:
    """Of the zero-inflated negative binomial, or of the negative binomial, which never looks at the gate's arrays."""

    @compiled
    def as_common_zeros(counts, mean, theta, gate, log_prob, by_mean, by_theta, by_gate, special):  # type: ignore[no-untyped-def]
        # ZeroInflatedNegativeBinomialFormula.at_common_zero has the same in words.
        for i in range(len(counts)):
            ratio = mean[i] / theta[i]
            right = (counts[i] == _ZERO) & (ratio >= _ZERO) & (ratio <= _MOST_RATIO)
            ratio = min(ratio, _MOST_RATIO)
            stay = _ONE / (_ONE + ratio)
            share = ratio * stay
            log_growth = log1p_single(ratio, stay)
            base = -(theta[i] * log_growth)
            if gated:
                right &= (base >= _LEAST_BASE) & (abs(gate[i]) <= MOST_GATE)
                odds = exp_single(min(max(gate[i], -MOST_GATE), MOST_GATE))
                kept = _ONE / (_ONE + odds)
                fewer = expm1_single(max(base, _LEAST_BASE))
                minus_more = fewer * kept
                inverse = _ONE / (_ONE + minus_more)
                from_counts = (_ONE + fewer) * kept * inverse
                log_prob[i] = log1p_single(minus_more, inverse)
                by_gate[i] = -(minus_more * inverse * (odds * kept))
            else:
                from_counts = _ONE
                log_prob[i] = base
            by_mean[i] = -(stay * from_counts)
            by_theta[i] = -(beyond_share_single(share, log_growth) * from_counts)
            special[i] = not right

    @compiled
    def sort_out(counts, mean, theta, gate, special, zeros, few, many, left, offset):  # type: ignore[no-untyped-def]
        number = 0
        for i in range(len(counts)):  # no branch that could be mispredicted at every other count
            many[number] = i
            number += special[i]
        num_zeros, num_few, num_many, num_left = 0, 0, 0, 0
        for i in many[:number]:
            count = counts[i]
            here = (count >= _ZERO) & (count <= LARGEST) & (count == np.floor(count))
            here &= (mean[i] >= LEAST_MEAN) & (mean[i] <= MOST_MEAN)
            here &= (theta[i] >= LEAST_THETA) & (theta[i] <= MOST_THETA)
            if gated:
                here &= abs(gate[i]) <= MOST_GATE
            if not here:
                left[num_left] = offset + i
                num_left += 1
            elif count == _ZERO:
                zeros[num_zeros] = i
                num_zeros += 1
            elif count <= np.float32(FEW):
                few[num_few] = i
                num_few += 1
            else:
                many[num_many] = i
                num_many += 1
        return num_zeros, num_few, num_many, num_left

    @compiled
    def at_doubtful_zeros(places, mean, theta, gate, log_prob, by_mean, by_theta, by_gate):  # type: ignore[no-untyped-def]
        # ZeroInflatedNegativeBinomialFormula.at_doubtful_zero has the same in words. Without a gate no zero comes here.
        for i in places:
            m, t = np.float64(mean[i]), np.float64(theta[i])
            log_growth = log1p_double(m / t)
            odds, alone = exp_double(np.float64(gate[i])), exp_double(max(-t * log_growth, -_LARGEST_EXPONENT))
            kept, either = 1.0 / (1.0 + odds), odds + alone
            more, from_counts = kept * (1.0 - alone), alone / either
            log_prob[i] = log1p_double(-more) if more < 0.5 else log_double(kept * either)
            by_mean[i] = -(t / (t + m)) * from_counts
            by_theta[i] = -beyond_share_double(m / (t + m), log_growth) * from_counts
            by_gate[i] = more * (odds / either)

    @compiled
    def at_few(places, counts, mean, theta, gate, log_prob, by_mean, by_theta, by_gate, work):  # type: ignore[no-untyped-def]
        # NegativeBinomialFormula._few has the same in words.
        c, m, t, g = work[0], work[1], work[2], work[3]
        probability, rising, slope, weighted = work[4], work[5], work[6], work[7]
        for a in range(len(places)):
            i = places[a]
            c[a], m[a], t[a] = counts[i], mean[i], theta[i]
            if gated:
                g[a] = gate[i]
            # P = t (t + 1) .. (t + c - 1), its derivative Q, R = P sum_j j / (t + j), S = P (m / (t + m))^c / c!
            share = m[a] / (t[a] + m[a])
            P, Q, R, S = t[a], 1.0, 0.0, t[a] * share
            for j in range(1, int(counts[i])):
                factor = t[a] + j
                R = R * factor + j * P
                Q = Q * factor + P
                P *= factor
                S *= factor * share / (j + 1)
            rising[a], slope[a], weighted[a], probability[a] = P, Q, R, S
        for a in range(len(places)):
            total = t[a] + m[a]
            log_growth = log1p_double(m[a] / t[a])
            by_t = (m[a] * slope[a] - weighted[a]) / (rising[a] * total) - beyond_share_double(m[a] / total, log_growth)
            by_m = (c[a] - m[a]) / m[a] * (t[a] / total)
            if gated:
                odds = exp_double(g[a])
                kept = 1.0 / (1.0 + odds)
                probability[a] *= kept
                g[a] = -odds * kept
            c[a] = log_double(probability[a]) - t[a] * log_growth
            m[a], t[a] = by_m, by_t
        for a in range(len(places)):
            i = places[a]
            log_prob[i], by_mean[i], by_theta[i] = c[a], m[a], t[a]
            if gated:
                by_gate[i] = g[a]

    @compiled
    def at_many(places, counts, mean, theta, gate, log_prob, by_mean, by_theta, by_gate):  # type: ignore[no-untyped-def]
        # NegativeBinomialFormula._many has the same in words.
        for i in places:
            c, m, t = np.float64(counts[i]), np.float64(mean[i]), np.float64(theta[i])
            total, grown = t + m, t + c
            excess = (c - m) / total
            deviance = excess_over_log1p(excess, math.log(grown / total))
            count_deviance = excess_over_log1p(-excess * t / c, math.log(grown * m / (c * total)))
            value = stirling_remainder(grown) - stirling_remainder(t) - stirling_remainder(c)
            value -= t * deviance + c * count_deviance + HALF_LOG_TWO_PI + 0.5 * math.log(c * (grown / t))
            by_mean[i] = excess * t / m
            by_theta[i] = digamma_remainder_difference(t, c) - deviance
            if gated:
                odds = math.exp(gate[i])
                value -= math.log1p(odds)
                by_gate[i] = -odds / (1.0 + odds)
            log_prob[i] = value

    @compiled
    def run(first, last, counts, mean, theta, gate, log_prob, by_mean, by_theta, by_gate, left):  # type: ignore[no-untyped-def]
        columns, num_left = log_prob.shape[1], 0
        special, work = np.empty(columns, np.bool_), np.empty((_WORK_ARRAYS, columns))
        zeros, few, many = np.empty(columns, np.int32), np.empty(columns, np.int32), np.empty(columns, np.int32)
        for row in range(first, last):
            x, m, t, g = (
                counts[row % len(counts)],
                mean[row % len(mean)],
                theta[row % len(theta)],
                gate[row % len(gate)],
            )
            value, by_m, by_t = log_prob[row], by_mean[row % len(by_mean)], by_theta[row % len(by_theta)]
            by_g = by_gate[row % len(by_gate)]
            as_common_zeros(x, m, t, g, value, by_m, by_t, by_g, special)
            found = sort_out(x, m, t, g, special, zeros, few, many, left[num_left:], row * columns)
            if gated:
                at_doubtful_zeros(zeros[: found[0]], m, t, g, value, by_m, by_t, by_g)
            at_few(few[: found[1]], x, m, t, g, value, by_m, by_t, by_g, work)
            at_many(many[: found[2]], x, m, t, g, value, by_m, by_t, by_g)
            num_left += found[3]
        return num_left

    function: Kernel = run
    return function
