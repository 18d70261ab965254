r"""Whether two clusters of latents touch, as the halves of one population do; no label enters.

Of the nearest neighbours of the smaller cluster's members, some lie in the larger cluster. Between two distinct groups these
are few. Between two parts of one population they are many, whatever its shape, because there the parts meet. The *contact* of two
clusters is this share, divided by the share in one Gaussian of as many dimensions that a plane cuts into two parts of the same
sizes: 1 for one population, 0 for two that have nothing between them.

The share falls with the number of observations, because neighbours come closer. So at most 500 members of the smaller cluster are
looked at, with the same share of the larger one's; and of a cluster more than 20 times as large only the nearest members, 20
times as many. What is few counts in full.

References
----------
The share of edges that leave a cluster is its conductance in the graph of nearest neighbours: R. Kannan, S. Vempala and A. Vetta
(2004), "On clusterings: good, bad and spectral", Journal of the ACM 51. To compare it with one Gaussian follows Y. Liu,
D. N. Hayes, A. Nobel and J. S. Marron (2008), "Statistical significance of clustering for high-dimension, low-sample size
data", JASA 103.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.shapes import Float

_NEIGHBOURS = 10
"""A cluster of no more members has neighbours elsewhere, however far away: so few are no group of their own."""
_MOST: Final = 500
"""Members of the smaller cluster that are looked at."""
_TIMES_AS_MANY: Final = 20
"""Members of the larger cluster, as a multiple of the smaller one's."""
_STEPS_AN_OCTAVE = 4
"""Sizes for which the Gaussian is drawn."""
_DRAWN = 2000
_MOST_DRAWS = 20


def contact(first: Float[NDArray[np.float64], "n D"], second: Float[NDArray[np.float64], "m D"]) -> float:
    """Contact of two clusters: about 1 for two parts of one population, near 0 for distinct groups.

    Parameters
    ----------
    first, second
        Latents of the two clusters, ``[n, D]`` and ``[m, D]``, in units in which the spread within clusters is about 1.
    """
    small, large = sorted((first, second), key=len)
    large = _nearest(large, small)
    looked_at = min(1.0, _MOST / len(small))
    small, large = (_thinned(each, max(1, int(len(each) * looked_at))) for each in (small, large))
    return _share_across(small, large) / _of_one_gaussian(small.shape[1], _rounded(len(small)), _rounded(len(large)))


def _share_across(small: NDArray[np.float64], large: NDArray[np.float64]) -> float:
    """Share of the nearest neighbours of the members of ``small`` that lie in ``large``."""
    both = np.concatenate([small, large])
    squares = np.square(both).sum(1)
    distance = squares[: len(small), None] + squares - 2.0 * small @ both.T
    np.fill_diagonal(distance, np.inf)
    number = min(_NEIGHBOURS, len(both) - 1)
    neighbours = np.argpartition(distance, number - 1, axis=1)[:, :number]
    return float((neighbours >= len(small)).mean())


@lru_cache(maxsize=4096)
def _of_one_gaussian(dimensions: int, small: int, large: int) -> float:
    """The same share where a plane cuts one Gaussian, by simulation: the same for the same sizes."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(min(_MOST_DRAWS, max(1, _DRAWN // (small + large)))):
        drawn = rng.standard_normal((small + large, dimensions))
        ordered = drawn[np.argsort(drawn[:, 0])]
        shares.append(_share_across(ordered[:small], ordered[small:]))
    return float(np.mean(shares))


def _rounded(size: int) -> int:
    return round(2.0 ** (round(np.log2(size) * _STEPS_AN_OCTAVE) / _STEPS_AN_OCTAVE))


def _nearest(large: NDArray[np.float64], small: NDArray[np.float64]) -> NDArray[np.float64]:
    """The members of ``large`` nearest to the mean of ``small``, in their order; all where they are fewer."""
    number = _TIMES_AS_MANY * len(small)
    if number >= len(large):
        return large
    distance = np.square(large - small.mean(0)).sum(1)
    return large[np.sort(np.argpartition(distance, number)[:number])]


def _thinned(members: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    return members if number >= len(members) else members[np.linspace(0, len(members) - 1, number).astype(np.int64)]
