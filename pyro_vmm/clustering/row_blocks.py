"""Tables of observations by components, read a block of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

ROWS_AT_ONCE = 8192
"""Of a table ``[N, K]``, so that what is made of it is not as large again."""
MOST_NUMBERS = 2**23
"""Of a table that is kept in memory; a larger one is worked out anew for each reading."""

Table: TypeAlias = NDArray[Any]


def blocks_of_rows(number: int) -> list[slice]:
    """Stretches of :data:`ROWS_AT_ONCE` of ``number`` rows; one that is empty for none."""
    return [slice(first, min(first + ROWS_AT_ONCE, number)) for first in range(0, max(1, number), ROWS_AT_ONCE)]


@dataclass(frozen=True, eq=False)
class RowBlocks:
    """A table ``[N, K]`` that is worked out a block of rows at a time, anew whenever it is read.

    Attributes
    ----------
    shape
        ``(N, K)``.
    block
        From a stretch of ``B`` rows to these rows, ``[B, K]``.
    """

    shape: tuple[int, int]
    block: Callable[[slice], Table]

    @classmethod
    def of(cls, table: Table | RowBlocks) -> RowBlocks:
        """The blocks of an array ``[N, K]``; those that are blocks already, as they are."""
        if isinstance(table, RowBlocks):
            return table
        return cls((table.shape[0], table.shape[1]), table.__getitem__)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Table]:
        """Blocks ``[B, K]`` from the first row to the last."""
        return (self.block(rows) for rows in blocks_of_rows(len(self)))

    def changed(self, change: Callable[[Table], Table]) -> RowBlocks:
        """The table with ``change`` applied to each block, which keeps rows and columns."""
        return RowBlocks(self.shape, lambda rows: change(self.block(rows)))

    def first_columns(self, number: int) -> RowBlocks:
        """The first ``number`` columns."""
        return RowBlocks((len(self), number), lambda rows: self.block(rows)[:, :number])

    def whole(self) -> Table:
        """All rows at once, ``[N, K]``."""
        table, first = np.empty(0), 0
        for block in self:
            if not first:
                table = np.empty(self.shape, dtype=block.dtype)
            table[first : first + len(block)] = block
            first += len(block)
        return table.reshape(self.shape)

    def kept_if_small(self) -> RowBlocks:
        """The same table in memory where it has at most :data:`MOST_NUMBERS`; otherwise as it is."""
        return RowBlocks.of(self.whole()) if math.prod(self.shape) <= MOST_NUMBERS else self


def is_settled(shares: Table) -> NDArray[np.bool_]:
    """Which rows ``[N]`` of ``shares [N, K]`` give one column more than all others together.

    Whatever of the other columns is added up, that column stays the largest. The margin is for rounding.
    """
    settled: NDArray[np.bool_] = shares.max(1) > 0.5001 * shares.sum(1, dtype=np.float64)
    return settled
