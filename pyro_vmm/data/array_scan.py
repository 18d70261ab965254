"""Arrays in files, looked through a block of rows at a time, with the checks and the words of arrays in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.arrays import check_dtype, check_finite, check_shape
from pyro_vmm.data.rounding import is_coarse, sampled_row_numbers
from pyro_vmm.data.stored_arrays import StoredArray, blocks_of
from pyro_vmm.observations import ReadRows, Room

FloatType = type[np.float32] | type[np.float64]


def type_of_values(array: StoredArray, minimum_observations: int = 2) -> FloatType:
    """Check shape and type of an array, and say how its values are read: float64 where float32 is too coarse for a feature.

    Raises
    ------
    UserError
        As :func:`~pyro_vmm.data.validate_array`.
    """
    check_dtype(np.empty(0, dtype=array.dtype), array.name)
    check_shape(array.shape, array.name, minimum_observations)
    return np.float64 if is_coarse(sample_of(array)) else np.float32


def sample_of(array: StoredArray) -> NDArray[Any]:
    """The evenly spaced rows that rounding is looked at in."""
    return array.read(sampled_row_numbers(array.shape[0]))


def checked_blocks(array: StoredArray, dtype: FloatType) -> Iterator[tuple[int, NDArray[Any]]]:
    """Number of the first row, and rows ``[B, F]`` as ``dtype``, of one block after the other.

    Raises
    ------
    UserError
        For values that are not finite; those of the first block that has any are counted.
    """
    for first, block in blocks_of(array):
        with np.errstate(over="ignore"):
            values: NDArray[np.floating[Any]] = np.ascontiguousarray(block, dtype=dtype)
        if not np.isfinite(values).all():
            check_finite(block, values, array.name, first_row=first)
        yield first, values


def values_of(array: StoredArray, dtype: FloatType) -> Iterator[NDArray[Any]]:
    """The same blocks without the numbers of their rows."""
    return (values for _, values in checked_blocks(array, dtype))


@dataclass(frozen=True, eq=False)
class ArrayRows:
    """Rows of an array in a file as a model takes them; see :class:`~pyro_vmm.observations.StoredRows`.

    Attributes
    ----------
    array
        ``[M, F]``.
    change
        From rows as they are stored to rows as the model takes them, ``[B, F]`` each.
    rows
        Which rows, ``[N]``, and in what order; None for all.
    """

    array: StoredArray
    change: Callable[[NDArray[Any]], NDArray[np.float32]]
    rows: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, F)``."""
        return self.array.shape[0] if self.rows is None else len(self.rows), self.array.shape[1]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Values that are stored of each row, ``[N]``: all F."""
        return np.full(self.shape[0], self.shape[1])

    def read(self, rows: NDArray[np.int64], room: Room | None = None) -> ReadRows:
        """Read the rows ``[B]``, in any order, each once."""
        wanted, places = np.unique(rows if self.rows is None else self.rows[rows], return_inverse=True)
        return ReadRows(self.change(self.array.read(wanted)), places)

    def __getitem__(self, rows: NDArray[np.int64]) -> ArrayRows:
        """These rows, in the order given, not read yet."""
        numbers = np.asarray(rows, dtype=np.int64)
        return ArrayRows(self.array, self.change, numbers if self.rows is None else self.rows[numbers])
