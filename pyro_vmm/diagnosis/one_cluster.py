"""Whether everything is in one cluster."""

import numpy as np
from numpy.typing import ArrayLike

from pyro_vmm.diagnosis.finding import Finding

NAME = "one cluster"
LARGEST_SHARE = 0.95
"""One cluster in twenty observations or fewer outside the largest is as good as no clustering; a real rare group of that
size may exist, so this share alone is only a notice."""


def one_cluster(sizes: ArrayLike, num_components: int) -> Finding:
    """Say whether the clustering has come down to a single cluster.

    It cannot see whether the data have groups at all: one cluster is right for data of one kind.

    Parameters
    ----------
    sizes
        Observations in each cluster, ``[C]``.
    num_components
        Truncation ``K`` of the prior; with 1 no clusters were asked for.
    """
    counts = np.asarray(sizes)
    counts = counts[counts > 0]
    largest = float(counts.max() / counts.sum())
    if num_components == 1:
        return Finding(NAME, "fine", "The prior has one component, so no clusters were asked for.", value=1.0)
    if len(counts) == 1:
        return Finding(
            NAME,
            "warning",
            f"All {counts.sum():,} observations are in one cluster.",
            "Unless the data are of one kind: where rejoin with merging='none' finds more, join less (merging='valleys' or "
            "'contact'); where not, give fewer latent dimensions or another seed, and see whether the embedding "
            "has groups that another method finds.",
            1.0,
        )
    told = f"The largest of {len(counts)} clusters holds {100 * largest:.1f} % of the observations."
    if largest > LARGEST_SHARE:
        return Finding(
            NAME,
            "notice",
            told,
            "If it should be several groups, join less: rejoin with merging='contact' or 'valleys', or a larger evidence_weight.",
            largest,
        )
    return Finding(NAME, "fine", told, value=largest)
