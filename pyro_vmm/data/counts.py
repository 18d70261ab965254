"""Single-cell counts and covariates, read from an AnnData that is checked and never changed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.arrays import listed
from pyro_vmm.data.cell_counts import WITHOUT_BATCHES, CellCounts, library_sizes
from pyro_vmm.data.cell_covariates import check_batch_sizes, read_categories, read_numbers, read_size_factors
from pyro_vmm.data.cells_on_disk import Paths, on_disk
from pyro_vmm.data.count_checks import CountChecks, checked_counts
from pyro_vmm.data.count_places import advice_on_fractions, check_structure, stored_counts
from pyro_vmm.data.count_scan import Scanned, cells_of_genes, scan
from pyro_vmm.data.count_setup import CountSetup
from pyro_vmm.data.count_warnings import warn_of_genes, warn_of_merged_values
from pyro_vmm.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_array

    from pyro_vmm.data.csr_files import CsrFiles


def read_counts(
    adata: "AnnData | Paths",
    setup: CountSetup,
    *,
    allow_non_counts: bool = False,
    categories: Mapping[str, Sequence[str]] | None = None,
    gene_names: Sequence[str] | NDArray[np.str_] | None = None,
) -> CellCounts:
    """Read and check the counts and covariates of an AnnData, which is not changed.

    Parameters
    ----------
    adata
        N cells, in memory; a view will do. Counts may be sparse or dense and of any integer, floating or Boolean
        dtype that holds whole numbers. Or an AnnData that is backed, a path of an ``.h5ad`` or a list of paths with the same
        genes: counts, which must be stored by rows (CSR), are looked through once and stay on disk.
    setup
        Where the counts and covariates are.
    allow_non_counts
        Whether values need not be whole, as with counts corrected for ambient RNA. They still must be finite and
        not negative.
    categories
        :attr:`CellCounts.categories` of the data that a model was fitted to, for data that it is applied to: codes
        are then places among these, and neither a batch with one cell nor a gene without counts is remarked on.
        None for data to fit.
    gene_names
        ``[G]``, genes of the model, which the data must have in the same order; None takes those of the data.

    Returns
    -------
    CellCounts
        Cells and genes in the order given, none left out.

    Raises
    ------
    UserError
        If ``adata`` is neither an AnnData nor paths of files that can be read; has no cells or genes, or two of one name;
        lacks the layer or a column; has values that are not finite, negative, not whole or above 2**24, or cells with no
        counts; has covariates with missing values or of the wrong kind, size factors that are not positive, or a batch with
        one cell; or has batches, categories or genes other than the model's.

    Warns
    -----
    DataWarning
        If data to fit have genes with no counts, more than :data:`~pyro_vmm.data.count_warnings.MANY_GENES` genes, or a
        continuous covariate of whose distinct values float32 cannot tell many apart, centred though they are.
    """
    fitting = categories is None
    files = on_disk(adata, setup.layer)
    whole = _in_memory(adata) if files is None else files.beginning
    obs: pd.DataFrame = whole.obs if files is None else files.obs
    if files is None:
        check_structure(whole, setup)
    values, names = stored_counts(whole, setup, fitting=fitting)
    stored = None if files is None else files.counts(setup)
    cells, genes = _text_names(obs.index), _text_names(names)
    _check_names(cells, genes, setup.source)
    if gene_names is not None:
        _check_genes(genes, np.asarray(gene_names, dtype=np.str_), setup)
    shape = np.shape(values) if stored is None else stored.shape
    if values is not None and shape[0] != len(cells):
        raise UserError(f"{setup.source} has {shape[0]} cells, but adata has {len(cells)}: set adata.raw anew.")
    if stored is not None and shape[1] != len(genes):
        raise UserError(f"{setup.source} has {shape[1]} genes, but adata has {len(genes)}: write the file again.")
    if fitting and len(cells) == 1:
        raise UserError(f"adata has one cell, {str(cells[0])!r}, but at least 2 are needed to fit: give more cells.")

    if setup.batch_key is None:
        batch, batch_categories = np.zeros(len(cells), dtype=np.int64), WITHOUT_BATCHES
    else:
        known = _known(categories, setup.batch_key)
        batch, batch_categories = read_categories(obs, setup.batch_key, role="batch_key", known=known)
        if fitting:
            check_batch_sizes(batch, batch_categories, setup.batch_key)
    codes: dict[str, NDArray[np.int64]] = {}
    covariate_categories: dict[str, tuple[str, ...]] = {}
    for key in setup.categorical_keys:
        codes[key], covariate_categories[key] = read_categories(
            obs, key, role="categorical_covariate_keys", known=_known(categories, key)
        )
    continuous = np.empty((len(cells), len(setup.continuous_keys)), dtype=np.float64)
    for place, key in enumerate(setup.continuous_keys):
        continuous[:, place] = read_numbers(obs, key, role="continuous_covariate_keys", of_model=not fitting)
    size_factor = None
    if setup.size_factor_key is not None:
        size_factor = read_size_factors(obs, setup.size_factor_key, of_model=not fitting)

    checks = CountChecks(
        setup.source, cells, genes, allow_non_counts, lambda: advice_on_fractions(whole, setup, fitting=fitting)
    )
    counts: csr_array | CsrFiles
    if stored is None:
        counts = checked_counts(values, checks)
        scanned = Scanned(library_sizes(counts), cells_of_genes(counts))
    else:
        counts, scanned = stored, scan(stored, checks)
    if fitting:
        warn_of_genes(scanned.cells, genes, setup.source)
        warn_of_merged_values(continuous, obs, setup.continuous_keys)
    return CellCounts(
        setup=setup,
        counts=counts,
        cell_names=cells,
        gene_names=genes,
        batch=batch,
        batch_categories=batch_categories,
        categorical_covariates=codes,
        covariate_categories=covariate_categories,
        continuous_covariates=continuous,
        size_factor=size_factor,
        library_size=scanned.library_size,
    )


def _in_memory(adata: Any) -> "AnnData":
    import pandas as pd
    from anndata import AnnData

    if not isinstance(adata, AnnData):
        raise UserError(f"An AnnData is needed, not a {type(adata).__name__}: read one with anndata.read_h5ad(path).")
    if not isinstance(adata.obs, pd.DataFrame):
        raise UserError("adata was opened lazily: load it into memory with adata.to_memory().")
    return adata


def _text_names(names: Any) -> NDArray[np.str_]:
    return np.array([str(name) for name in names], dtype=np.str_)


def _check_names(cells: NDArray[np.str_], genes: NDArray[np.str_], source: str) -> None:
    if len(cells) == 0:
        raise UserError("adata has no cells: check how it was read or filtered.")
    if len(genes) == 0:
        raise UserError(f"{source} has no genes: check how adata was read or filtered.")
    for names, noun, mend in (
        (cells, "cell", "make them unique with adata.obs_names_make_unique()"),
        (
            genes,
            "gene",
            "make them unique before setting adata.raw"
            if source == "adata.raw.X"
            else "make them unique with adata.var_names_make_unique()",
        ),
    ):
        unique, sizes = np.unique(names, return_counts=True)
        repeated = unique[sizes > 1]
        if len(repeated):
            plural = "s" if len(repeated) > 1 else ""
            raise UserError(
                f"{source} has {len(repeated)} repeated {noun} name{plural}, {listed(list(repeated))}: {mend}."
            )


def _check_genes(genes: NDArray[np.str_], expected: NDArray[np.str_], setup: CountSetup) -> None:
    """Refuse ``genes``, ``[G']``, unless they are ``expected``, ``[G]``, in the same order."""
    if np.array_equal(genes, expected):
        return
    missing = expected[~np.isin(expected, genes)]
    if len(missing):
        raise UserError(
            f"{setup.source} lacks {len(missing)} of the model's {len(expected)} genes, {listed(list(missing))}: give data "
            "that have every gene the model was fitted to."
        )
    if len(genes) == len(expected):
        told = "the model's genes in another order"
    else:
        told = f"{len(genes)} genes, among them the model's {len(expected)}"
    mend = "adata[:, model.gene_names]"
    if setup.layer == "raw":
        mend = "an AnnData made by new = adata.raw.to_adata()[:, model.gene_names].copy(); new.raw = new"
    raise UserError(f"{setup.source} has {told}: give {mend}.")


def _known(categories: Mapping[str, Sequence[str]] | None, column: str) -> Sequence[str] | None:
    if categories is None:
        return None
    if column not in categories:
        raise UserError(f"The model was not fitted with the column {column!r}: leave it out of the setup.")
    return categories[column]
