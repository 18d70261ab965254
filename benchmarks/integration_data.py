"""The count files of the integration benchmark, as every method sees them: counts and batches, no labels."""

import hashlib
import json
import os
from pathlib import Path

import anndata
import numpy as np
from anndata import AnnData

FILES = (
    "tian_cell_line_mixtures",
    "zeisel_cortex_subset",
    "starmap_mpfc_spatial",
    "cao_worm_neuron",
    "scdcc_10x_pbmc_top2000",
    "kang_ifnb_pbmc",
)
NUM_GENES = 2000


def unlabelled(path: Path) -> AnnData:
    """Raw counts ``[cells, genes]`` and ``obs["batch"]`` of a file: labels and all else are dropped at once."""
    full = anndata.read_h5ad(path)
    return AnnData(full.X, obs=full.obs[["batch"]].copy(), var=full.var[[]].copy())


def labels(path: Path, prepared: AnnData) -> np.ndarray:
    """Cell types ``[cells]`` of a file as strings, in the order of the prepared cells.

    Raises
    ------
    ValueError
        When file and prepared data do not hold the same cells in the same order.
    """
    obs = anndata.read_h5ad(path, backed="r").obs
    if not obs.index.equals(prepared.obs_names):
        raise ValueError(f"{path.name} and its prepared data hold other cells, or the same in another order")
    return obs["cell_type"].astype(str).to_numpy()


def batch_key(adata: AnnData) -> str | None:
    """``"batch"`` where there are several, else None."""
    return "batch" if adata.obs["batch"].nunique() > 1 else None


def log_normalised(adata: AnnData) -> AnnData:
    """A copy with ``log(1 + 10,000 x / library size)``."""
    import scanpy

    result = adata.copy()
    scanpy.pp.normalize_total(result, target_sum=1e4)
    scanpy.pp.log1p(result)
    return result


def variable_genes(adata: AnnData) -> tuple[np.ndarray, str]:
    """Which genes ``[genes]`` (bool) every method sees, and how they were chosen."""
    if adata.n_vars <= NUM_GENES:
        return np.ones(adata.n_vars, dtype=bool), "all genes of the file"
    import scanpy

    options = {"n_top_genes": NUM_GENES, "batch_key": batch_key(adata), "inplace": False}
    try:
        table = scanpy.pp.highly_variable_genes(adata, flavor="seurat_v3", **options)
        flavor = "seurat_v3 on counts"
    except ValueError as error:  # the local regression of small or sparse batches may be singular
        table = scanpy.pp.highly_variable_genes(log_normalised(adata), flavor="seurat", **options)
        flavor = f"seurat on log-normalised counts, for seurat_v3 failed: {error}"
    return table["highly_variable"].to_numpy(), flavor


def prepare(source: Path, cached: Path) -> AnnData:
    """Counts of the chosen genes, read from `cached` or made from `source` and left there.

    Parameters
    ----------
    source
        An ``.h5ad`` with raw counts ``[cells, genes]`` in ``X`` and ``obs["batch"]``.
    cached
        Where the prepared data lie: raw counts ``[cells, chosen genes]``, ``obs["batch"]`` and no more.

    Raises
    ------
    ValueError
        When a cell has no counts over the chosen genes: dropping it for one method would favour that method.
    """
    if cached.exists():
        return anndata.read_h5ad(cached)
    adata = unlabelled(source)
    chosen, how = variable_genes(adata)
    adata = adata[:, chosen].copy()
    empty = adata.obs_names[np.asarray(adata.X.sum(1)).ravel() == 0]
    if len(empty):
        raise ValueError(f"{source.name}: no counts over the chosen genes in {len(empty)} cells: {list(empty[:10])}")
    adata.uns["gene_choice"] = how
    cached.parent.mkdir(parents=True, exist_ok=True)
    unfinished = cached.with_name(f".{os.getpid()}-{cached.name}")
    adata.write_h5ad(unfinished)
    unfinished.replace(cached)
    return anndata.read_h5ad(cached)


def shape(adata: AnnData) -> dict[str, int | str]:
    """What the prepared data are, for the record."""
    genes = hashlib.sha256("\n".join(adata.var_names).encode()).hexdigest()[:16]
    batches = adata.obs["batch"].nunique()
    choice = str(adata.uns["gene_choice"])
    return {
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "batches": batches,
        "gene_choice": choice,
        "genes_sha256": genes,
    }


def write_json(path: Path, content: object) -> None:
    """Write all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(path)
