"""What the integration benchmark compares: each method turns counts and batches into an embedding.

PCA, Harmony and Scanorama are deterministic or nearly so: their seeds mostly vary the Leiden clustering that follows.
"""

import contextlib
import functools
import hashlib
import importlib
import io
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse
from anndata import AnnData
from integration_data import batch_key, log_normalised
from source_digest import source_digest

ROOT = Path(__file__).resolve().parents[1]
NUM_PCS = 30
MAX_EPOCHS = 400
LEIDEN = {"resolution": 1.0, "flavor": "igraph", "n_iterations": 2, "directed": False}


@dataclass
class Fitted:
    """An embedding ``[cells, dimensions]`` and, where the method has its own, clusters ``[cells]``."""

    embedding: np.ndarray
    clusters: np.ndarray | None = None
    epochs: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


def pca(adata: AnnData, seed: int) -> Fitted:
    """Principal components of log-normalised counts; the seed is not used, so that all seeds share one embedding."""
    import scanpy

    normalised = log_normalised(adata)
    scanpy.pp.pca(normalised, n_comps=NUM_PCS, svd_solver="arpack", random_state=0)
    return Fitted(normalised.obsm["X_pca"], options={"n_comps": NUM_PCS})


def harmony(adata: AnnData, seed: int) -> Fitted:
    """Harmony on the principal components; with a single batch these themselves."""
    components = pca(adata, seed)
    if batch_key(adata) is None:
        return Fitted(components.embedding, options=components.options | {"same_as": "pca"})
    import harmonypy

    result = harmonypy.run_harmony(
        components.embedding, adata.obs, ["batch"], random_state=seed, ncores=1, verbose=False
    )
    return Fitted(np.asarray(result.Z_corr, dtype=np.float32), options=components.options)


def scanorama(adata: AnnData, seed: int) -> Fitted:
    """Scanorama on log-normalised counts; with a single batch the principal components."""
    if batch_key(adata) is None:
        components = pca(adata, seed)
        return Fitted(components.embedding, options=components.options | {"same_as": "pca"})
    import scanorama as package

    normalised = log_normalised(adata)
    groups = adata.obs.groupby("batch", observed=True).indices
    parts = [normalised[rows].copy() for rows in groups.values()]
    with contextlib.redirect_stdout(io.StringIO()):
        package.integrate_scanpy(parts, seed=seed, verbose=0)
    embedding = np.empty((adata.n_obs, parts[0].obsm["X_scanorama"].shape[1]), dtype=np.float32)
    for rows, part in zip(groups.values(), parts, strict=True):
        embedding[rows] = part.obsm["X_scanorama"]
    return Fitted(embedding, options={"dimred": embedding.shape[1]})


def scvi(adata: AnnData, seed: int) -> Fitted:
    """SCVI as it comes, but for the epochs: at most 400, its own default here, with its own early stopping."""
    import scvi as package

    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    package.settings.verbosity = logging.ERROR
    package.settings.seed = seed
    options = {"max_epochs": MAX_EPOCHS, "early_stopping": True}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        package.model.SCVI.setup_anndata(adata, batch_key=batch_key(adata))
        model = package.model.SCVI(adata)
        model.train(**options, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False)
    return Fitted(model.get_latent_representation(), epochs=len(model.history["elbo_train"]), options=options)


def single_cell_vmm(adata: AnnData, seed: int, **options: Any) -> tuple[Any, Fitted]:
    """Our model as it comes but for `options`: the trained model, and its embedding without clusters."""
    from pyro_vmm import SingleCellVMM

    SingleCellVMM.setup_anndata(adata, batch_key=batch_key(adata))
    model = SingleCellVMM(adata, random_state=seed, **options)
    model.train()
    epochs = max(len(frame) for frame in model.history.values())
    return model, Fitted(model.get_latent_representation(), epochs=epochs, options=options)


def vmm(adata: AnnData, seed: int) -> Fitted:
    """The VampPrior mixture; clusters are its own."""
    model, fitted = single_cell_vmm(adata, seed)
    fitted.clusters = np.asarray(model.predict())
    return fitted


def of_prior(prior: str) -> Callable[[AnnData, int], Fitted]:
    """The same networks and likelihood under another prior; the standard normal has no clusters of its own."""

    def fit(adata: AnnData, seed: int) -> Fitted:
        model, fitted = single_cell_vmm(adata, seed, prior=prior)
        if prior != "standard-normal":
            fitted.clusters = np.asarray(model.predict())
        return fitted

    return fit


def seurat(adata: AnnData, seed: int) -> Fitted:
    """Seurat v3's anchors between batches and principal components of what they integrate, in R.

    Raises
    ------
    Absent
        Where R or its package is not installed.
    """
    number = seurat_version()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scipy.io.mmwrite(folder / "counts.mtx", scipy.sparse.coo_matrix(adata.X.T))
        (folder / "batches.txt").write_text("\n".join(adata.obs["batch"].astype(str)) + "\n")
        script = Path(__file__).with_name("integration_seurat.R")
        done = subprocess.run(
            ["Rscript", str(script), str(folder), str(NUM_PCS), str(seed)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ValueError(f"Rscript ended with status {done.returncode}: {done.stderr.strip()[-2000:]}")
        embedding = np.loadtxt(folder / "embedding.txt", dtype=np.float32)
    return Fitted(embedding, options={"dims": NUM_PCS, "Seurat": number})


@functools.cache
def seurat_version() -> str:
    """Version of R's Seurat.

    Raises
    ------
    Absent
        Where R or its package is not installed.
    """
    try:
        done = subprocess.run(
            ["Rscript", "-e", 'cat(as.character(packageVersion("Seurat")))'],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        raise Absent("Rscript with the package Seurat is not installed here") from None
    return done.stdout.strip()


class Absent(Exception):
    """What a method needs is not installed; it is left out, and the table says so."""


METHODS: Mapping[str, Callable[[AnnData, int], Fitted]] = {
    "pca": pca,
    "harmony": harmony,
    "scanorama": scanorama,
    "scvi": scvi,
    "normal": of_prior("standard-normal"),
    "vamp-prior": of_prior("vamp-prior"),
    "dp-gmm": of_prior("gaussian-mixture"),
    "vmm": vmm,
    "seurat": seurat,
}
OURS = ("normal", "vamp-prior", "dp-gmm", "vmm")
SHARED_PACKAGES = ("numpy", "scipy", "scikit-learn", "anndata", "scanpy", "igraph")
PACKAGES = {
    "pca": (),
    "harmony": ("harmonypy",),
    "scanorama": ("scanorama",),
    "scvi": ("scvi-tools", "torch"),
    "seurat": (),
} | dict.fromkeys(OURS, ("pyro-ppl", "torch"))
MODULES = {
    "pca": "scanpy",
    "harmony": "harmonypy",
    "scanorama": "scanorama",
    "scvi": "scvi",
    "seurat": "scipy.io",
} | dict.fromkeys(OURS, "pyro_vmm")


def load(method: str, adata: AnnData) -> None:
    """Import and compile what `method` needs, so that no fit's time holds it."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    for module in ("scanpy", MODULES[method]):
        importlib.import_module(module)
    definition(method), versions(method)  # of the source as it was imported: it may change while a fit goes on
    pca(adata[: 2 * NUM_PCS], seed=0)  # scanpy compiles with numba at the first use


def versions(method: str) -> dict[str, str]:
    """Packages behind a method's embedding and clusters; for ours, a digest of its source."""
    found = {package: version(package) for package in (*SHARED_PACKAGES, *PACKAGES[method])}
    if method in OURS:
        found["pyro_vmm source"] = source_digest()
    return found


@functools.cache
def definition(method: str) -> str:
    """A digest of what decides a fit beside its data and packages: this file, the choice of genes, and for ours the source."""
    files = (Path(__file__), Path(__file__).with_name("integration_data.py"))
    own = source_digest() if method in OURS else ""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files) + own.encode()).hexdigest()[:16]


def leiden(embedding: np.ndarray, seed: int) -> np.ndarray:
    """Leiden clusters ``[cells]`` of the graph of 15 exact nearest neighbours of an embedding ``[cells, dimensions]``."""
    import scanpy

    cells = AnnData(np.zeros((len(embedding), 1), dtype=np.float32), obsm={"embedding": embedding})
    scanpy.pp.neighbors(cells, n_neighbors=15, use_rep="embedding", transformer="sklearn", random_state=seed)
    scanpy.tl.leiden(cells, random_state=seed, **LEIDEN)
    return cells.obs["leiden"].astype(int).to_numpy()
