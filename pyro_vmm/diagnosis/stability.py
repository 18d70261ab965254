"""Whether runs with other seeds find the same clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.diagnosis.consensus import consensus_clusters, contingency, rand_index
from pyro_vmm.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Stability:
    """How far runs agree, and what they agree on.

    Attributes
    ----------
    seeds
        Seed of each run, ``[R]``.
    rand_index
        Adjusted Rand index of every two runs, ``[R, R]``: 1 for the same clusters, 0 for no more agreement than chance.
    clusters_per_run
        ``[R]``.
    consensus
        Consensus cluster of each observation, ``[N]``; 0 is the largest.
    vote
        Share of the runs that put an observation into its consensus cluster, ``[N]``.
    together
        With what share of the other members of its consensus cluster an observation shares a cluster, the mean over the
        runs, ``[N]``; 1 for a cluster of one.
    cluster_together
        Its mean over the members of each consensus cluster, ``[C]``: do they stay together?
    cluster_recovered
        Largest Jaccard similarity of each consensus cluster to a cluster of a run, the mean over the runs, ``[C]`` (Hennig
        2007): do they stay together *and* apart from others? Below 0.6 a cluster is not to be trusted, from 0.85 it is
        highly stable, in his words.
    """

    seeds: tuple[int, ...]
    rand_index: NDArray[np.float64]
    clusters_per_run: NDArray[np.int64]
    consensus: NDArray[np.int64]
    vote: NDArray[np.float64]
    together: NDArray[np.float64]
    cluster_together: NDArray[np.float64]
    cluster_recovered: NDArray[np.float64]

    @property
    def mean_rand_index(self) -> float:
        """Mean adjusted Rand index over all pairs of runs."""
        return float(self.rand_index[np.triu_indices(len(self.rand_index), 1)].mean())

    @property
    def num_clusters(self) -> int:
        """Consensus clusters."""
        return len(self.cluster_together)

    def to_frame(self) -> pd.DataFrame:
        """A row a consensus cluster: ``size``, ``together``, ``recovered``."""
        import pandas as pd

        return pd.DataFrame(
            {
                "size": np.bincount(self.consensus, minlength=self.num_clusters),
                "together": self.cluster_together,
                "recovered": self.cluster_recovered,
            },
            index=pd.RangeIndex(self.num_clusters, name="cluster"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Lists and numbers, ready for JSON, without what is a number an observation."""
        return {
            "seeds": list(self.seeds),
            "rand_index": self.rand_index.tolist(),
            "mean_rand_index": self.mean_rand_index,
            "clusters_per_run": self.clusters_per_run.tolist(),
            "consensus": self.to_frame().reset_index().to_dict(orient="list"),
        }

    def __str__(self) -> str:
        pairs = self.rand_index[np.triu_indices(len(self.rand_index), 1)]
        lines = [
            f"{len(self.seeds)} runs found {', '.join(map(str, self.clusters_per_run))} clusters; adjusted Rand index of two "
            f"runs: mean {pairs.mean():.2f}, least {pairs.min():.2f}, largest {pairs.max():.2f}.",
            f"Consensus: {self.num_clusters} cluster{'' if self.num_clusters == 1 else 's'}.",
            self.to_frame().reset_index().to_string(index=False, float_format="{:.2f}".format),
        ]
        return "\n".join(lines)


def stability(runs: Sequence[ArrayLike], seeds: Sequence[int] | None = None) -> Stability:
    """Compare the clusters that several runs gave the same observations.

    Memory and work grow with observations times runs, never with the square of the observations. What it cannot see: all
    runs being wrong in the same way, and how the clusters would change with other data.

    Parameters
    ----------
    runs
        Cluster of each observation in each run, ``R`` arrays ``[N]`` of whole numbers.
    seeds
        Seed of each run; counted from 0 where absent.

    Returns
    -------
    Stability

    Raises
    ------
    UserError
        If there are fewer than two runs, or they are of different lengths.

    References
    ----------
    C. Hennig (2007), "Cluster-wise assessment of cluster stability", Computational Statistics & Data Analysis 52;
    A. Strehl and J. Ghosh (2002), as in :func:`~pyro_vmm.diagnosis.consensus.consensus_clusters`.
    """
    arrays = [np.asarray(run) for run in runs]
    if len(arrays) < 2:
        raise UserError(f"There is {len(arrays)} run: give at least two to compare.")
    if any(run.ndim != 1 or not len(run) or run.shape != arrays[0].shape for run in arrays):
        shapes = ", ".join(str(list(run.shape)) for run in arrays)
        raise UserError(f"The runs have shapes {shapes}: give one cluster for each of the same observations, [N] each.")
    if seeds is not None and len(seeds) != len(arrays):
        raise UserError(f"There are {len(seeds)} seeds for {len(arrays)} runs: give one each.")
    codes = np.stack([np.unique(run, return_inverse=True)[1] for run in arrays], axis=1).astype(np.int64)  # [N, R]
    consensus, vote = consensus_clusters(codes)
    sizes = np.bincount(consensus)
    together, recovered = np.zeros(len(codes)), np.zeros(len(sizes))
    for run in codes.T:
        table = contingency(consensus, run)
        shared = table[consensus, run] - 1
        together += shared / np.maximum(sizes[consensus] - 1, 1)
        recovered += (table / (sizes[:, None] + table.sum(0) - table)).max(1)
    together = np.where(sizes[consensus] > 1, together / codes.shape[1], 1.0)
    agreement = np.array([[rand_index(contingency(one, other)) for other in codes.T] for one in codes.T])
    return Stability(
        seeds=tuple(range(len(arrays))) if seeds is None else tuple(int(seed) for seed in seeds),
        rand_index=agreement,
        clusters_per_run=codes.max(0) + 1,
        consensus=consensus,
        vote=vote,
        together=together,
        cluster_together=np.bincount(consensus, together) / sizes,
        cluster_recovered=recovered / codes.shape[1],
    )
