"""Whether there are clusters of a handful of observations."""

import numpy as np
from numpy.typing import ArrayLike

from pyro_vmm.diagnosis.finding import Finding

NAME = "small clusters"
HANDFUL = 10
"""With fewer members a cluster's mean has a standard error of more than a third of its spread, and it cannot be told from
a few outliers."""
MOST = 0.5
"""Share of the clusters above which clusters are mostly crumbs."""
NAMED = 5


def small_clusters(sizes: ArrayLike) -> Finding:
    """Name the clusters of fewer than :data:`HANDFUL` observations.

    It cannot see whether a small cluster is a rare group or a few outliers.

    Parameters
    ----------
    sizes
        Observations in each cluster, ``[C]``.
    """
    counts = np.asarray(sizes)
    number = int((counts > 0).sum())
    small = np.flatnonzero((counts > 0) & (counts < HANDFUL))
    if not len(small):
        smallest = int(counts[counts > 0].min())
        return Finding(NAME, "fine", f"The smallest of {number} clusters has {smallest:,} observations.", value=0.0)
    named = ", ".join(f"{cluster} ({counts[cluster]})" for cluster in small[:NAMED])
    named += f" and {len(small) - NAMED} more" if len(small) > NAMED else ""
    return Finding(
        NAME,
        "warning" if len(small) > MOST * number else "notice",
        f"{len(small)} of {number} clusters {'has' if len(small) == 1 else 'have'} fewer than {HANDFUL} observations: {named}.",
        "Look at their members before naming them; a lower prior_weight dissolves them.",
        float(len(small)),
    )
