"""What :mod:`~pyro_vmm.distributions.gamma_remainders` has, of one number, for numba to compile."""

import math

from pyro_vmm.distributions.compiled.functions import compiled
from pyro_vmm.distributions.gamma_remainders import DIGAMMA_SERIES, SERIES_FROM, STIRLING_SERIES


@compiled
def excess_over_log1p(e, log1p_e):  # type: ignore[no-untyped-def]
    """``e - log(1 + e)``."""
    if abs(e) >= 0.1:
        return e - log1p_e
    r = e / (e + 2.0)
    z = r * r
    tail = 1 / 13
    for denominator in (11.0, 9.0, 7.0, 5.0, 3.0):
        tail = tail * z + 1.0 / denominator
    return r * (e - 2.0 * z * tail)


@compiled
def stirling_remainder(y):  # type: ignore[no-untyped-def]
    """Stirling's error of ``log Gamma(y + 1)``."""
    z = y if y >= SERIES_FROM else y + SERIES_FROM
    inverse = 1.0 / z
    square, series = inverse * inverse, 0.0
    for coefficient in STIRLING_SERIES[::-1]:
        series = series * square + coefficient
    series *= inverse
    if y >= SERIES_FROM:
        return series
    rising = y
    for shift in range(1, int(SERIES_FROM)):
        rising *= y + shift
    shifted = (z - 0.5) * math.log(z) - math.log(rising) + (0.5 - y) * math.log(y) - SERIES_FROM
    return series + shifted


@compiled
def digamma_remainder_difference(y, step):  # type: ignore[no-untyped-def]
    """``S(y) - S(y + step)`` where ``S(y) = log y - digamma(y)``."""
    z = y if y >= SERIES_FROM else y + SERIES_FROM
    u, v = 1.0 / z, 1.0 / (z + step)
    value, divided = DIGAMMA_SERIES[-1], 0.0
    for coefficient in (*DIGAMMA_SERIES[-2::-1], 0.0):
        divided = divided * (u * u) + value
        value = value * (v * v) + coefficient
    series = step * u * v * (divided * (u + v) + 0.5)
    if y >= SERIES_FROM:
        return series
    following, shifted = y + step, 0.0
    for shift in range(int(SERIES_FROM)):
        shifted += 1.0 / ((y + shift) * (following + shift))
    return series + step * shifted + math.log((y / following) * ((following + SERIES_FROM) / (y + SERIES_FROM)))
