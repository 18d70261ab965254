"""Functions of one number for loops that numba compiles to vector instructions; needs the package numba.

The C library's own are called for one number at a time, which a compiler cannot turn into vector instructions: these are sums,
products and the bits of a number only. The names end in the type of the numbers, single or double precision. None of
them looks for NaN or infinity: the caller keeps to the arguments that are told.
"""

import numba
import numpy as np

compiled = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
"""Compiled at the first call; a product and a sum may become one instruction, no other liberty is taken."""

_LOG_2 = np.log(2.0)
_ONE = np.float32(1.0)
# (log(1 + f) - f + f^2 / 2) / f^3 at sqrt(1/2) - 1 <= f <= sqrt(2) - 1 by its values at Chebyshev's nodes, highest power first;
# relative to log(1 + f) it is out by 2e-8.
_LOG1P_TAIL = (-0.07902744, 0.12622319, -0.12998183, 0.14214496, -0.16641282, 0.20001045, -0.25000307, 0.33333331)


@compiled
def log1p_single(x, inverse):  # type: ignore[no-untyped-def]
    """``log(1 + x)`` for ``-0.99 < x < 1e38``, given ``inverse = 1 / (1 + x)`` to rounding; within four units of rounding."""
    u = np.float32(_ONE + x)
    # What rounding took from 1 + x; where x is tiny that is all there is.
    lost = (x - (u - _ONE)) * inverse
    bits = u.view(np.int32)
    # u = 2^e (1 + f) with 1 + f within sqrt(1/2) and sqrt(2), the bits of whose lower end are the number below.
    e = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))
    f = np.int32(bits - np.int32(e << np.int32(23))).view(np.float32) - _ONE
    tail = np.float32(0.0)
    for coefficient in _LOG1P_TAIL:
        tail = tail * f + np.float32(coefficient)
    square = f * f
    return np.float32(e) * np.float32(_LOG_2) + ((lost + f) + square * (tail * f - np.float32(0.5)))


@compiled
def expm1_single(x):  # type: ignore[no-untyped-def]
    """``exp(x) - 1`` for ``-2 <= x <= 0``, within ten units of rounding."""
    y = x * np.float32(0.25)
    series = np.float32(1 / 40320)
    for coefficient in (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0):
        series = series * y + np.float32(coefficient)
    e = series * y
    e = e * (e + np.float32(2.0))
    return e * (e + np.float32(2.0))


@compiled
def exp_single(x):  # type: ignore[no-untyped-def]
    """``exp(x)`` for ``-80 <= x <= 80``, within three units of rounding."""
    n = np.floor(x * np.float32(1.0 / _LOG_2) + np.float32(0.5))
    # log(2) in two parts, the first of few digits, whose product with n is exact.
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    series = np.float32(1 / 5040)
    for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        series = series * r + np.float32(coefficient)
    return series * np.int32(np.int32(np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled
def log_double(x):  # type: ignore[no-untyped-def]
    """``log(x)`` for ``1e-300 < x < 1e300``, to 1e-15 of ``max(1, |log x|)``."""
    bits = np.float64(x).view(np.int64)
    e = (bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)
    f = np.int64(bits - (e << np.int64(52))).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    tail = 2 / 19
    for denominator in (17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0):
        tail = tail * z + 2.0 / denominator
    return np.float64(e) * _LOG_2 + (2.0 * s + s * z * tail)


@compiled
def log1p_double(x):  # type: ignore[no-untyped-def]
    """``log(1 + x)`` for ``-0.99 < x < 1e300``, to 1e-14 of itself."""
    u = 1.0 + x
    return log_double(u) + (x - (u - 1.0)) / u


@compiled
def exp_double(x):  # type: ignore[no-untyped-def]
    """``exp(x)`` for ``-700 <= x <= 700``, to 1e-14 of itself."""
    n = np.floor(x * (1.0 / _LOG_2) + 0.5)
    r = x - n * 0.6931471803691238 - n * 1.9082149292705877e-10
    series = 1 / 479001600
    for inverse in (39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0):
        series = series * r + 1.0 / inverse
    return series * np.int64((np.int64(n) + np.int64(1023)) << np.int64(52)).view(np.float64)


@compiled
def beyond_share_single(share, log_growth):  # type: ignore[no-untyped-def]
    """As ``gamma_remainders.log_growth_beyond_share``."""
    # -log(1 - share) - share
    series = np.float32(1 / 8)
    for denominator in (7.0, 6.0, 5.0, 4.0, 3.0, 2.0):
        series = series * share + np.float32(1.0 / denominator)
    return share * share * series if share < np.float32(0.1) else log_growth - share


@compiled
def beyond_share_double(share, log_growth):  # type: ignore[no-untyped-def]
    """As ``gamma_remainders.log_growth_beyond_share``."""
    r = share / (2.0 - share)
    z = r * r
    tail = 1 / 13
    for denominator in (11.0, 9.0, 7.0, 5.0, 3.0):
        tail = tail * z + 1.0 / denominator
    return r * (share + 2.0 * z * tail) if share < 0.1 else log_growth - share
