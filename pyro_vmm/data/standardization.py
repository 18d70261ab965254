"""Features with mean 0 and standard deviation 1, and a warning where float32 loses what was given."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.calling_code import warn_caller
from pyro_vmm.data.data_warning import DataWarning
from pyro_vmm.data.rounding import NOISE, merged_values
from pyro_vmm.errors import UserError

FAR_OUTLIERS = "some values lie too far from the others: remove or correct them, or transform the column"


def moments(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and standard deviation of each feature of ``x [N, F]``, ``[F]`` each and of the dtype of ``x``.

    The standard deviation of a constant feature is given as 1.

    Raises
    ------
    UserError
        If squares of the values are beyond float64.
    """
    # In float64: the squares of large values, and means of many, are beyond float32.
    exact = x.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = exact.mean(0), exact.std(0)
    return _usable(mean, spread, x.dtype, np.abs(exact).max(0))


def moments_of_blocks(blocks: Callable[[], Iterator[NDArray[Any]]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """As :func:`moments`, of blocks ``[B, F]`` below each other, which are read twice; to the same digits.

    Raises
    ------
    UserError
        As said there.
    """
    number, total, largest = 0, None, np.zeros(0)
    with np.errstate(over="ignore", invalid="ignore"):
        for block in blocks():
            exact, dtype = block.astype(np.float64, copy=False), block.dtype
            total = _added(total, exact)
            largest = np.abs(exact).max(0) if not number else np.maximum(largest, np.abs(exact).max(0))
            number += len(block)
        mean, squares = np.asarray(total) / number, None
        for block in blocks():
            squares = _added(squares, np.square(block - mean))
        return _usable(mean, np.sqrt(np.asarray(squares) / number), dtype, largest)


def _added(total: NDArray[np.float64] | None, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over rows, added row after row, so that they do not depend on where blocks end."""
    return rows.sum(0) if total is None else np.concatenate([total[None], rows]).sum(0)


def _usable(
    mean: NDArray[np.float64], spread: NDArray[np.float64], dtype: np.dtype[Any], largest: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    if not (np.isfinite(mean) & np.isfinite(spread)).all():
        feature = int(np.argmin(np.isfinite(mean) & np.isfinite(spread)))
        raise UserError(f"X has values in column {feature} whose squares are too large for float64: rescale the data.")
    smallest = np.finfo(np.float32).tiny if dtype == np.float32 else NOISE * largest
    return mean.astype(dtype), np.where(spread > smallest, spread, 1).astype(dtype)


def warn_of_merged_values(values: NDArray[Any], names: Sequence[str] | None, advice: str) -> None:
    """Warn where the model, which computes in float32, takes distinct values of ``values [N, F]`` as equal."""
    merged = merged_values(values)
    if merged is None:
        return
    column = merged.feature if names is None else repr(str(names[merged.feature]))
    others = f" (so for {merged.num_features} columns)" if merged.num_features > 1 else ""
    warn_caller(
        f"X has {merged.distinct} different values in column {column}, and float32, in which the model computes, keeps "
        f"{merged.left} of them{others}: {advice}.",
        DataWarning,
    )
