"""Clusters are alike where the mixture takes the members of one for those of the other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.clustering.criteria.base import PairCosts
from pyro_vmm.clustering.criteria.pair_matrix import add_row_and_column
from pyro_vmm.clustering.row_blocks import is_settled
from pyro_vmm.clustering.utilised_components import UtilisedComponents
from pyro_vmm.shapes import Float


class MisclassificationCosts(PairCosts):
    """One minus Hennig's directly estimated misclassification probability.

    ``confusion[i, j]`` sums ``r_ni`` over the observations assigned to j. A merge changes the arg-max only of observations that the
    union wins, so only their columns are read again. None is won that gives one cluster more than all others together: of
    these the sums are enough, and only the other observations are kept.

    References
    ----------
    C. Hennig (2010), "Methods for merging Gaussian mixture components", Advances in Data Analysis and Classification 4.
    """

    def __init__(self, components: UtilisedComponents) -> None:
        number = len(components.utilised)
        self._confusion = np.zeros((number, number))
        undecided = []
        for block in components.summed_blocks():
            # [U, B], so that a cluster's values lie together.
            values = np.ascontiguousarray(block.T)
            assigned = values.argmax(axis=0)
            for cluster in np.unique(assigned):
                self._confusion[:, cluster] += _total(values, assigned == cluster)
            undecided.append(values[:, ~is_settled(block)])
        self._responsibilities: NDArray[np.floating[Any]] = np.concatenate(undecided, axis=1)
        self._assigned = self._responsibilities.argmax(axis=0)
        self._largest = self._responsibilities.max(axis=0)

    def costs(self) -> Float[NDArray[np.float64], "U U"]:
        """``[U, U]``, in [0, 1]."""
        generated = self._confusion.sum(axis=1, keepdims=True)
        probability = np.divide(self._confusion, generated, out=np.zeros_like(self._confusion), where=generated > 0.0)
        return np.clip(1.0 - np.maximum(probability, probability.T), 0.0, 1.0)

    def merge(self, kept: int, absorbed: int) -> None:
        """Give the union the members of both, and those of other clusters that it wins by its sums."""
        self._responsibilities[kept] += self._responsibilities[absorbed]
        self._responsibilities[absorbed] = 0.0
        add_row_and_column(self._confusion, kept, absorbed)
        self._assigned[self._assigned == absorbed] = kept
        union = self._responsibilities[kept]
        won = (self._assigned != kept) & (union > self._largest)
        for loser in np.unique(self._assigned[won]):
            moved = _total(self._responsibilities, won & (self._assigned == loser))
            # Taking sums away again leaves rounding error of either sign where nothing should be left.
            self._confusion[:, loser] = np.maximum(self._confusion[:, loser] - moved, 0.0)
            self._confusion[:, kept] += moved
        self._assigned[won] = kept
        np.copyto(self._largest, union, where=self._assigned == kept)


def _total(responsibilities: NDArray[np.floating[Any]], observations: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Sums over some of the observations, ``[U]``, of responsibilities ``[U, N]``."""
    return responsibilities[:, observations].sum(axis=1, dtype=np.float64)
