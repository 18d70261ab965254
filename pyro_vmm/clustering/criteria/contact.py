"""Clusters are alike where they touch as the parts of one population do and no valley of the density lies between them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.clustering.contact import contact
from pyro_vmm.clustering.criteria.evidence import EvidenceCosts
from pyro_vmm.clustering.utilised_components import UtilisedComponents
from pyro_vmm.clustering.valleys import valley
from pyro_vmm.shapes import Float

# By simulated truth, populations of one kind and rare groups: benchmarks/README.md, "Joining components".
APART: Final = 0.7
"""Separation from which two clusters stay two: they touch less than three tenths as much as the parts of one population."""
_WHERE_ONE_GAUSSIAN_DOES: Final = 1.5
"""What contact counts for where one Gaussian describes both better than two: then a fifth is enough to join them."""


class ContactCosts(EvidenceCosts):
    """Separations of clusters: 0 for parts of one population, 1 for groups with nothing between them.

    A separation is one minus the contact (:mod:`pyro_vmm.clustering.contact`), which counts half as much again where one Gaussian
    describes both clusters better than two (:mod:`pyro_vmm.clustering.evidence`), and at least :data:`APART` where the density
    falls and rises again between them (:mod:`pyro_vmm.clustering.valleys`).

    Pairs are looked at in the order of their evidence for being one Gaussian, so that the pieces of a group are joined before
    what lies next to it.
    """

    joined_below = APART

    def __init__(self, components: UtilisedComponents) -> None:
        super().__init__(components)
        number, assigned = len(self._costs), components.positions
        self._members = [np.flatnonzero(assigned == cluster) for cluster in range(number)]
        self._separations = np.full((number, number), np.nan)

    def costs(self) -> Float[NDArray[np.float64], "U U"]:
        """``[U, U]``: the separation of the pair to join next and infinity, or all separations where all pairs are apart."""
        number = len(self._costs)
        first, second = np.triu_indices(number, k=1)
        pairs = self._alive[first] & self._alive[second]
        first, second = first[pairs], second[pairs]
        for position in np.argsort(self._costs[first, second], kind="stable"):
            pair = first[position], second[position]
            if np.isnan(self._separations[pair]):
                self._separations[pair] = self._separation(*pair)
            if self._separations[pair] < APART:
                only = np.full((number, number), np.inf)
                only[pair] = self._separations[pair]
                return only
        return self._separations

    def _separation(self, first: int, second: int) -> float:
        mine, theirs = (self._prior.whitened[self._members[cluster]] for cluster in (first, second))
        counted = _WHERE_ONE_GAUSSIAN_DOES if self._costs[first, second] < 0.0 else 1.0
        separation = max(0.0, 1.0 - counted * contact(mine, theirs))
        if 0.0 < separation < APART and valley(mine, theirs, self._weight) > 0.0:
            return APART
        return separation

    def merge(self, kept: int, absorbed: int) -> None:
        """Let the union have the members of both, and be looked at anew."""
        super().merge(kept, absorbed)
        self._members[kept] = np.union1d(self._members[kept], self._members[absorbed])
        self._separations[kept] = self._separations[:, kept] = np.nan
