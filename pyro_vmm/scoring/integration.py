"""How well an embedding joins batches and keeps cell types apart, as scib-metrics scores it."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_CELLS = 3000
"""The scores are of at most this many cells, drawn at random: their cost grows faster than the number of cells."""
PRINCIPAL_COMPONENTS = 50
TOTALS = {"Total": "total", "Bio conservation": "bio_conservation", "Batch correction": "batch_correction"}


def integration_scores(
    counts: Any, latent: ArrayLike, labels: ArrayLike, batches: ArrayLike, *, seed: int = 0
) -> dict[str, float]:
    """Run the Benchmarker of scib-metrics, which has to be installed.

    Scores are not scaled to the best and worst embedding, so that they do not depend on what else is scored.

    Parameters
    ----------
    counts : scipy.sparse.csr_array or csr_matrix [N, G]
        Raw counts; their principal components, log-normalised, stand for the cells before integration.
    latent : array_like [N, D]
        The embedding to score.
    labels, batches : array_like [N]
        Known cell types, and batches of which there are at least two.
    seed : int
        Of the draw of at most :data:`MOST_CELLS` cells.

    Returns
    -------
    dict of str to float
        ``total``, ``bio_conservation``, ``batch_correction``, then their parts by the names of scib-metrics, and ``cells``.
    """
    import pandas as pd
    from anndata import AnnData

    benchmark = importlib.import_module("scib_metrics.benchmark")
    cells = counts.shape[0]
    rows = np.sort(np.random.default_rng(seed).choice(cells, min(MOST_CELLS, cells), replace=False))
    obs = pd.DataFrame(
        {"label": np.asarray(labels)[rows].astype(str), "batch": np.asarray(batches)[rows].astype(str)},
        index=[f"{row}" for row in rows],
    ).astype("category")
    adata = AnnData(counts[rows], obs=obs)
    adata.obsm["before"] = _principal_components(counts[rows])
    adata.obsm["latent"] = np.asarray(latent, dtype=np.float32)[rows]
    benchmarker = benchmark.Benchmarker(
        adata,
        batch_key="batch",
        label_key="label",
        embedding_obsm_keys=["latent"],
        pre_integrated_embedding_obsm_key="before",
        progress_bar=False,
    )
    benchmarker.benchmark()
    results = benchmarker.get_results(min_max_scale=False).loc["latent"].astype(float).to_dict()
    totals = {ours: float(results.pop(theirs)) for theirs, ours in TOTALS.items()}
    return totals | {str(name): float(value) for name, value in results.items()} | {"cells": float(len(rows))}


def _principal_components(counts: Any) -> NDArray[np.float32]:
    """Of ``log(1 + 10,000 x / library size)``, without making it dense."""
    from scipy.sparse import csr_array
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import normalize

    scaled = normalize(csr_array(counts, dtype=np.float64), norm="l1")
    scaled.data = np.log1p(1e4 * scaled.data)
    number = min(PRINCIPAL_COMPONENTS, min(counts.shape) - 1)
    return np.asarray(PCA(number, svd_solver="arpack", random_state=0).fit_transform(scaled), dtype=np.float32)
