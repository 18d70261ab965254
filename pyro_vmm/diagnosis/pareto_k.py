"""How far importance sampling with the guide can be trusted, observation by observation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.process_settings import usual_settings

RELIABLE = 0.7
"""Above this the importance-weighted mean converges too slowly to be of use (Vehtari et al. 2024, section 3.2.4); with few draws,
:func:`reliable_up_to`."""
ALIKE = 1e-3
"""Ratios that differ by less than this share weigh all draws alike: what is left is rounding, whose ties have no tail to fit."""
FEWEST_DRAWS = 25
"""Five draws in the tail, the least that a generalised Pareto distribution is fitted to."""


@usual_settings()
def pareto_k(log_ratios: ArrayLike) -> NDArray[np.float64]:
    """Shape ``k`` of the generalised Pareto distribution fitted to the largest importance ratios, ``[N]``.

    The smaller the better: below 0.5 the ratios have a finite variance, above :func:`reliable_up_to` (0.7 from 2,200 draws on)
    the guide's tails are too light for ``p(z | x)``. It is the diagnostic of Pareto smoothed importance sampling (PSIS). Where
    all ratios of the tail are alike, as for the posterior itself, ``k`` is 0. It cannot see a part of the posterior in which
    no draw has fallen.

    Parameters
    ----------
    log_ratios
        ``log p(x, z) - log q(z | x)`` at draws from the guide, ``[N, S]``.

    Raises
    ------
    UserError
        If there are fewer than :data:`FEWEST_DRAWS` draws, or a ratio is not a number.

    References
    ----------
    A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry (2024; preprint 2015), "Pareto smoothed importance sampling", for
    the length of the tail and the weak prior on ``k``; J. Zhang and M. Stephens (2009), "A new and efficient estimation
    method for the generalized Pareto distribution", for the fit.
    """
    ratios = np.asarray(log_ratios, dtype=np.float64)
    if ratios.ndim != 2 or ratios.shape[1] < FEWEST_DRAWS:
        raise UserError(f"log_ratios has shape {list(ratios.shape)}: give at least {FEWEST_DRAWS} draws, [N, S].")
    if np.isnan(ratios).any() or np.isposinf(ratios).any() or np.isneginf(ratios).all(1).any():
        raise UserError(
            "log_ratios has values that are no numbers: look for observations that the model gives no density."
        )
    draws = ratios.shape[1]
    tail = int(np.ceil(min(draws / 5, 3 * np.sqrt(draws))))
    ordered = np.sort(ratios - ratios.max(1, keepdims=True), axis=1)
    threshold = np.exp(ordered[:, [-tail - 1]])  # where the largest is one
    excess = np.exp(ordered[:, -tail:]) - threshold
    return np.array([_shape(row) if row[-1] > ALIKE else 0.0 for row in excess])


def reliable_up_to(num_draws: int) -> float:
    """The ``k`` up to which so many draws suffice: ``min(1 - 1 / log10 S, 0.7)`` (Vehtari et al. 2024, section 3.2.3)."""
    return min(1.0 - 1.0 / float(np.log10(num_draws)), RELIABLE)


def _shape(excess: NDArray[np.float64]) -> float:
    """Zhang and Stephens' posterior mean of ``k`` for ordered excesses ``[n]`` over a threshold, drawn towards 0.5."""
    number = len(excess)
    excess = np.maximum(excess, np.finfo(np.float64).tiny)
    points = 30 + int(np.sqrt(number))
    quartile = max(excess[int(number / 4 + 0.5) - 1], np.finfo(np.float64).eps * excess[-1])
    grid = 1.0 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))
    theta = grid / (3.0 * quartile) + 1.0 / excess[-1]
    k = np.log1p(-theta[:, None] * excess).mean(1)
    profile = number * (np.log(-theta / k) - k - 1.0)
    weights = 1.0 / np.exp(np.minimum(profile - profile[:, None], 700.0)).sum(1)
    mean_theta = float((weights * theta).sum() / weights.sum())
    shape = float(np.log1p(-mean_theta * excess).mean())
    # A prior worth ten observations at 0.5 steadies the estimate from short tails.
    return (number * shape + 10.0 * 0.5) / (number + 10.0)
