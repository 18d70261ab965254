"""What float32, in which models compute, loses of numbers given with more digits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 1_000
"""Rows, evenly spaced, that are looked at."""

FEWEST_STEPS = 2**14
"""Numbers of float32 that the bulk of a feature's values must span: in fewer, close values become one."""

NOISE = 64 * np.finfo(np.float64).eps
"""Relative differences below it are rounding errors of float64, not different values."""


@dataclass(frozen=True)
class MergedValues:
    """Distinct values of one feature that float32 makes equal.

    Attributes
    ----------
    feature
        Column number.
    distinct, left
        Number of different values as given and as float32, among all observations.
    num_features
        Number of features to which this happens.
    """

    feature: int
    distinct: int
    left: int
    num_features: int


def sampled_rows(values: Any) -> Any:
    """At most ``MOST_ROWS`` evenly spaced rows of ``values [N, F]``."""
    return values[:: _step(values.shape[0])]


def sampled_row_numbers(number: int) -> NDArray[np.int64]:
    """Which of ``number`` rows these are."""
    return np.arange(0, number, _step(number))


def _step(number: int) -> int:
    return max(1, -(-number // MOST_ROWS))


def is_coarse(values: NDArray[Any]) -> bool:
    """Whether float32 is too coarse for a feature of ``values [N, F]``: for values far from zero and close together.

    Always False for dtypes of which float32 holds every value.
    """
    return bool(_coarse_features(values).any())


def merged_values(values: NDArray[Any]) -> MergedValues | None:
    """Whether float32 makes distinct values of ``values [N, F]`` equal, where it is too coarse for a feature."""
    coarse = np.flatnonzero(_coarse_features(values))
    rows = sampled_rows(values)
    merged = [column for column in coarse.tolist() if _distinct(rows[:, column])[1] < _distinct(rows[:, column])[0]]
    if not merged:
        return None
    return MergedValues(merged[0], *_distinct(values[:, merged[0]]), num_features=len(merged))


def _coarse_features(values: NDArray[Any]) -> NDArray[np.bool_]:
    if np.can_cast(values.dtype, np.float32) or not values.size:
        return np.zeros(values.shape[1], dtype=np.bool_)
    with np.errstate(all="ignore"):  # what is not finite is refused elsewhere
        rows = np.sort(sampled_rows(values).astype(np.float64), axis=0)
        last, margin = len(rows) - 1, (len(rows) - 1) // 20
        # One value that stands for "missing", or a far outlier, must not hide how close the others are.
        low, high = rows[margin], rows[last - margin]
        low, high = np.where(high > low, low, rows[0]), np.where(high > low, high, rows[last])
        largest = np.maximum(abs(low), abs(high))
        step = np.spacing(largest.astype(np.float32)).astype(np.float64)
        too_few: NDArray[np.bool_] = ~(step * FEWEST_STEPS <= high - low) & (high - low > NOISE * largest)
        return too_few & (rows != rows.astype(np.float32)).any(0)


def _distinct(column: NDArray[Any]) -> tuple[int, int]:
    """Number of different values ``[N]`` as given and as float32."""
    with np.errstate(all="ignore"):
        values = np.unique(column.astype(np.float64))
        apart = np.diff(values) > NOISE * np.abs(values[1:])
        return 1 + int(apart.sum()), len(np.unique(values.astype(np.float32)))
