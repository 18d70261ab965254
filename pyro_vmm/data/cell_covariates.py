"""Columns of ``adata.obs`` as codes and numbers: batches, other covariates and size factors."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.data.arrays import listed
from pyro_vmm.errors import InPython, Option, UserError

if TYPE_CHECKING:
    import pandas as pd


WITHOUT_THE_BATCH = InPython("; predict(adata, batch_free=True) of a loaded model does not read the batch")
"""What a message about batches adds where a fitted model is applied."""


def read_categories(
    obs: "pd.DataFrame",
    column: str,
    *,
    role: str,
    known: Sequence[str] | None = None,
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Read a categorical column as codes.

    Parameters
    ----------
    obs
        One row for each of N cells. It is not changed.
    column
        Its column; of any dtype.
    role
        The option that names the column: ``"batch_key"`` or ``"categorical_covariate_keys"``.
    known
        Categories of a fitted model, onto which the column is mapped; None takes those that occur.

    Returns
    -------
    codes
        ``[N]``, int64, places in ``categories``.
    categories
        As text: ``known`` where given, or else those that occur, in the column's own order where it is a pandas
        categorical and sorted where not. A whole number reads the same whether stored as an integer or as a float.

    Raises
    ------
    UserError
        If the column is missing or has missing values, if two of its values read alike, or if a value is not among
        ``known``.
    """
    import pandas as pd

    series = _column(obs, column, role, of_model=known is not None)
    _check_complete(series.isna().to_numpy(dtype=bool), obs, column, role)
    values = pd.Categorical(series).remove_unused_categories()
    names = [category_text(value) for value in values.categories]
    _check_alike(names, values.categories, column)
    codes = np.asarray(values.codes, dtype=np.int64)
    if known is None:
        return codes, tuple(names)
    places = {str(name): place for place, name in enumerate(known)}
    _check_seen(names, codes, places, column, "batch" if role == "batch_key" else "category")
    return np.array([places[name] for name in names], dtype=np.int64)[codes], tuple(places)


def check_batch_sizes(codes: NDArray[np.int64], categories: Sequence[str], column: str) -> None:
    """Raise :class:`UserError` if a batch among ``codes``, ``[N]``, has a single cell."""
    sizes = np.bincount(codes, minlength=len(categories))
    single = [name for name, size in zip(categories, sizes, strict=True) if size == 1]
    if not single:
        return
    if len(single) == 1:
        told, mend = f"a batch with one cell, {listed(single)}", "join it to another batch or remove its cell"
    else:
        told, mend = f"{len(single)} batches with one cell, {listed(single)}", "join them or remove their cells"
    raise UserError(f"adata.obs[{column!r}] has {told}: {mend}.")


def read_numbers(obs: "pd.DataFrame", column: str, *, role: str, of_model: bool = False) -> NDArray[np.float64]:
    """Read a numeric column as it is.

    Parameters
    ----------
    obs
        One row for each of N cells. It is not changed.
    column
        Its column: integer, floating or Boolean, NumPy's or pandas' own.
    role
        The option that names the column, such as ``"continuous_covariate_keys"``.
    of_model
        Whether a fitted model is applied, whose columns can no longer be chosen.

    Returns
    -------
    numpy.ndarray
        ``[N]``, float64, not standardised.

    Raises
    ------
    UserError
        If the column is missing, is not numeric, or has values that are missing or not finite in float32.
    """
    from pandas.api.types import is_complex_dtype, is_datetime64_any_dtype, is_numeric_dtype, is_timedelta64_dtype

    series = _column(obs, column, role, of_model=of_model)
    if not is_numeric_dtype(series.dtype) or is_complex_dtype(series.dtype):
        quoted = f"adata.obs[{column!r}]"
        advice = f"convert it, as with {quoted}.astype(float)"
        if is_datetime64_any_dtype(series.dtype):
            advice = f"convert it, as with ({quoted} - {quoted}.min()).dt.total_seconds()"
        elif is_timedelta64_dtype(series.dtype):
            advice = f"convert it, as with {quoted}.dt.total_seconds()"
        otherwise: tuple[str | Option, ...] = ()
        if role == "continuous_covariate_keys" and not of_model:
            otherwise = (", or give it in ", Option("categorical_covariate_keys"))
        raise UserError(
            f"{quoted} (",
            Option(role),
            f") is not numeric (dtype {series.dtype}, first value {str(series.iloc[0])!r}): {advice}",
            *otherwise,
            ".",
        )
    numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
    _check_complete(np.isnan(numbers), obs, column, role)
    infinite = ~(np.abs(numbers) <= np.finfo(np.float32).max)
    if infinite.any():
        _refuse(infinite, obs, column, role, "infinite", "set them right or remove those cells")
    return numbers


def read_size_factors(obs: "pd.DataFrame", column: str, *, of_model: bool = False) -> NDArray[np.float32]:
    """Read size factors, ``[N]``, float32: as :func:`read_numbers`, and all positive or :class:`UserError`."""
    factors = read_numbers(obs, column, role="size_factor_key", of_model=of_model)
    not_positive = factors <= 0
    if not_positive.any():
        mend = "size factors must be above 0, so recompute them or remove those cells"
        _refuse(not_positive, obs, column, "size_factor_key", "zero or negative", mend)
    too_small = factors < np.finfo(np.float32).tiny
    if too_small.any():
        advice = f"only their ratios count, so divide all by their mean, adata.obs[{column!r}].mean()"
        _refuse(too_small, obs, column, "size_factor_key", "too small", advice)
    return factors.astype(np.float32)


def mean_and_scale(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and standard deviations of the columns of ``values [N, C]``, ``[C]`` each; the latter are 1 for a constant."""
    mean, scale = _moments(values)
    return _moments(_rounded(values, mean, scale))


def standardize(values: NDArray[np.float64], mean: ArrayLike, scale: ArrayLike) -> NDArray[np.float32]:
    """Subtract ``mean [C]`` from ``values [N, C]`` and divide by ``scale [C]``, and only then round to float32."""
    mean, scale = np.asarray(mean, dtype=np.float64), np.asarray(scale, dtype=np.float64)
    return ((_rounded(values, mean, scale) - mean) / scale).astype(np.float32)


def _moments(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    spread = values.std(0)
    # The mean of equal values may differ from them in the last digit, and then they would seem to vary. Values whose squares
    # are below float64 vary, but cannot be standardised.
    constant = (values.min(0) == values.max(0)) | (spread == 0.0)
    return np.where(constant, values[0], values.mean(0)), np.where(constant, 1.0, spread)


def _rounded(values: NDArray[np.float64], mean: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to float32 where it costs less than a millionth of ``scale``.

    Version 0.1 rounded everything: its models and checkpoints give the same numbers still.
    """
    return np.where(np.abs(mean) <= 10.0 * scale, values.astype(np.float32), values)


def _column(obs: "pd.DataFrame", column: str, role: str, *, of_model: bool) -> "pd.Series[Any]":
    names = [str(name) for name in obs.columns]
    if column not in obs.columns:
        close = difflib.get_close_matches(column.lower(), {name.lower() for name in names}, n=3, cutoff=0.6)
        near = [name for lowered in close for name in names if name.lower() == lowered]
        if of_model:
            add = f"add it, as with adata.obs[{column!r}] = adata.obs[{near[0]!r}]" if near else "add it"
            raise UserError(
                f"adata.obs has no column {column!r}, which the model was fitted with (",
                Option(role),
                f"): {add}",
                *([WITHOUT_THE_BATCH] if role == "batch_key" else []),
                ".",
            )
        there = f"its columns are {listed(names)}." if names else "it has no columns."
        advice = f"did you mean {listed(near)}?" if near else there
        raise UserError(f"adata.obs has no column {column!r} (", Option(role), f"): {advice}")
    if names.count(column) > 1:
        raise UserError(
            f"adata.obs has {names.count(column)} columns called {column!r} (", Option(role), "): rename all but one."
        )
    return obs[column]


def category_text(value: Any) -> str:
    """A category's name: a whole number reads the same whether it is stored as an integer or as a float."""
    is_whole_float = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if is_whole_float else str(value)


def _check_alike(names: list[str], values: Any, column: str) -> None:
    if len(set(names)) == len(names):
        return
    twice = next(name for name in names if names.count(name) > 1)
    kinds = " and ".join(type(value).__name__ for value, name in zip(values, names, strict=True) if name == twice)
    raise UserError(
        f"adata.obs[{column!r}] has {twice!r} as {kinds}: make them one, as with adata.obs[{column!r}].astype(str)."
    )


def _check_seen(names: list[str], codes: NDArray[np.int64], places: dict[str, int], column: str, noun: str) -> None:
    """Refuse names, with codes ``[N]``, that are not among ``places``."""
    sizes = np.bincount(codes, minlength=len(names))
    unseen = [f"{name!r} ({_cells(size)})" for name, size in zip(names, sizes, strict=True) if name not in places]
    if not unseen:
        return
    if len(unseen) == 1:
        told = f"a {noun} unseen in training"
    else:
        told = f"{len(unseen)} {'batches' if noun == 'batch' else 'categories'} unseen in training"
    shown = ", ".join(unseen[:5]) + (f" and {len(unseen) - 5} more" if len(unseen) > 5 else "")
    raise UserError(
        f"adata.obs[{column!r}] has {told}, {shown}: remove those cells or fit a model with them, for this one knows "
        f"{listed(list(places))}",
        *([WITHOUT_THE_BATCH] if noun == "batch" else []),
        ".",
    )


def _cells(number: int) -> str:
    return f"{number} cell{'' if number == 1 else 's'}"


def _check_complete(missing: NDArray[np.bool_], obs: "pd.DataFrame", column: str, role: str) -> None:
    if missing.any():
        _refuse(missing, obs, column, role, "missing (NaN)", "fill them in or remove those cells")


def _refuse(bad: NDArray[np.bool_], obs: "pd.DataFrame", column: str, role: str, adjective: str, mend: str) -> None:
    """Raise the error for the cells marked in ``bad``, ``[N]``."""
    number = int(bad.sum())
    first = str(obs.index[int(np.argmax(bad))])
    where = f"at cell {first!r}" if number == 1 else f"the first at cell {first!r}"
    told = f"one {adjective} value" if number == 1 else f"{number} {adjective} values"
    raise UserError(f"adata.obs[{column!r}] (", Option(role), f") has {told}, {where}: {mend}.")
