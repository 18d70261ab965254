"""Single-cell methods that the integration table compares with ours: counts and batches to an embedding and Leiden's clusters.

PCA, Harmony and Scanorama are deterministic or nearly so: their seeds mostly vary the Leiden clustering that follows.
"""

import contextlib
import functools
import importlib
import io
import logging
import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse
from anndata import AnnData

from benchmarks.count_files import batch_key, log_normalised
from benchmarks.fitted import Absent, Fitted
from benchmarks.methods.classical import leiden
from benchmarks.run import Run

NUM_PCS = 30
MAX_EPOCHS = 400

Embedding = tuple[np.ndarray, dict[str, float]]
"""``[cells, dimensions]``, and what else can be said."""


def pca(adata: AnnData, seed: int) -> Embedding:
    """Principal components of log-normalised counts; the seed is not used, so that all seeds share one embedding."""
    import scanpy

    normalised = log_normalised(adata)
    scanpy.pp.pca(normalised, n_comps=NUM_PCS, svd_solver="arpack", random_state=0)
    return normalised.obsm["X_pca"], {}


def harmony(adata: AnnData, seed: int) -> Embedding:
    """Harmony on the principal components; with a single batch these themselves."""
    components, numbers = pca(adata, seed)
    if batch_key(adata) is None:
        return components, numbers
    import harmonypy

    result = harmonypy.run_harmony(components, adata.obs, ["batch"], random_state=seed, ncores=1, verbose=False)
    return np.asarray(result.Z_corr, dtype=np.float32), numbers


def scanorama(adata: AnnData, seed: int) -> Embedding:
    """Scanorama on log-normalised counts; with a single batch the principal components."""
    if batch_key(adata) is None:
        return pca(adata, seed)
    import scanorama as package

    normalised = log_normalised(adata)
    groups = adata.obs.groupby("batch", observed=True).indices
    parts = [normalised[rows].copy() for rows in groups.values()]
    with contextlib.redirect_stdout(io.StringIO()):
        package.integrate_scanpy(parts, seed=seed, verbose=0)
    embedding = np.empty((adata.n_obs, parts[0].obsm["X_scanorama"].shape[1]), dtype=np.float32)
    for rows, part in zip(groups.values(), parts, strict=True):
        embedding[rows] = part.obsm["X_scanorama"]
    return embedding, {}


def scvi(adata: AnnData, seed: int) -> Embedding:
    """SCVI as it comes, but for the epochs: at most 400, its own default here, with its own early stopping."""
    import scvi as package

    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    package.settings.verbosity = logging.ERROR
    package.settings.seed = seed
    options: dict[str, Any] = {"max_epochs": MAX_EPOCHS, "early_stopping": True}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        package.model.SCVI.setup_anndata(adata, batch_key=batch_key(adata))
        model = package.model.SCVI(adata)
        model.train(**options, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False)
    return model.get_latent_representation(), {"epochs": float(len(model.history["elbo_train"]))}


def seurat(adata: AnnData, seed: int) -> Embedding:
    """Seurat v3's anchors between batches and principal components of what they integrate, in R."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scipy.io.mmwrite(folder / "counts.mtx", scipy.sparse.coo_matrix(adata.X.T))
        (folder / "batches.txt").write_text("\n".join(adata.obs["batch"].astype(str)) + "\n")
        script = Path(__file__).with_name("seurat.R")
        done = subprocess.run(
            ["Rscript", str(script), str(folder), str(NUM_PCS), str(seed)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ValueError(f"Rscript ended with status {done.returncode}: {done.stderr.strip()[-2000:]}")
        return np.loadtxt(folder / "embedding.txt", dtype=np.float32), {}


@functools.cache
def seurat_version() -> str:
    """Version of R's Seurat.

    Raises
    ------
    Absent
        Where R or its package is not installed.
    """
    command = ["Rscript", "-e", 'cat(as.character(packageVersion("Seurat")))']
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise Absent("Rscript with the package Seurat is not installed here") from None


RIVALS: Mapping[str, Callable[[AnnData, int], Embedding]] = {
    "pca": pca,
    "harmony": harmony,
    "scanorama": scanorama,
    "scvi": scvi,
    "seurat": seurat,
}
PACKAGES = {
    "harmony": ("harmonypy", "harmonypy"),
    "scanorama": ("scanorama", "scanorama"),
    "scvi": ("scvi", "scvi-tools"),
}
"""Module and distribution that a rival needs besides scanpy and igraph."""


def fit_rival(adata: AnnData, options: Mapping[str, Any], run: Run) -> Fitted:
    """Embed by ``options["rival"]`` and cluster by Leiden; times are without imports, compiling and Leiden."""
    name = options["rival"]
    packages = {package: version(package) for package in ("scanpy", "igraph")}
    if name == "seurat":
        packages["Seurat"] = seurat_version()
    if name in PACKAGES:
        module, package = PACKAGES[name]
        try:
            importlib.import_module(module)
        except ImportError:
            raise Absent(f"the package {package} is not installed here") from None
        packages[package] = version(package)
    pca(adata[: 2 * NUM_PCS], seed=0)  # scanpy compiles with numba at the first use
    before = _cpu_seconds()
    embedding, numbers = RIVALS[name](adata.copy(), run.seed)
    numbers = {"cpu_seconds": _cpu_seconds() - before} | numbers
    if len(embedding) != adata.n_obs or not np.isfinite(embedding).all():
        raise ValueError(f"{name}: an embedding of {embedding.shape} for {adata.n_obs} cells, or not finite")
    clusters, probability = leiden(embedding, run.seed)
    return Fitted(clusters, probability, numbers, embedding if options.get("embedding") else None, packages)


def _cpu_seconds() -> float:
    """CPU time of this process and of those it waited for (R works in one of its own)."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
