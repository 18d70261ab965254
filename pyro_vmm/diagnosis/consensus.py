"""One clustering out of several, without a matrix of observations by observations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def consensus_clusters(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cluster the clusters of all runs, and let the runs vote on each observation.

    The meta-clustering algorithm (MCLA) of Strehl and Ghosh (2002): the clusters of all runs, each a set of observations, are
    themselves clustered by Jaccard similarity (average linkage here, where they cut a graph), and an observation goes to
    the meta-cluster that holds most of its clusters. The number of consensus clusters is, among those between the fewest and
    the most clusters of a run, the one whose consensus has the largest mean adjusted Rand index with the runs; among equals
    the smallest.

    Observations that all runs treat alike are looked at once, so that work and memory follow the different patterns
    among N times R.

    Parameters
    ----------
    codes
        Cluster of each observation in each run, ``[N, R]``, from 0 without gaps in each column.

    Returns
    -------
    tuple
        ``consensus [N]``, from 0 for the largest, without gaps; and ``vote [N]``, the share of runs for it.

    References
    ----------
    A. Strehl and J. Ghosh (2002), "Cluster ensembles: a knowledge reuse framework for combining multiple partitions",
    Journal of Machine Learning Research 3.
    """
    patterns, which, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    number = codes.max(0) + 1
    columns = patterns + np.r_[0, np.cumsum(number)[:-1]]  # each run's clusters have columns of their own
    linkage = _linkage(columns, counts, int(number.sum()))
    best, votes, agreement = np.zeros(len(patterns), dtype=np.int64), np.ones(len(patterns)), -np.inf
    for clusters in range(int(number.min()), int(number.max()) + 1):
        choice, share = _elected(columns, _cut(linkage, clusters))
        tables = (contingency(choice, run, counts) for run in patterns.T)
        mean = float(np.mean([rand_index(table) for table in tables]))
        if mean > agreement + 1e-12:
            best, votes, agreement = choice, share, mean
    order = np.argsort(-np.bincount(best, counts), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[best][which.ravel()], votes[which.ravel()]


def _linkage(columns: NDArray[np.int64], counts: NDArray[np.int64], number: int) -> NDArray[np.float64]:
    """Average linkage of the clusters of all runs, by one minus their Jaccard similarity."""
    from scipy.cluster.hierarchy import linkage
    from scipy.sparse import csr_array
    from scipy.spatial.distance import squareform

    rows = np.repeat(np.arange(len(columns)), columns.shape[1])
    members = csr_array((np.ones(columns.size), (rows, columns.ravel())), shape=(len(columns), number))
    both = (members.T @ members.multiply(counts[:, None]).tocsr()).toarray()
    sizes = np.diagonal(both)
    distance = 1.0 - both / (sizes[:, None] + sizes - both)
    np.fill_diagonal(distance, 0.0)
    return np.asarray(linkage(squareform(distance, checks=False), "average"))


def _cut(linkage: NDArray[np.float64], clusters: int) -> NDArray[np.int64]:
    from scipy.cluster.hierarchy import cut_tree

    return np.asarray(cut_tree(linkage, [clusters])[:, 0], dtype=np.int64)


def _elected(columns: NDArray[np.int64], meta: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Meta-cluster with most of the runs' votes for each pattern, without gaps, and its share of them."""
    number, runs = int(meta.max()) + 1, columns.shape[1]
    votes = np.zeros((len(columns), number), dtype=np.uint16)
    for run in columns.T:
        votes[np.arange(len(columns)), meta[run]] += 1
    choice = np.unique(votes.argmax(1), return_inverse=True)[1].ravel()
    return choice.astype(np.int64), votes.max(1) / runs


def contingency(
    one: NDArray[np.int64], other: NDArray[np.int64], counts: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Observations in each cluster of one (rows) and of the other (columns); ``counts`` gives how many each row stands for."""
    columns = int(other.max()) + 1
    flat = np.bincount(one * columns + other, counts, minlength=(int(one.max()) + 1) * columns)
    return flat.reshape(-1, columns).astype(np.float64)


def rand_index(table: NDArray[np.float64]) -> float:
    """Adjusted Rand index (Hubert and Arabie 1985) of two clusterings, from their contingency table."""

    def pairs(counts: NDArray[np.float64]) -> float:
        return float((counts * (counts - 1) / 2).sum())

    same, rows, columns = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    expected = rows * columns / max(pairs(table.sum()), 1.0)
    largest = (rows + columns) / 2
    return 1.0 if largest == expected else (same - expected) / (largest - expected)
