"""Whether a cluster holds a distinct group that should be one of its own."""

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.clustering import merge_tree
from pyro_vmm.clustering.criteria.contact import APART
from pyro_vmm.diagnosis.finding import Finding
from pyro_vmm.diagnosis.sampled_rows import told
from pyro_vmm.diagnosis.small_clusters import HANDFUL

NAME = "absorbed groups"
NAMED = 3


def absorbed_groups(
    latents: NDArray[np.floating], components: NDArray[np.int64], clusters: NDArray[np.int64], num_observations: int
) -> Finding:
    """Name the clusters that hold groups which hardly touch (:mod:`pyro_vmm.clustering.contact`).

    It cannot see a group that has no component of its own.

    Parameters
    ----------
    latents
        Posterior means of M observations, ``[M, D]``.
    components, clusters
        The most probable component and cluster of each, ``[M]``.
    num_observations
        Of how many observations they were drawn.
    """
    names, members = np.unique(components, return_inverse=True)
    one_hot = np.eye(len(names), dtype=np.float32)[members]
    tree = merge_tree(one_hot, criterion="contact", latents=latents)
    groups = _within(tree.joined_below(APART)[members], clusters)
    looked_at = told(len(latents), num_observations)
    if not groups:
        return Finding(NAME, "fine", f"No cluster holds a distinct smaller group, of {looked_at}.", value=0.0)
    named = ", ".join(f"{size:,} in cluster {cluster}" for cluster, size in groups[:NAMED])
    named += f" and {len(groups) - NAMED} more" if len(groups) > NAMED else ""
    several = len(groups) > 1
    return Finding(
        NAME,
        "warning",
        f"{len(groups)} group{'s that hardly touch' if several else ' that hardly touches'} the rest of a cluster "
        f"{'are' if several else 'is'} part of it: {named}, of {looked_at}.",
        "Call rejoin with merging='contact', which keeps such groups apart, and look at their members.",
        float(len(groups)),
    )


def _within(distinct: NDArray[np.int64], clusters: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Clusters that have most of several distinct groups, each with the size of a group that is not its largest."""
    shared = np.zeros((distinct.max() + 1, clusters.max() + 1), dtype=np.int64)
    np.add.at(shared, (distinct, clusters), 1)
    most_in, sizes = shared.argmax(1), shared.max(1)
    found = []
    for cluster in range(shared.shape[1]):
        of_cluster = np.sort(sizes[(most_in == cluster) & (sizes >= HANDFUL)])
        found += [(cluster, int(size)) for size in of_cluster[-2::-1]]
    return found
