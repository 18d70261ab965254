"""Stored counts of any form, checked value by value and copied to sparse float32 without being expanded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.arrays import listed
from pyro_vmm.data.sparse_structure import check_sparse_structure
from pyro_vmm.data.supports import MAXIMUM_COUNT
from pyro_vmm.errors import Option, UserError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_BLOCK = 2**22
"""Values looked at in one go, so that checking needs little memory beside the data."""


def to_count_matrix(
    values: Any,
    source: str,
    cell_names: NDArray[np.str_],
    gene_names: NDArray[np.str_],
    *,
    allow_non_counts: bool = False,
    advice_on_fractions: Callable[[], Sequence[str | Option]] = lambda: ("give raw counts",),
) -> "csr_array":
    """Check stored counts and copy them to CSR.

    Parameters
    ----------
    values
        ``[N, G]``: a SciPy sparse matrix or array, or a NumPy array, of whole numbers in any integer, floating or
        Boolean dtype. It is not changed.
    source
        What the messages call ``values``, such as ``"adata.X"``.
    cell_names, gene_names
        ``[N]`` and ``[G]``.
    allow_non_counts
        Whether values need not be whole. They still must be finite and not negative.
    advice_on_fractions
        Says what to do about values that are not whole; called for that message alone.

    Returns
    -------
    scipy.sparse.csr_array
        ``[N, G]``, float32, with sorted indices, no entry twice and no stored zeros. It shares no memory with
        ``values``.

    Raises
    ------
    UserError
        If ``values`` is of another kind or a damaged sparse matrix, or has missing, infinite, negative or broken values
        or counts above :data:`MAXIMUM_COUNT`, or if a cell has no counts.
    """
    checks = CountChecks(source, cell_names, gene_names, allow_non_counts, advice_on_fractions)
    return checked_counts(values, checks)


def checked_counts(values: Any, checks: "CountChecks") -> "csr_array":
    """As :func:`to_count_matrix`, with checks that have looked at nothing yet."""
    counts = as_csr(values, checks.source)
    checks.look(counts)
    checks.refuse_values()
    counts = in_float32(counts)
    checks.look_for_empty_cells(counts)
    checks.refuse_empty_cells()
    return counts


def in_float32(counts: "csr_array") -> "csr_array":
    """Checked counts that nobody else has, in the form that models take: float32, without stored zeros."""
    counts = counts.astype(np.float32, copy=False)
    counts.eliminate_zeros()
    return counts


@dataclass
class _Fault:
    """Values of one kind that no counts have."""

    is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]]
    adjective: str
    advice: Callable[[], Sequence[str | Option]]
    kinds: str
    number: int = 0
    first: str = ""


class CountChecks:
    """What is wrong with stored values, looked for in one block of cells after another, and reported for all blocks together.

    Parameters
    ----------
    source, cell_names, gene_names, allow_non_counts, advice_on_fractions
        As for :func:`to_count_matrix`.
    """

    def __init__(
        self,
        source: str,
        cell_names: NDArray[np.str_],
        gene_names: NDArray[np.str_],
        allow_non_counts: bool,
        advice_on_fractions: Callable[[], Sequence[str | Option]],
    ) -> None:
        self.source, self.cell_names, self.gene_names = source, cell_names, gene_names
        self.allow_non_counts = allow_non_counts
        self._empty: list[NDArray[np.int64]] = []
        fix = "set them right or remove those cells or genes"
        raw = "give raw counts, not scaled or centred values"
        exact = f"counts up to {MAXIMUM_COUNT} (2**24) are exact in float32, so check these"
        self._faults = [
            _Fault(lambda x: ~np.isfinite(x), "NaN or infinite", lambda: (fix,), "f"),
            _Fault(lambda x: x < 0, "negative", lambda: (raw,), "fi"),
        ]
        if allow_non_counts:
            most = np.finfo(np.float32).max
            rescale = "rescale to the range of float32"
            self._faults.append(_Fault(lambda x: x > most, "too large", lambda: (rescale,), "fiu"))
        else:
            self._faults.append(_Fault(lambda x: x != np.rint(x), "non-whole", advice_on_fractions, "f"))
            self._faults.append(_Fault(lambda x: x > MAXIMUM_COUNT, "too large", lambda: (exact,), "fiu"))

    def look(self, counts: "csr_array", first_cell: int = 0) -> None:
        """Look at the values of a block of cells ``[B, G]``, no entry of which is stored twice."""
        for fault in self._faults:
            if counts.dtype.kind not in fault.kinds:
                continue
            number, first = _find(counts.data, fault.is_bad)
            if number and not fault.number:
                # The row of a stored value is the last one that starts at or before it; empty rows start there too.
                cell = first_cell + int(np.searchsorted(counts.indptr, first, side="right")) - 1
                where = f"cell {str(self.cell_names[cell])!r}, gene {str(self.gene_names[counts.indices[first]])!r}"
                fault.first = f"{_shown(counts.data[first])} at {where}"
            fault.number += number

    def look_for_empty_cells(self, counts: "csr_array", first_cell: int = 0) -> None:
        """Look for cells without counts in a block without stored zeros."""
        self._empty.append(first_cell + np.flatnonzero(np.diff(counts.indptr) == 0))

    @property
    def found_bad_values(self) -> bool:
        """Whether :meth:`refuse_values` will."""
        return any(fault.number for fault in self._faults)

    def refuse_values(self) -> None:
        """Raise :class:`UserError` for the first kind of bad values, if there are any."""
        for fault in self._faults:
            if fault.number:
                which = f"{fault.number} {fault.adjective} values, the first {fault.first}"
                if fault.number == 1:
                    which = f"one {fault.adjective} value, {fault.first}"
                raise UserError(f"{self.source} has {which}: ", *fault.advice(), ".")

    def refuse_empty_cells(self) -> None:
        """Raise :class:`UserError` for cells without counts, if there are any."""
        empty = np.concatenate(self._empty)
        number = len(empty)
        if number == 0:
            return
        named = listed(list(self.cell_names[empty]))
        raise UserError(
            f"{self.source} has {number} cell{'s' if number > 1 else ''} with no counts, {named}: remove "
            f"{'them' if number > 1 else 'it'}, as with adata[{self.source}.sum(axis=1) > 0].copy()."
        )


def as_csr(values: Any, source: str) -> "csr_array":
    """Copy ``[N, G]`` to CSR in a native dtype in which SciPy can sort and add, with no entry stored twice."""
    from scipy import sparse

    if sparse.issparse(values):
        return _sparse_to_csr(values, source)
    if isinstance(values, np.ma.MaskedArray):
        check_kind(values.dtype, source)
        return _dense_to_csr(np.ma.filled(values.astype(np.float64), np.nan))
    if isinstance(values, np.ndarray):
        check_kind(values.dtype, source)
        return _dense_to_csr(np.asarray(values))
    if values is None:
        raise UserError(f"{source} is empty (None): name the layer that holds the counts.")
    kind = f"{type(values).__module__.partition('.')[0]}.{type(values).__name__}"
    raise UserError(
        f"{source} is a {kind}, not a NumPy array or SciPy sparse matrix in memory: load or convert it first, as with "
        "adata.to_memory()."
    )


def _sparse_to_csr(matrix: Any, source: str) -> "csr_array":
    """Copy a SciPy sparse ``[N, G]``, whose own arrays SciPy would otherwise sort and add up in place."""
    from scipy import sparse

    check_kind(matrix.dtype, source)
    check_sparse_structure(matrix, source)
    dtype = _working_dtype(matrix.dtype)
    if matrix.format == "csr":
        parts = (matrix.data.astype(dtype), matrix.indices.copy(), matrix.indptr.copy())
        counts = sparse.csr_array(parts, shape=matrix.shape)
    elif matrix.format == "csc":
        by_gene = (matrix.data.astype(dtype), matrix.indices, matrix.indptr)
        counts = sparse.csc_array(by_gene, shape=matrix.shape).tocsr()
    else:
        # These formats add entries stored twice as they are converted, which small integers might not hold.
        counts = sparse.csr_array(matrix.astype(np.float64))
    counts.sort_indices()
    if not counts.has_canonical_format:
        counts = counts.astype(np.float64)
        counts.sum_duplicates()
    return counts


def check_kind(dtype: np.dtype[Any], source: str) -> None:
    """Raise :class:`UserError` for what are no numbers."""
    if dtype.kind not in "biuf":
        raise UserError(f"{source} has dtype {dtype}, but counts must be numbers: convert it, as with astype(int).")


def _working_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    # SciPy's sparse routines know neither half precision nor the other byte order.
    return np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")


def _dense_to_csr(values: NDArray[Any]) -> "csr_array":
    """Collect what is not zero, a block of rows at a time."""
    from scipy import sparse

    num_cells, num_genes = values.shape
    rows_at_once = max(1, _BLOCK // num_genes)
    data, indices, row_lengths = [], [], []
    for start in range(0, num_cells, rows_at_once):
        block = values[start : start + rows_at_once]
        rows, columns = np.nonzero(block)
        data.append(block[rows, columns].astype(_working_dtype(values.dtype)))
        indices.append(columns.astype(np.int32))
        row_lengths.append(np.bincount(rows, minlength=len(block)))
    row_starts = np.concatenate([[0], np.cumsum(np.concatenate(row_lengths))])
    return sparse.csr_array((np.concatenate(data), np.concatenate(indices), row_starts), shape=values.shape)


def _find(data: NDArray[Any], is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> tuple[int, int]:
    """How many of the values ``[nnz]`` are bad, and the place of the first (-1 if none)."""
    number, first = 0, -1
    for start in range(0, len(data), _BLOCK):
        bad = is_bad(data[start : start + _BLOCK])
        in_block = int(bad.sum())
        if in_block and number == 0:
            first = start + int(np.argmax(bad))
        number += in_block
    return number, first


def _shown(value: Any) -> str:
    return f"{value:d}" if value.dtype.kind in "iu" else f"{value:.10g}"
