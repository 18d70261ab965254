"""The observations that show best what a cluster is."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.shapes import Float


def typical_observations(
    x: ArrayLike, latent: ArrayLike, clusters: ArrayLike, wanted: ArrayLike, count: int = 8
) -> Float[NDArray[np.floating[Any]], "C T ..."]:
    """The members of each cluster nearest, in their own spread, to the cluster's mean.

    They show the cluster as a whole, all of its components. Its pseudo-input and decoded centre show the heaviest one.

    Parameters
    ----------
    x
        Observations ``[N, F]``, or ``[N, ...]`` of any other shape.
    latent
        Posterior means ``[N, D]``, as ``transform`` gives them.
    clusters
        Cluster of each observation, ``[N]``, as ``predict`` gives them.
    wanted
        Cluster numbers ``[C]``.
    count
        Observations a cluster, ``T``.

    Returns
    -------
    ndarray
        ``[C, T, F]``, or ``[C, T, ...]`` of their shape, the nearest first; NaN where a cluster has fewer members.

    Raises
    ------
    UserError
        If there are not as many observations as latents and clusters.
    """
    x, latent, clusters, wanted = np.asarray(x), np.asarray(latent), np.asarray(clusters), np.asarray(wanted)
    if not len(x) == len(latent) == len(clusters):
        raise UserError(
            f"x has {len(x)} rows, latent {len(latent)} and clusters {len(clusters)}: give one an observation in each."
        )
    chosen = np.full((len(wanted), count, *x.shape[1:]), np.nan, dtype=x.dtype if x.dtype.kind == "f" else np.float32)
    for row, cluster in enumerate(wanted):
        members = np.flatnonzero(clusters == cluster)
        if len(members):
            offset = latent[members] - latent[members].mean(0)
            spread = offset.std(0) + 1e-12
            nearest = members[np.argsort(((offset / spread) ** 2).sum(1), kind="stable")[:count]]
            chosen[row, : len(nearest)] = x[nearest]
    return chosen
