"""What is left of log-gamma and digamma when their large parts have been cancelled by hand.

A count's log-probability is a small difference of large log-gamma terms. Everything here is one of those
differences with the cancellation done on paper, so that rounding errors stay relative to the result.
All functions work elementwise in the dtype they are given and build no autograd graph worth keeping: the
distributions call them with gradients switched off and differentiate on paper too.

References
----------
.. [1] C. Loader, "Fast and accurate computation of binomial probabilities", 2000.
.. [2] NIST Digital Library of Mathematical Functions, 5.5.1-2, 5.11.1-2, https://dlmf.nist.gov/5.11
"""

import math

import torch
from torch import Tensor

from pyro_vmm.shapes import Float

SERIES_FROM = 10.0
"""Arguments from here on use the asymptotic series; smaller ones are first shifted up by this much."""

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

# B_2k / (2k (2k - 1)) for k = 1..7, DLMF 5.11.1; the next term is below 3e-17 at SERIES_FROM.
STIRLING_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
# B_2k / (2k) for k = 1..7, DLMF 5.11.2.
DIGAMMA_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
# 1 / (2k + 3), the tail of atanh(r) / r after its first term.
_ATANH_TAIL = (1 / 3, 1 / 5, 1 / 7, 1 / 9, 1 / 11, 1 / 13)
# (y + j)(y + 9 - j) = y (y + 9) + j (9 - j), j = 0..4: ten shifts in five factors.
_PAIRED_SHIFTS = (0.0, 8.0, 14.0, 18.0, 20.0)


def excess_over_log1p(e: Float[Tensor, "*shape"], log1p_e: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Compute ``e - log(1 + e)``, the deviance of a ratio ``1 + e`` from one.

    Parameters
    ----------
    e
        Any shape, greater than -1.
    log1p_e
        ``log(1 + e)``, same shape; the caller often has ``1 + e`` free of rounding where e is close to -1.
        Used only where ``|e| >= 0.1``.

    Returns
    -------
    Tensor
        Non-negative, same shape, within about 20 units of rounding of the true value for every e.

    Notes
    -----
    With ``r = e / (2 + e)``, ``log1p(e) = 2 atanh(r)`` and ``e - log1p(e) = r (e - 2 r^2 (1/3 + r^2/5 + ...))``,
    which does not cancel for small e; see ``bd0`` in [1]_.
    """
    r = e / (e + 2.0)
    r_squared = r * r
    terms = len(_ATANH_TAIL) if e.dtype == torch.float64 else 3
    tail = _polynomial(r_squared, _ATANH_TAIL[:terms]).mul_(r_squared).mul_(-2.0).add_(e).mul_(r)
    return torch.where(e.abs() < 0.1, tail, e - log1p_e)


def log_growth_beyond_share(
    share: Float[Tensor, "*shape"], log_growth: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Compute ``log(1 + u) - u / (1 + u)``: :func:`excess_over_log1p` at ``-u / (1 + u)``, in fewer passes.

    Parameters
    ----------
    share
        ``u / (1 + u)``, any shape, within 0 and 1.
    log_growth
        ``log(1 + u)``, same shape, finite.

    Returns
    -------
    Tensor
        Non-negative, same shape, within about 20 units of rounding of the true value for every u.
    """
    r = share.neg().add_(2.0).reciprocal_().mul_(share)
    r_squared = r * r
    terms = len(_ATANH_TAIL) if share.dtype == torch.float64 else 3
    tail = _polynomial(r_squared, _ATANH_TAIL[:terms]).mul_(r_squared).mul_(2.0).add_(share).mul_(r)
    # torch.where mispredicts its branch at every other element; this does not, and takes an eighth of the time.
    near = torch.lt(share, 0.1, out=r_squared)
    return (log_growth - share).lerp_(tail, near)


def stirling_remainder(y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Compute ``log Gamma(y + 1) - (y + 1/2) log y + y - 1/2 log(2 pi)``, Stirling's error.

    Parameters
    ----------
    y
        Any shape, positive.

    Returns
    -------
    Tensor
        Positive, same shape; relative to rounding where ``y >= 10``, else within about 100 units of rounding
        of ``max(1, |log y|)`` (the value itself is above 0.008 there).
    """
    small = y < SERIES_FROM
    z = torch.where(small, y + SERIES_FROM, y)
    inverse = z.reciprocal()
    series = _polynomial(inverse * inverse, STIRLING_SERIES).mul_(inverse)
    # Gamma(y + 1) = y Gamma(z) / prod_{j<10} (y + j) and Gamma(z) by its own Stirling formula.
    below = y.clamp(max=SERIES_FROM)
    q = below * (below + 9.0)
    rising = q.clone()
    for shift in _PAIRED_SHIFTS[1:]:
        rising.mul_(q + shift)
    shifted = (below + SERIES_FROM - 0.5) * torch.log(below + SERIES_FROM) - torch.log(rising)
    shifted += (0.5 - below) * torch.log(below) - SERIES_FROM
    return torch.where(small, series + shifted, series)


def digamma_remainder_difference(y: Float[Tensor, "*shape"], step: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Compute ``S(y) - S(y + step)`` where ``S(y) = log y - digamma(y)``.

    Parameters
    ----------
    y
        Any shape, positive.
    step
        Same shape, non-negative: the count by which the argument grows.

    Returns
    -------
    Tensor
        Non-negative, same shape; the relative error stays within about 100 units of rounding for counts from
        one up (``y = 1e8, step = 1`` included, where the two terms agree in eight digits).

    Notes
    -----
    ``S(y) = 1/(2y) + 1/(12 y^2) - ...`` (DLMF 5.11.2); differences of powers are taken by the divided difference
    of the polynomial, with ``1/y - 1/(y + step) = step / (y (y + step))`` as exact common factor.
    """
    small = y < SERIES_FROM
    z = torch.where(small, y + SERIES_FROM, y)
    z_next = z + step
    u, v = z.reciprocal(), z_next.reciprocal()
    gap = step * u * v
    u_squared, v_squared = u * u, v * v
    value_at_v = torch.full_like(v, DIGAMMA_SERIES[-1])
    divided = torch.zeros_like(v)
    for coefficient in (*DIGAMMA_SERIES[-2::-1], 0.0):
        divided.mul_(u_squared).add_(value_at_v)
        value_at_v.mul_(v_squared).add_(coefficient)
    series = gap * (divided * (u + v) + 0.5)
    # digamma(y + 10) - digamma(y) = sum_{j<10} 1 / (y + j), again as differences over y and y + step.
    below = y.clamp(max=SERIES_FROM)
    following = below + step
    shifted = torch.zeros_like(y)
    for shift in range(int(SERIES_FROM)):
        shifted.add_(((below + float(shift)) * (following + float(shift))).reciprocal_())
    shifted.mul_(step)
    # log(y / (y + 10)) - log((y + step) / (y + step + 10)), in one logarithm
    shifted.add_(torch.log((below / following) * ((following + SERIES_FROM) / (below + SERIES_FROM))))
    return torch.where(small, series + shifted, series)


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Evaluate ``sum_k coefficients[k] x^k`` by Horner's rule."""
    total = (x * coefficients[-1]).add_(coefficients[-2])
    for coefficient in coefficients[-3::-1]:
        total.mul_(x).add_(coefficient)
    return total
