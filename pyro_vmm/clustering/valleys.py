r"""Whether a valley of the density lies between two clusters of latents; no label enters.

A Gaussian has a covariance of its own, :math:`D (D + 3) / 2` numbers in all. In many dimensions the marginal likelihood
therefore takes two groups far apart for one Gaussian where each counts for a few hundred observations only. Whether there are
two *modes* is a question in one dimension: along the direction that best tells the clusters apart, does the density fall and
rise again?

The direction is Fisher's, from one half of the observations, and the other half is projected, and the other way round: a
direction fitted to what it then divides would show a valley in anything. In a histogram of the projections the greatest likelihood
of a density with one mode is that of isotonic regression, up to the mode and down from it; with two, that of the best cut
into two such. With n observations a valley is worth the difference less :math:`\log n`, the BIC of two more parameters (place and
depth), in nats.

References
----------
R. A. Fisher (1936), "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7 (the direction); R. E. Barlow,
D. J. Bartholomew, J. M. Bremner and H. D. Brunk (1972), "Statistical inference under order restrictions" (pooling adjacent
violators); J. A. Hartigan and P. M. Hartigan (1985), "The dip test of unimodality", Annals of Statistics 13, and C. Hennig (2010),
"Methods for merging Gaussian mixture components", section 4 (one mode as what makes a cluster).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.shapes import Float, Int

_BINS = 20
_MEMBERS_A_BIN = 10
_FEWEST_BINS = 3
# Left out at either end, where a long tail would take bins away from the middle.
_TAIL = 0.005


def valley(
    first: Float[NDArray[np.float64], "n D"], second: Float[NDArray[np.float64], "m D"], most: float = np.inf
) -> float:
    """Nats for two modes rather than one between two clusters; below 0 where one mode is the better description.

    Parameters
    ----------
    first, second
        Latents of the two clusters, ``[n, D]`` and ``[m, D]``, in units in which the spread within clusters is about 1.
    most
        The ``n + m`` observations count as at most so many.

    Returns
    -------
    float
        Minus infinity where there are too few observations for a histogram.
    """
    number = len(first) + len(second)
    bins = min(_BINS, number // _MEMBERS_A_BIN)
    if bins < _FEWEST_BINS or min(len(first), len(second)) < 2:
        return -np.inf
    halves = [(first[0::2], second[0::2]), (first[1::2], second[1::2])]
    projected = np.concatenate([_along(halves[0], halves[1]), _along(halves[1], halves[0])])
    ends = np.quantile(projected, [_TAIL, 1.0 - _TAIL])
    if not ends[0] < ends[1]:
        return -np.inf
    counts, _ = np.histogram(projected, bins=bins, range=(ends[0], ends[1]))
    counted = min(float(number), most)
    return gain_of_two_modes(counts) * counted / number - float(np.log(counted))


def gain_of_two_modes(counts: Int[NDArray[np.integer], "bins"]) -> float:
    """Log-likelihood of the best density with at most two modes less that with one, for a histogram ``[bins]``; nats."""
    cuts = range(1, len(counts))
    return max(_one_mode(counts[:cut]) + _one_mode(counts[cut:]) for cut in cuts) - _one_mode(counts)


def _along(
    fitted: tuple[NDArray[np.float64], NDArray[np.float64]], shown: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Projections of ``shown`` on the direction that parts ``fitted``, from the midpoint, the spread within clusters being 1."""
    means = [each.mean(0) for each in fitted]
    offsets = np.concatenate([each - mean for each, mean in zip(fitted, means, strict=True)])
    dim = offsets.shape[1]
    # With D + 2 observations of a unit sphere, the prior of the evidence: few observations leave no direction without spread.
    within = (offsets.T @ offsets + (dim + 2.0) * np.eye(dim)) / (len(offsets) + dim + 2.0)
    direction = np.linalg.solve(within, means[0] - means[1])
    scale = np.sqrt(direction @ within @ direction)
    if not scale > 0.0:
        return np.zeros(sum(map(len, shown)))
    along: NDArray[np.float64] = (np.concatenate(shown) - 0.5 * (means[0] + means[1])) @ (direction / scale)
    return along


def _one_mode(counts: NDArray[np.integer]) -> float:
    """Greatest log-likelihood of a density over the bins that rises and then falls, up to a constant."""
    return float((_rising(counts) + _rising(counts[::-1])[::-1]).max())


def _rising(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Greatest log-likelihood of a rising density over each first so many bins, ``[bins + 1]``: adjacent violators pooled."""
    log_likelihoods = [0.0]
    blocks: list[tuple[float, int, float]] = []
    total = 0.0
    for count in counts:
        members, width = float(count), 1
        while blocks and blocks[-1][0] * width >= members * blocks[-1][1]:
            before, wide, its_log_likelihood = blocks.pop()
            members, width, total = members + before, width + wide, total - its_log_likelihood
        log_likelihood = members * np.log(members / width) if members else 0.0
        blocks.append((members, width, log_likelihood))
        total += log_likelihood
        log_likelihoods.append(total)
    return np.array(log_likelihoods)
