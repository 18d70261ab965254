"""The genes that set each cluster apart: a description, not a test."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

PER_CELL = 10_000
LEAST_SHARE = 0.1
"""A marker is found in at least this share of its cluster's cells."""


def marker_genes(
    blocks: Iterable[sparse.csr_array], clusters: NDArray[np.integer], num_clusters: int, *, number: int = 5
) -> list[NDArray[np.intp]]:
    """Genes of each cluster with the largest difference in mean ``log(1 + counts per 10,000)`` to all other cells.

    Parameters
    ----------
    blocks
        Counts ``[N, G]``, some cells ``[B, G]`` after the others.
    clusters
        Cluster of each cell, ``[N]``.
    num_clusters
        ``C``.
    number
        At most so many genes a cluster.

    Returns
    -------
    list of arrays of int
        For each of the C clusters, genes found in at least a tenth of its cells and more abundant there than elsewhere,
        the largest difference first.
    """
    sums, found, cells = np.zeros(()), np.zeros(()), 0
    for block in blocks:
        some = clusters[cells : cells + block.shape[0]]
        cells += len(some)
        matrix = block.astype(np.float64)  # a copy
        totals = np.asarray(matrix.sum(axis=1)).ravel()
        scale = np.divide(PER_CELL, totals, out=np.zeros_like(totals), where=totals > 0)
        matrix.data = np.log1p(matrix.data * np.repeat(scale, np.diff(matrix.indptr)))
        member = sparse.csr_array((np.ones(len(some)), (some, np.arange(len(some)))), shape=(num_clusters, len(some)))
        sums = sums + (member @ matrix).toarray()
        matrix.data = (matrix.data > 0).astype(np.float64)
        found = found + (member @ matrix).toarray()
    sizes = np.bincount(clusters, minlength=num_clusters).astype(np.float64)[:, None]
    inside = sums / np.maximum(sizes, 1)
    outside = (sums.sum(axis=0) - sums) / np.maximum(cells - sizes, 1)
    difference = np.where(found >= LEAST_SHARE * sizes, inside - outside, -np.inf)
    markers = []
    for row in difference:
        order = np.argsort(-row, kind="stable")[:number]
        markers.append(order[row[order] > 0])
    return markers
