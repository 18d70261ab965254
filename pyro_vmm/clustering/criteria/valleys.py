"""Clusters are alike where one Gaussian describes both and no valley of the density lies between them."""

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.clustering.criteria.evidence import EvidenceCosts
from pyro_vmm.clustering.utilised_components import UtilisedComponents
from pyro_vmm.clustering.valleys import valley
from pyro_vmm.shapes import Float


class ValleyCosts(EvidenceCosts):
    """Log Bayes factors, but nats for two modes where a valley is found and these are more (:mod:`pyro_vmm.clustering.valleys`).

    A valley is looked for only between two clusters that would be joined next.
    """

    def __init__(self, components: UtilisedComponents) -> None:
        super().__init__(components)
        number, assigned = len(self._costs), components.positions
        self._members = [np.flatnonzero(assigned == cluster) for cluster in range(number)]
        self._impossible = np.tril(np.ones((number, number), dtype=bool))
        self._looked_at = np.zeros((number, number), dtype=bool)

    def costs(self) -> Float[NDArray[np.float64], "U U"]:
        """``[U, U]``, nats, infinite below the diagonal; the smallest is one that no valley raises."""
        self._costs[self._impossible] = np.inf
        while True:
            first, second = np.unravel_index(self._costs.argmin(), self._costs.shape)
            if self._looked_at[first, second]:
                return self._costs
            mine, theirs = (self._prior.whitened[self._members[cluster]] for cluster in (first, second))
            if (nats := valley(mine, theirs, self._weight)) > 0.0:
                self._costs[first, second] = max(self._costs[first, second], nats)
            self._looked_at[first, second] = True

    def merge(self, kept: int, absorbed: int) -> None:
        """Let the union have the members of both, and be looked at anew."""
        super().merge(kept, absorbed)
        self._members[kept] = np.union1d(self._members[kept], self._members[absorbed])
        self._looked_at[kept] = self._looked_at[:, kept] = False
        self._impossible[absorbed] = self._impossible[:, absorbed] = True
