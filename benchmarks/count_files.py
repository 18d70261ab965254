"""The count files of the integration benchmark: counts and batches, as every method sees them, and, apart from them, the labels."""

import functools
from pathlib import Path

import anndata
import numpy as np
from anndata import AnnData

from benchmarks.fitted import Absent

FILES = (
    "tian_cell_line_mixtures",
    "zeisel_cortex_subset",
    "starmap_mpfc_spatial",
    "cao_worm_neuron",
    "scdcc_10x_pbmc_top2000",
    "kang_ifnb_pbmc",
)
NUM_GENES = 2000


@functools.lru_cache(maxsize=1)
def read(path: Path) -> tuple[AnnData, np.ndarray]:
    """Raw counts ``[cells, chosen genes]`` with ``obs["batch"]``, and the cell types ``[cells]``.

    Raises
    ------
    Absent
        Without the file.
    ValueError
        When a cell has no counts over the chosen genes: dropping it for one method would favour that method.
    """
    if not path.is_file():
        raise Absent(f"there is no {path}")
    full = anndata.read_h5ad(path)
    adata = AnnData(full.X, obs=full.obs[["batch"]].copy(), var=full.var[[]].copy())
    adata = adata[:, variable_genes(adata)].copy()
    empty = adata.obs_names[np.asarray(adata.X.sum(1)).ravel() == 0]
    if len(empty):
        raise ValueError(f"{path.name}: no counts over the chosen genes in {len(empty)} cells: {list(empty[:10])}")
    return adata, full.obs["cell_type"].astype(str).to_numpy()


def batch_key(adata: AnnData) -> str | None:
    """``"batch"`` where there are several, else None."""
    return "batch" if "batch" in adata.obs and adata.obs["batch"].nunique() > 1 else None


def log_normalised(adata: AnnData) -> AnnData:
    """A copy with ``log(1 + 10,000 x / library size)``."""
    import scanpy

    result = adata.copy()
    scanpy.pp.normalize_total(result, target_sum=1e4)
    scanpy.pp.log1p(result)
    return result


def variable_genes(adata: AnnData) -> np.ndarray:
    """Which genes ``[genes]`` (bool) every method sees."""
    if adata.n_vars <= NUM_GENES:
        return np.ones(adata.n_vars, dtype=bool)
    import scanpy

    options = {"n_top_genes": NUM_GENES, "batch_key": batch_key(adata), "inplace": False}
    try:
        table = scanpy.pp.highly_variable_genes(adata, flavor="seurat_v3", **options)
    except ValueError:  # the local regression of small or sparse batches may be singular
        table = scanpy.pp.highly_variable_genes(log_normalised(adata), flavor="seurat", **options)
    return table["highly_variable"].to_numpy()
