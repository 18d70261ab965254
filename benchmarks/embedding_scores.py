"""How well an embedding agrees with the cell types and joins the batches."""

import hashlib

import numpy as np
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from benchmarks.count_files import batch_key
from benchmarks.methods.classical import leiden
from pyro_vmm.scoring import integration_scores

TOTALS = {"total": "total", "bio_conservation": "bio", "batch_correction": "batch"}
_known: dict[str, dict[str, float]] = {}


def embedding_scores(adata: AnnData, embedding: np.ndarray, cell_types: np.ndarray, seed: int) -> dict[str, float]:
    """NMI, ARI and number of Leiden's clusters of an embedding ``[N, D]``, and scib-metrics' totals where there are batches."""
    clusters, _ = leiden(embedding, seed)
    numbers: dict[str, float] = {
        "leiden_nmi": float(normalized_mutual_info_score(cell_types, clusters)),
        "leiden_ari": float(adjusted_rand_score(cell_types, clusters)),
        "leiden_clusters": float(len(np.unique(clusters))),
    }
    if batch_key(adata) is None:
        return numbers
    # Some methods give the same embedding for every seed.
    key = hashlib.sha256(np.ascontiguousarray(embedding)).hexdigest()
    if key not in _known:
        _known[key] = integration_scores(adata.X, embedding, cell_types, adata.obs["batch"])
    return numbers | {ours: _known[key][theirs] for theirs, ours in TOTALS.items()}
