"""Joining clusters pairwise, the cheapest pair first, until one is left."""

from collections.abc import Iterator

import numpy as np

from pyro_vmm.clustering.criteria.base import PairCosts


def agglomerate(pairs: PairCosts, number: int) -> Iterator[tuple[int, int, float]]:
    """Join ``number`` clusters into one, and yield each joining: the cluster kept, the one absorbed and the cost.

    Parameters
    ----------
    pairs
        Costs of the clusters ``0 .. number - 1``; it is informed of every merge.
    number
        Of clusters at first; ``number - 1`` joinings follow. Among equal costs the first pair is joined.
    """
    alive = np.ones(number, dtype=bool)
    upper = np.triu(np.ones((number, number), dtype=bool), k=1)
    for _ in range(number - 1):
        candidates = np.where(upper & alive[:, None] & alive, pairs.costs(), np.inf)
        kept, absorbed = (int(position) for position in np.unravel_index(candidates.argmin(), candidates.shape))
        yield kept, absorbed, float(candidates[kept, absorbed])
        pairs.merge(kept, absorbed)
        alive[absorbed] = False
