"""One gate for every array that a user gives: checked, then float32 ``[N, F]``, or float64 where that is needed."""

import math
import os
import re
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.rounding import is_coarse, sampled_rows
from pyro_vmm.data.sparse_structure import check_sparse_structure, check_sparse_tensor
from pyro_vmm.errors import UserError

MAXIMUM_DENSE_BYTES = 8 * 2**30
"""Largest float32 array, in bytes, that a sparse matrix is expanded to."""


def validate_array(
    x: Any,
    *,
    name: str = "X",
    minimum_observations: int = 2,
    dtype: type[np.float32] | type[np.float64] | None = np.float32,
) -> NDArray[Any]:
    """Check a table of observations and return it as floating-point numbers.

    Parameters
    ----------
    x
        Observations, ``[N, F]``: a NumPy array, pandas DataFrame, SciPy sparse matrix, torch tensor, nested list
        or anything that NumPy can read. Numbers are rounded to ``dtype``; booleans become 0 and 1.
    name
        What the messages call ``x``.
    minimum_observations
        Smallest N accepted.
    dtype
        Type of the result. None for float32, or float64 where float32 is too coarse for the values of a feature (see
        :func:`~pyro_vmm.data.rounding.is_coarse`).

    Returns
    -------
    numpy.ndarray
        ``[N, F]``, of that type, C-contiguous, rows and columns in the order given. It shares memory with ``x`` where
        ``x`` already has that form.

    Raises
    ------
    UserError
        If ``x`` is not two-dimensional, has no features or too few observations, is not real and numeric, has
        missing, masked or infinite values or values beyond ``dtype``, or is a sparse matrix that needs more than
        ``MAXIMUM_DENSE_BYTES`` when dense.
    """
    values, row_names, column_names = _to_numpy(x, name, dtype)
    check_dtype(values, name)
    check_shape(values.shape, name, minimum_observations)
    if dtype is None:
        dtype = np.float64 if is_coarse(values) else np.float32
    with np.errstate(over="ignore"):
        checked: NDArray[Any] = np.ascontiguousarray(values, dtype=dtype)
    check_finite(values, checked, name, row_names, column_names)
    return checked


def check_is_table(x: Any, name: str = "X") -> None:
    """Refuse what is no array or sequence at all, in words that say what to give instead.

    Raises
    ------
    UserError
        For data loaders and data sets of torch, AnnData, paths, numbers and other objects.
    """
    kinds = {kind.__module__.partition(".")[0] + "." + kind.__name__ for kind in type(x).__mro__}
    wanted = "an array, data frame, sparse matrix or tensor [observations, features]"
    if "torch.DataLoader" in kinds:
        raise UserError(
            f"{name} is a DataLoader of torch: give all its observations as one tensor [observations, features], such as "
            "torch.cat([batch[0] for batch in loader]) where it yields (observations, labels)."
        )
    if "torch.Dataset" in kinds:
        raise UserError(
            f"{name} is a {type(x).__name__} of torch: give all its observations as one tensor [observations, features], such "
            "as torch.stack([item[0] for item in dataset]).flatten(1) where its items are (observation, label)."
        )
    if "anndata.AnnData" in kinds:
        raise UserError(
            f"{name} is an AnnData: give it to SingleCellVMM, or an array of it, such as adata.obsm['X_pca']."
        )
    if isinstance(x, str | bytes | os.PathLike):
        raise UserError(f"{name} is {x!r}: read the file first, and give {wanted}.")
    is_sequence = hasattr(x, "__len__") and hasattr(x, "__getitem__") and not isinstance(x, dict)
    if not (is_sequence or hasattr(x, "__array__") or hasattr(x, "toarray") or isinstance(x, memoryview)):
        shown = repr(x) if x is None or isinstance(x, Number) else f"a {type(x).__name__}"
        raise UserError(f"{name} is {shown}: give {wanted}.")


def _to_numpy(
    x: Any, name: str, dtype: type[np.floating[Any]] | None
) -> tuple[NDArray[Any], Sequence[Any] | None, Sequence[Any] | None]:
    """Read ``x`` as a NumPy array, with the names of its rows and columns where it has them."""
    # Told apart by module name, so that pandas, SciPy and torch are imported only by those who use them.
    library = type(x).__module__.partition(".")[0]
    if library == "scipy" and hasattr(x, "toarray"):
        return _densify(x, name, dtype), None, None
    if library == "pandas" and getattr(x, "ndim", 0) == 2:
        return _frame_values(x, name), list(x.index), list(x.columns)
    if library == "torch" and hasattr(x, "detach"):
        return _tensor_values(x, name), None, None
    if isinstance(x, np.ma.MaskedArray) and np.ma.getmaskarray(x).any():
        raise UserError(
            f"{name} has {int(np.ma.getmaskarray(x).sum())} masked values: fill them or drop their observations first."
        )
    try:
        return np.asarray(x), None, None
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{name} is not a table of numbers: give rows of equal length, all of numbers.") from error


def _densify(x: Any, name: str, dtype: type[np.floating[Any]] | None) -> NDArray[Any]:
    num_bytes = math.prod(x.shape) * np.dtype(np.float32).itemsize
    if num_bytes > MAXIMUM_DENSE_BYTES:
        raise UserError(
            f"{name} is sparse and would need {num_bytes / 2**30:.1f} GiB when dense, more than the "
            f"{MAXIMUM_DENSE_BYTES / 2**30:g} GiB allowed: select fewer features or observations."
        )
    if len(x.shape) != 2:
        return np.empty(x.shape, dtype=np.float32)  # which is refused for its shape
    check_sparse_structure(x, name)
    if x.format not in ("csr", "csc"):
        x = x.astype(np.float64).tocsr()
    # With indices and pointers of one type, without which SciPy computes little.
    x = type(x)((x.data, x.indices, x.indptr), shape=x.shape)
    if not x.has_canonical_format:
        # A copy: the user's matrix stays as it is, and sums of small integers do not overflow.
        x = x.astype(np.float64)
        x.sum_duplicates()
    # Cast while sparse, so that no dense float64 copy is ever held; the dtype is checked before it is lost.
    check_dtype(np.empty(0, dtype=x.dtype), name)
    if dtype is None:
        dtype = np.float64 if is_coarse(sampled_rows(x.tocsr()).toarray()) else np.float32
    if dtype is np.float64:
        return x.astype(np.float64).toarray()
    with np.errstate(over="ignore"):
        narrowed = x.astype(np.float32)
    overflowed = np.isfinite(x.tocoo().data) & ~np.isfinite(narrowed.tocoo().data)
    return x.toarray() if overflowed.any() else narrowed.toarray()


def _frame_values(x: Any, name: str) -> NDArray[Any]:
    from pandas.api.types import is_complex_dtype, is_numeric_dtype

    repeated = x.columns[x.columns.duplicated()]
    if len(repeated):
        raise UserError(f"{name} has more than one column called {str(repeated[0])!r}: give each its own name.")
    if len({isinstance(column, str) for column in x.columns}) > 1:
        raise UserError(f"{name} has column names of several types: make all of them text, X.columns.astype(str).")

    refused = [
        column
        for column, dtype in zip(x.columns, x.dtypes, strict=True)
        if not is_numeric_dtype(dtype) or is_complex_dtype(dtype)
    ]
    if refused:
        raise UserError(f"{name} has columns that are not real numbers, {listed(refused)}: drop or encode them first.")
    if x.shape[1] == 0:
        return np.empty(x.shape, dtype=np.float32)
    # pandas' own missing value has no float: it becomes NaN here and is refused by name with the rest.
    if any(getattr(dtype, "na_value", None) is not None for dtype in x.dtypes):
        return x.to_numpy(dtype=np.float64, na_value=np.nan)
    # Left to itself, pandas makes Python objects of boolean beside floating columns.
    return x.to_numpy() if x.dtypes.nunique() == 1 else x.to_numpy(dtype=np.float64)


def _tensor_values(x: Any, name: str) -> NDArray[Any]:
    import torch

    if x.is_meta:
        raise UserError(f"{name} is a tensor without data (on the device 'meta'): give one with values.")
    if x.layout != torch.strided:
        num_bytes = math.prod(x.shape) * np.dtype(np.float32).itemsize
        if num_bytes > MAXIMUM_DENSE_BYTES:
            raise UserError(
                f"{name} is sparse and would need {num_bytes / 2**30:.1f} GiB when dense: "
                "select fewer features or observations."
            )
        check_sparse_tensor(x, name)
        x = x.to_dense()
    x = x.detach().cpu().resolve_conj().resolve_neg()
    # NumPy has no bfloat16; float32 holds every one of its values.
    return x.float().numpy() if x.dtype == torch.bfloat16 else x.numpy()


def check_dtype(values: NDArray[Any], name: str) -> None:
    """Refuse what are no real numbers.

    Raises
    ------
    UserError
        For complex numbers, Python objects and text.
    """
    kind = values.dtype.kind
    if kind in "biuf":
        return
    if kind == "c":
        raise UserError(f"{name} is complex, but observations must be real: give its real part or magnitude.")
    if kind == "O":
        raise UserError(
            f"{name} holds Python objects (dtype object) rather than numbers: convert it, as with X.astype(float)."
        )
    raise UserError(f"{name} has dtype {values.dtype}, which is not numeric: convert it to numbers first.")


def check_shape(shape: tuple[int, ...], name: str, minimum_observations: int) -> None:
    """Refuse a shape that is not ``[N, F]``, with at least one feature and as many observations as are needed.

    Raises
    ------
    UserError
        As said.
    """
    if len(shape) == 1:
        raise UserError(
            f"{name} has one dimension, shape {shape}, but [observations, features] are needed: use "
            "X.reshape(-1, 1) for one feature or X.reshape(1, -1) for one observation."
        )
    if len(shape) != 2:
        raise UserError(
            f"{name} has {len(shape)} dimensions, shape {shape}, but [observations, features] are needed: "
            "use X.reshape(len(X), -1)."
        )
    if shape[0] == 0:
        raise UserError(f"{name} is empty: it has no observations, shape {shape}.")
    if shape[1] == 0:
        raise UserError(f"{name} has no features, shape {shape}: give at least one column of numbers.")
    if shape[0] < minimum_observations:
        raise UserError(
            f"{name} has {shape[0]} observation{'s' if shape[0] > 1 else ''}, but at least {minimum_observations} "
            "are needed."
        )


def check_finite(
    values: NDArray[Any],
    checked: NDArray[np.floating[Any]],
    name: str,
    row_names: Sequence[Any] | None = None,
    column_names: Sequence[Any] | None = None,
    *,
    first_row: int = 0,
) -> None:
    """Refuse what is not finite, counted in ``values`` as given and in ``checked`` after rounding, both [N, F].

    Raises
    ------
    UserError
        With the first place, whose row is counted from ``first_row`` on.
    """
    bad = ~np.isfinite(checked)
    if not bad.any():
        return
    row, column = (int(index) for index in np.argwhere(bad)[0])
    where = f"observation {first_row + row} (counting from 0)"
    if row_names is not None and str(row_names[row]) != str(row):
        where += f" named {str(row_names[row])!r}"
    where += f", column {column if column_names is None else repr(str(column_names[column]))}"
    num_missing, num_infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    if num_missing + num_infinite == 0:
        raise UserError(
            f"{name} has {int(bad.sum())} values too large for {checked.dtype}, the first at {where}: rescale the data."
        )
    raise UserError(
        f"{name} has {num_missing} missing (NaN) and {num_infinite} infinite values, the first at {where}: "
        "fill them in or drop those observations."
    )


def without_values(message: str) -> str:
    """What scikit-learn says of an array, without the array."""
    message = re.sub(r"(with dim \d+), while dim <= 2 is.*", r"\1: reshape it to [observations, features].", message)
    message = re.sub(r":\s+array=.*\.\s+Reshape", ". Reshape", message, flags=re.DOTALL)
    return re.sub(r"(Complex data not supported).*", r"\1: give real parts or magnitudes.", message, flags=re.DOTALL)


def listed(names: Sequence[Any], most: int = 5) -> str:
    """Quote the first few of ``names`` and count the rest, for a message."""
    shown = ", ".join(repr(str(each)) for each in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
