"""What clusters of cells are like, gene by gene."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.evaluation import Evaluation
from pyro_vmm.modalities.count_expression import normalized_expression
from pyro_vmm.modalities.marker_genes import marker_genes
from pyro_vmm.observations import Observations, sparse_blocks

CELLS_A_CLUSTER = 40
"""Cells whose denoised expression is averaged to show what a cluster is."""


@dataclass(eq=False)
class GeneProfiles:
    """Denoised expression and marker genes of clusters; see :class:`~pyro_vmm.modalities.profiles.ClusterProfiles`.

    Attributes
    ----------
    evaluation
        Asks the model.
    observations
        N cells.
    clusters
        Cluster of each cell, ``[N]``.
    gene_names
        ``[G]``.
    """

    evaluation: Evaluation
    observations: Observations
    clusters: NDArray[np.int64]
    gene_names: NDArray[np.str_]

    what = "Denoised expression"
    note = f"Mean of log(1 + expression per 10,000 counts) over up to {CELLS_A_CLUSTER} cells of each cluster."

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Denoised expression, averaged over a few cells of each cluster in use, ``[C, G]``."""
        generator = np.random.default_rng(0)
        rows = [
            generator.permutation(np.flatnonzero(self.clusters == cluster))[:CELLS_A_CLUSTER]
            for cluster in np.unique(self.clusters)
        ]
        genes = np.arange(len(self.gene_names))
        some = self.observations.subset(np.concatenate(rows))
        expression = normalized_expression(self.evaluation, some, genes=genes, library_size=1e4)
        parts = np.split(np.log1p(expression), np.cumsum([len(part) for part in rows])[:-1])
        return np.stack([part.mean(axis=0) for part in parts])

    @cached_property
    def markers(self) -> dict[int, tuple[str, ...]]:
        """Names of marker genes by cluster; none where there is one cluster."""
        if len(np.unique(self.clusters)) < 2:
            return {}
        genes = marker_genes(sparse_blocks(self.observations), self.clusters, int(self.clusters.max()) + 1)
        return {cluster: tuple(self.gene_names[found].tolist()) for cluster, found in enumerate(genes)}
