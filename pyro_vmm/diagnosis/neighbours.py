"""Who stands beside whom in an embedding."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEIGHBOURS = 15
"""As many as scanpy's neighbourhood graph has: the one that users cluster and draw."""
MOST_ROWS = 3000
"""Observations that neighbours are sought among; a share over them has a standard error below 0.01."""


def nearest_neighbours(latents: ArrayLike, number: int = NEIGHBOURS) -> NDArray[np.int64]:
    """Rows of the nearest neighbours of each row of ``latents [M, D]``, without itself: ``[M, k]``, Euclidean."""
    from sklearn.neighbors import NearestNeighbors

    points = np.asarray(latents)
    number = min(number, len(points) - 1)
    found = NearestNeighbors(n_neighbors=number).fit(points).kneighbors(return_distance=False)
    return np.asarray(found, dtype=np.int64)


def same_kind(codes: NDArray[np.int64], neighbours: NDArray[np.int64]) -> tuple[float, float, float]:
    """Share of neighbours of the same kind, the share at random, and how far the first is from it towards 1.

    Parameters
    ----------
    codes
        Kind of each row, ``[M]``.
    neighbours
        ``[M, k]``.

    Returns
    -------
    tuple of float
        ``observed``, ``expected`` for kinds shuffled over the rows, and ``(observed - expected) / (1 - expected)``: 0
        where kinds are mixed, 1 where they are apart.
    """
    observed = float((codes[neighbours] == codes[:, None]).mean())
    sizes = np.bincount(codes)
    expected = float(((sizes[codes] - 1) / (len(codes) - 1)).mean())
    excess = (observed - expected) / (1.0 - expected) if expected < 1.0 else 0.0
    return observed, expected, excess
