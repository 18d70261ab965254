"""How well clusters and embeddings of the integration benchmark agree with the cell types: the only part to read these."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from integration_data import batch_key, labels, log_normalised, prepare, write_json
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

MAX_CELLS = 3000
AGGREGATES = {"Total": "total", "Bio conservation": "bio", "Batch correction": "batch"}


def agreement(clusters: np.ndarray, cell_types: np.ndarray) -> dict[str, float]:
    """NMI (arithmetic), ARI and the number of clusters, over all cells."""
    return {
        "nmi": float(normalized_mutual_info_score(cell_types, clusters, average_method="arithmetic")),
        "ari": float(adjusted_rand_score(cell_types, clusters)),
        "num_clusters": len(np.unique(clusters)),
    }


@dataclass
class Scorer:
    """Scores of the fits of one file.

    Parameters
    ----------
    source
        The file with its cell types.
    prepared
        The same cells as the methods saw them.
    cache
        A folder for the scores of scib-metrics, by the SHA-256 of the embedding: equal embeddings are scored once.
    """

    source: Path
    prepared: Path
    cache: Path

    @cached_property
    def adata(self) -> AnnData:
        """Prepared counts ``[cells, genes]``."""
        return prepare(self.source, self.prepared)

    @cached_property
    def cell_types(self) -> np.ndarray:
        """Labels ``[cells]``."""
        return labels(self.source, self.adata)

    @cached_property
    def subsample(self) -> np.ndarray:
        """Rows of the cells that scib-metrics sees, the same for every method and seed."""
        size = min(MAX_CELLS, self.adata.n_obs)
        return np.sort(np.random.default_rng(0).choice(self.adata.n_obs, size, replace=False))

    @cached_property
    def unintegrated(self) -> AnnData:
        """Log-normalised counts of the subsample with their principal components, batches and labels."""
        import scanpy

        cells = log_normalised(self.adata[self.subsample])
        cells.obs["label"] = self.cell_types[self.subsample]
        cells.obs["batch"] = cells.obs["batch"].astype(str)
        scanpy.pp.pca(cells, n_comps=50, svd_solver="arpack", random_state=0)
        return cells

    def score(self, fit: Path, scib: bool = True) -> dict[str, Any]:
        """One row: agreement of own and of Leiden clusters, and the scores of scib-metrics, if `scib` or known already."""
        row: dict[str, Any] = agreement(np.load(fit / "clusters.npy"), self.cell_types)
        by_leiden = agreement(np.load(fit / "clusters_leiden.npy"), self.cell_types)
        row |= {f"leiden_{name}": value for name, value in by_leiden.items()}
        embedding = np.load(fit / "embedding.npy")
        known = self.cache / f"{hashlib.sha256(np.ascontiguousarray(embedding)).hexdigest()[:32]}.json"
        if scib and not known.exists():
            write_json(known, self.benchmark(embedding[self.subsample]))
        return row | (json.loads(known.read_text()) if known.exists() else {})

    def benchmark(self, embedding: np.ndarray) -> dict[str, Any]:
        """Run scib-metrics on an embedding ``[subsample, dimensions]``, unscaled, so that no score depends on others."""
        from scib_metrics.benchmark import BatchCorrection, Benchmarker, BioConservation

        several = batch_key(self.adata) is not None
        cells = self.unintegrated.copy()
        cells.obsm["embedding"] = np.asarray(embedding, dtype=np.float32)
        benchmarker = Benchmarker(
            cells,
            batch_key="batch",
            label_key="label",
            embedding_obsm_keys=["embedding"],
            # No label is isolated where all lie in the one batch: the score would be the silhouette once more.
            bio_conservation_metrics=BioConservation(isolated_labels=several),
            batch_correction_metrics=BatchCorrection() if several else None,
            pre_integrated_embedding_obsm_key="X_pca",
            progress_bar=False,
        )
        benchmarker.benchmark()
        results = benchmarker.get_results(min_max_scale=False).loc["embedding"].astype(float)
        if results.isna().any():
            raise ValueError(f"scib-metrics gave no number for {list(results.index[results.isna()])}")
        aggregates = {ours: results[theirs] for theirs, ours in AGGREGATES.items() if theirs in results}
        parts = results.drop(labels=[name for name in AGGREGATES if name in results]).to_dict()
        return aggregates | {"metrics": parts, "scib_cells": len(embedding), "scib_metrics": version("scib-metrics")}
