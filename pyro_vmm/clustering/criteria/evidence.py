"""Clusters are alike where one Gaussian describes the latents of both better than two do."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.clustering.criteria.base import PairCosts
from pyro_vmm.clustering.evidence import NormalWishart
from pyro_vmm.clustering.utilised_components import UtilisedComponents
from pyro_vmm.option_checks import check_positive
from pyro_vmm.shapes import Float

# By agreement between fits with different learning rates and by simulated truth: benchmarks/README.md, "Joining components".
EVIDENCE_WEIGHT: Final = 2000.0
EVIDENCE_WEIGHT_PER_DIMENSION: Final = 200.0


class EvidenceCosts(PairCosts):
    """Log Bayes factors for two clusters against one, in nats (:mod:`pyro_vmm.clustering.evidence`).

    Raises
    ------
    UserError
        If the latents do not fit, or ``evidence_weight`` is not positive.
    """

    reads_latents = True

    def __init__(self, components: UtilisedComponents) -> None:
        z, weight = components.latents, components.evidence_weight
        if weight is None:
            weight = max(EVIDENCE_WEIGHT, EVIDENCE_WEIGHT_PER_DIMENSION * z.shape[1])
        self._weight = check_positive(weight, "evidence_weight", "number of observations, or None", finite=False)
        self._prior = NormalWishart(z, components.positions, len(components.utilised), self._weight)
        self._clusters = self._prior.moments
        self._log_evidence = self._prior.log_evidence(self._clusters)
        number = len(self._log_evidence)
        self._alive = np.ones(number, dtype=bool)
        self._costs = np.zeros((number, number))
        for cluster in range(number):
            self._compare(cluster, np.arange(cluster, number))

    def _compare(self, cluster: int, others: NDArray[np.int64]) -> None:
        unions = self._prior.log_evidence(self._clusters[others] + self._clusters[[cluster]])
        costs = self._log_evidence[others] + self._log_evidence[cluster] - unions
        self._costs[cluster, others] = self._costs[others, cluster] = costs

    def costs(self) -> Float[NDArray[np.float64], "U U"]:
        """``[U, U]``, nats; below 0 where one Gaussian is the better description."""
        return self._costs

    def merge(self, kept: int, absorbed: int) -> None:
        """Add the moments, and compare the union with the others."""
        # The absorbed one keeps its moments: it is never asked for again.
        for mine, theirs in (
            (self._clusters.count, self._clusters.count[absorbed]),
            (self._clusters.total, self._clusters.total[absorbed]),
            (self._clusters.products, self._clusters.products[absorbed]),
        ):
            mine[kept] += theirs
        self._log_evidence[kept] = self._prior.log_evidence(self._clusters[[kept]])[0]
        self._alive[absorbed] = False
        self._compare(kept, np.flatnonzero(self._alive))
