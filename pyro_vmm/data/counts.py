"""Single-cell counts and covariates, read from an AnnData that is checked and never changed."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.arrays import listed
from pyro_vmm.data.cell_covariates import (
    check_batch_sizes,
    mean_and_scale,
    read_categories,
    read_numbers,
    read_size_factors,
    standardize,
)
from pyro_vmm.data.count_checks import to_count_matrix
from pyro_vmm.data.sparse_structure import check_sparse_structure
from pyro_vmm.errors import Message, Option, UserError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_array

MANY_GENES = 10_000
"""More genes than this bring a hint to choose the highly variable ones."""

DISTINCT_LEFT = 0.75
"""Share of a covariate's distinct values below which a warning says that rounding merges them.

Of millions of random numbers some tenths of the values merge by chance, and no harm done.
"""

WITHOUT_BATCHES: tuple[str, ...] = ("all",)
"""The one batch of data for which no batch column is named."""


class DataWarning(Message, UserWarning):
    """Something in the data that can be fitted, but that the user may want to know of."""


@dataclass(frozen=True)
class CountSetup:
    """Where in an AnnData the counts and the covariates are.

    Attributes
    ----------
    layer
        Layer of the counts; None for ``adata.X`` and ``"raw"`` for ``adata.raw``.
    batch_key
        Column of ``adata.obs`` with each cell's batch, or None for a single batch.
    categorical_covariate_keys, continuous_covariate_keys
        Columns of ``adata.obs`` with other covariates; lists are accepted, and None for none.
    size_factor_key
        Column of ``adata.obs`` with known, positive size factors, or None.

    Raises
    ------
    UserError
        If a name is not text, or a column is named twice.
    """

    layer: str | None = None
    batch_key: str | None = None
    categorical_covariate_keys: Sequence[str] | None = ()
    continuous_covariate_keys: Sequence[str] | None = ()
    size_factor_key: str | None = None

    def __post_init__(self) -> None:
        for option in ("categorical_covariate_keys", "continuous_covariate_keys"):
            keys = getattr(self, option)
            if isinstance(keys, str):
                raise UserError(f"must be a list of columns, not one name: give [{keys!r}].", option=option)
            if isinstance(keys, set | frozenset) or not (keys is None or isinstance(keys, Iterable)):
                raise UserError(f"is {keys!r}: give a list of columns, or None.", option=option)
            object.__setattr__(self, option, tuple(() if keys is None else keys))
        for option in ("layer", "batch_key", "size_factor_key"):
            value = getattr(self, option)
            if value is not None and not isinstance(value, str):
                raise UserError(f"must be a name or None, not {value!r}: give it as text.", option=option)
        covariates = [*self.categorical_keys, *self.continuous_keys]
        for key in covariates:
            if not isinstance(key, str):
                raise UserError(f"A covariate is named by {key!r}, which is not text: give the name of a column.")
        columns = [*covariates, *(key for key in (self.batch_key, self.size_factor_key) if key is not None)]
        for key in columns:
            if columns.count(key) > 1:
                raise UserError(f"The column {key!r} is named {columns.count(key)} times: give it one role.")

    @property
    def categorical_keys(self) -> tuple[str, ...]:
        """``categorical_covariate_keys``, as a tuple."""
        return tuple(self.categorical_covariate_keys or ())

    @property
    def continuous_keys(self) -> tuple[str, ...]:
        """``continuous_covariate_keys``, as a tuple."""
        return tuple(self.continuous_covariate_keys or ())

    @property
    def source(self) -> str:
        """What messages call the counts: the expression that finds them in ``adata``, unless a layer is named raw."""
        if self.layer is None:
            return "adata.X"
        return "adata.raw.X" if self.layer == "raw" else f"adata.layers[{self.layer!r}]"

    def to_dict(self) -> dict[str, Any]:
        """Plain values by attribute, ready for JSON."""
        values = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CountSetup":
        """Read back what :meth:`to_dict` gave.

        Raises
        ------
        UserError
            If ``values`` holds anything else.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise UserError(f"A setup of counts has no entry {listed(unknown)}: remove it.")
        return cls(**values)


@dataclass(frozen=True, eq=False)
class CellCounts:
    """Checked counts of N cells and G genes with their covariates, sharing no memory with the AnnData.

    Attributes
    ----------
    setup
        Where they were read.
    counts
        ``[N, G]``, float32, CSR with sorted indices and no stored zeros.
    cell_names, gene_names
        ``[N]`` and ``[G]``, text, all different.
    batch
        ``[N]``, int64, places in ``batch_categories``.
    batch_categories
        Names of the B batches; :data:`WITHOUT_BATCHES` where no column is named.
    categorical_covariates
        Codes, ``[N]``, int64, of each further categorical covariate by its column.
    covariate_categories
        Names of the categories of each of these.
    continuous_covariates
        ``[N, C]``, float64, in the order of ``setup.continuous_covariate_keys`` and not standardised.
    size_factor
        ``[N]``, float32, positive, or None.
    library_size
        ``[N]``, float32: the sum of each cell's counts, positive.
    """

    setup: CountSetup
    counts: "csr_array"
    cell_names: NDArray[np.str_]
    gene_names: NDArray[np.str_]
    batch: NDArray[np.int64]
    batch_categories: tuple[str, ...]
    categorical_covariates: dict[str, NDArray[np.int64]]
    covariate_categories: dict[str, tuple[str, ...]]
    continuous_covariates: NDArray[np.float64]
    size_factor: NDArray[np.float32] | None
    library_size: NDArray[np.float32]

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """Categories by column, the batches' with them: what :func:`read_counts` maps new data onto."""
        batches = {} if self.setup.batch_key is None else {self.setup.batch_key: self.batch_categories}
        return {**batches, **self.covariate_categories}

    def subset(self, rows: Any) -> "CellCounts":
        """The cells ``rows``: numbers from 0 (below 0 from the end), a slice or a Boolean mask ``[N]``, in the order given.

        Raises
        ------
        UserError
            For anything else, or a cell that does not exist.
        """
        number = len(self.cell_names)
        if isinstance(rows, slice):
            rows = range(number)[rows]
        wanted = np.atleast_1d(np.asarray(rows))
        if wanted.dtype == np.bool_ and wanted.shape == (number,):
            wanted = np.flatnonzero(wanted)
        if wanted.dtype == np.bool_ and wanted.size:
            raise UserError(
                f"indices is a Boolean mask of shape {wanted.shape}, but there are {number} cells: give one value a cell."
            )
        if wanted.size == 0:
            wanted = wanted.astype(np.int64)
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            told = " ".join(repr(rows).split())
            told = told if len(told) <= 60 else told[:57] + "..."
            raise UserError(f"indices must be row numbers or a Boolean mask of {number} cells, but are {told}.")
        if wanted.size and (wanted.min() < -number or wanted.max() >= number):
            raise UserError(
                f"indices go from {wanted.min()} to {wanted.max()}, but there are {number} cells: rows count from 0."
            )
        wanted = wanted % number
        return replace(
            self,
            counts=self.counts[wanted],
            cell_names=self.cell_names[wanted],
            batch=self.batch[wanted],
            categorical_covariates={key: codes[wanted] for key, codes in self.categorical_covariates.items()},
            continuous_covariates=self.continuous_covariates[wanted],
            size_factor=None if self.size_factor is None else self.size_factor[wanted],
            library_size=self.library_size[wanted],
        )


def read_counts(
    adata: "AnnData",
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
        dtype that holds whole numbers.
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
        If ``adata`` is not an AnnData in memory; has no cells or genes, or two of one name; lacks the layer or a
        column; has values that are not finite, negative, not whole or above 2**24, or cells with no counts; has
        covariates with missing values or of the wrong kind, size factors that are not positive, or a batch with one
        cell; or has batches, categories or genes other than the model's.

    Warns
    -----
    DataWarning
        If data to fit have genes with no counts, more than :data:`MANY_GENES` genes, or a continuous covariate of whose
        distinct values float32 cannot tell many apart, centred though they are.
    """
    import pandas as pd

    _check_in_memory(adata)
    fitting = categories is None
    # Of a view SciPy takes rows and columns as soon as it is looked at, without a word where they do not exist.
    _check_structure(_whole(adata), setup)
    values, names = _stored_counts(adata, setup, fitting=fitting)
    cells, genes = _text_names(adata.obs_names), _text_names(names)
    _check_names(cells, genes, setup.source)
    if gene_names is not None:
        _check_genes(genes, np.asarray(gene_names, dtype=np.str_), setup)
    if values is not None and values.shape[0] != len(cells):
        raise UserError(f"{setup.source} has {values.shape[0]} cells, but adata has {len(cells)}: set adata.raw anew.")
    if fitting and len(cells) == 1:
        raise UserError(f"adata has one cell, {str(cells[0])!r}, but at least 2 are needed to fit: give more cells.")

    obs: pd.DataFrame = adata.obs
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

    counts = to_count_matrix(
        values,
        setup.source,
        cells,
        genes,
        allow_non_counts=allow_non_counts,
        advice_on_fractions=lambda: _advice_on_fractions(adata, setup, fitting=fitting),
    )
    if fitting:
        _warn_of_genes(counts, genes, setup.source)
        _warn_of_merged_values(continuous, obs, setup.continuous_keys)
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
        # Added up in float64, exactly (SciPy adds in float32, whatever it is asked); no cell is empty.
        library_size=np.add.reduceat(counts.data, counts.indptr[:-1], dtype=np.float64).astype(np.float32),
    )


def _check_in_memory(adata: Any) -> None:
    import pandas as pd
    from anndata import AnnData

    if not isinstance(adata, AnnData):
        raise UserError(f"An AnnData is needed, not a {type(adata).__name__}: read one with anndata.read_h5ad(path).")
    if adata.isbacked:
        raise UserError(f"adata is backed by the file {adata.filename}: load it into memory with adata.to_memory().")
    if not isinstance(adata.obs, pd.DataFrame):
        raise UserError("adata was opened lazily: load it into memory with adata.to_memory().")


def _check_structure(adata: "AnnData", setup: CountSetup) -> None:
    """Refuse counts in a damaged sparse matrix."""
    stored = None
    if setup.layer is None:
        stored = adata.X
    elif setup.layer == "raw":
        stored = None if adata.raw is None else adata.raw.X
    elif setup.layer in adata.layers:
        stored = adata.layers[setup.layer]
    if _is_sparse(stored):
        check_sparse_structure(stored, setup.source)


def _whole(adata: "AnnData") -> "AnnData":
    """What ``adata`` is a view of, or itself."""
    # AnnData has no public name for it; a view of a view refers to the first AnnData.
    return (getattr(adata, "_adata_ref", None) or adata) if adata.is_view else adata


def _is_sparse(values: Any) -> bool:
    from scipy import sparse

    return bool(sparse.issparse(values))


def _stored_counts(adata: "AnnData", setup: CountSetup, *, fitting: bool) -> tuple[Any, Any]:
    """The matrix that ``setup`` names, ``[N, G]``, as stored, and its G gene names."""
    layer = setup.layer
    if layer == "raw" and "raw" in adata.layers:
        raise UserError(
            "means adata.raw, but adata has a layer of that name: give the layer another name.",
            option=Option("layer", "raw"),
        )
    if layer is None and adata.X is not None:
        return adata.X, adata.var_names
    if layer == "raw" and adata.raw is not None:
        return adata.raw.X, adata.raw.var_names
    if layer not in (None, "raw") and layer in adata.layers:
        return adata.layers[layer], adata.var_names
    fault = f"adata has no layer {layer!r}"
    if layer is None:
        fault = "adata.X is empty (None)"
    elif layer == "raw":
        fault = "adata has no raw counts (adata.raw is None)"
    if not fitting:
        advice = "set adata.raw to an AnnData with raw counts in its X"
        if layer != "raw":
            advice = f"put raw counts there{_as_with(adata, setup)}"
        raise UserError(f"{fault}, and the model was fitted to the counts there: {advice}.")
    if layer is None:
        choices = _joined([(Option("layer", str(name)), "") for name in _layers(adata)])
        raise UserError(f"{fault}: ", *(("give ", *choices) if choices else ("put the counts there",)), ".")
    raise UserError(f"{fault}: give ", *_choices(adata), ".")


def _layers(adata: "AnnData") -> list[Any]:
    """Names of layers; since anndata 0.13 the X is one, too, called None."""
    return [name for name in adata.layers if name is not None]


def _choices(adata: "AnnData") -> Sequence[str | Option]:
    """Every value of ``layer`` that ``adata`` can serve, for a message."""
    choices = [(Option("layer", str(name)), "") for name in _layers(adata) if name != "raw"]
    if adata.X is not None:
        choices.append((Option("layer", None), " for adata.X"))
    if adata.raw is not None:
        choices.append((Option("layer", "raw"), " for adata.raw"))
    return _joined(choices) or ("an AnnData that holds counts, as this one holds no matrix",)


def _advice_on_fractions(adata: "AnnData", setup: CountSetup, *, fitting: bool) -> Sequence[str | Option]:
    """What to do about counts that are not whole, for a message."""
    if not fitting:
        return (f"give raw counts{_as_with(adata, setup)}, as the model was fitted to",)
    options = _joined([(option, "") for option, _ in _other_counts(adata, setup)])
    perhaps = (", perhaps ", *options) if options else ()
    return ("give raw counts", *perhaps, ", or ", Option("allow_non_counts", True), " if these values are meant")


def _as_with(adata: "AnnData", setup: CountSetup) -> str:
    """How to put the counts where a model looks for them, if they seem to be elsewhere in ``adata``; for a message."""
    others = [
        place
        for option, place in _other_counts(adata, setup)
        if option.value != "raw" or adata.raw.shape == adata.shape
    ]
    return f", as with {setup.source} = {others[0]}" if others and setup.layer != "raw" else ""


def _other_counts(adata: "AnnData", setup: CountSetup) -> list[tuple[Option, str]]:
    """Where else counts seem to be: the option that names the place, and the place."""
    whole = _whole(adata)
    places = [
        (Option("layer", str(name)), f"adata.layers[{str(name)!r}]", whole.layers[name])
        for name in _layers(adata)
        if name not in ("raw", setup.layer)
    ]
    if setup.layer is not None:
        places.append((Option("layer", None), "adata.X", whole.X))
    if setup.layer != "raw" and whole.raw is not None:
        places.append((Option("layer", "raw"), "adata.raw.X", whole.raw.X))
    return [(option, place) for option, place, values in places if _seem_counts(values)]


def _joined(choices: Sequence[tuple[Option, str]]) -> list[str | Option]:
    """Choices, each an option and words of explanation, with "or" between them."""
    parts: list[str | Option] = []
    for option, words in choices:
        parts += [*([" or "] if parts else []), option, words]
    return parts


def _seem_counts(values: Any) -> bool:
    """Whether the first numbers of a matrix are whole and not negative."""
    if _is_sparse(values):
        try:
            check_sparse_structure(values, "")
        except UserError:
            return False
        first = values.tocsr()[:10].data
    elif isinstance(values, np.ndarray):
        first = values[:10]
    else:
        return False
    return first.dtype.kind in "bui" or bool(
        first.dtype.kind == "f" and np.all((first >= 0) & (first == np.rint(first)))
    )


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


def _warn_of_genes(counts: "csr_array", genes: NDArray[np.str_], source: str) -> None:
    # Two levels up is whoever called read_counts.
    silent = genes[np.bincount(counts.indices, minlength=len(genes)) == 0]
    if len(silent):
        plural = "s" if len(silent) > 1 else ""
        warnings.warn(
            f"{source} has {len(silent)} gene{plural} with no counts, {listed(list(silent))}: kept, but nothing can be "
            "learned from them.",
            DataWarning,
            stacklevel=3,
        )
    if len(genes) > MANY_GENES:
        warnings.warn(
            f"{source} has {len(genes)} genes: a choice of highly variable ones, as with "
            "scanpy.pp.highly_variable_genes, is faster and often better; none is left out unless you do.",
            DataWarning,
            stacklevel=3,
        )


def _warn_of_merged_values(continuous: NDArray[np.float64], obs: "pd.DataFrame", columns: Sequence[str]) -> None:
    for column, values in zip(columns, continuous.T, strict=True):
        exact, distinct = len(np.unique(values)), int(obs[column].nunique())
        left = len(np.unique(standardize(values[:, None], *mean_and_scale(values[:, None]))))
        if left >= DISTINCT_LEFT * distinct:
            continue
        if exact < distinct:
            advice = f"subtract the smallest first, adata.obs[{column!r}] - adata.obs[{column!r}].min()"
        else:
            advice = f"correct outliers, or give ranks, adata.obs[{column!r}].rank()"
        merged = DataWarning(
            f"adata.obs[{column!r}] (",
            Option("continuous_covariate_keys"),
            f") has {distinct} distinct values, of which only {left} stay distinct when they are standardised in float32: "
            f"{advice}.",
        )
        warnings.warn(merged, stacklevel=3)
