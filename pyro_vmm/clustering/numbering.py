"""Which component is cluster 0."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.shapes import Float, Int


def component_order(owners: Int[NDArray[np.int64], "N"], weights: ArrayLike) -> Int[NDArray[np.int64], "K"]:
    """Order of the components by how many observations they own, so that clusters are 0, 1, ... without gaps.

    Parameters
    ----------
    owners
        The likeliest component of each observation, ``[N]``.
    weights
        Mixture weights ``[K]``, which order the components that own none.

    Returns
    -------
    NDArray[np.int64]
        ``order [K]``: ``order[c]`` is the component that gives column ``c``.
    """
    counts = np.bincount(owners, minlength=len(np.asarray(weights)))
    return np.lexsort((-np.asarray(weights), -counts)).astype(np.int64)


def joined(
    responsibilities: Float[NDArray[np.float64], "N K"], representatives: Int[NDArray[np.int64], "K"]
) -> Float[NDArray[np.float64], "N K"]:
    """Responsibilities ``[N, K]`` with those of each component added to its representative's (``[K]``); others are 0."""
    sums = np.zeros_like(responsibilities)
    for component, representative in enumerate(representatives):
        sums[:, representative] += responsibilities[:, component]
    return sums
