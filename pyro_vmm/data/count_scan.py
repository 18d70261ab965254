"""Counts in files, looked through once, a block of cells at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.cell_counts import library_sizes
from pyro_vmm.data.count_checks import CountChecks, as_csr, in_float32
from pyro_vmm.data.csr_files import CsrFile, CsrFiles
from pyro_vmm.data.sparse_structure import check_extremes

if TYPE_CHECKING:
    from scipy.sparse import csr_array

VALUES_AT_ONCE = 2**21
MOST_KEPT = 4
"""Results of scans that are kept."""


@dataclass(frozen=True)
class Scanned:
    """What one pass over counts ``[N, G]`` has found.

    Attributes
    ----------
    library_size
        The sum of each cell's counts, ``[N]``, positive.
    cells
        How many cells each gene has counts in, ``[G]``.
    """

    library_size: NDArray[np.float32]
    cells: NDArray[np.int64]


def cells_of_genes(counts: "csr_array") -> NDArray[np.int64]:
    """How many cells each gene of ``counts [N, G]``, without stored zeros, has counts in, ``[G]``."""
    cells = np.zeros(counts.shape[1], dtype=np.int64)
    for first in range(0, len(counts.indices), VALUES_AT_ONCE):
        cells += np.bincount(counts.indices[first : first + VALUES_AT_ONCE], minlength=len(cells))
    return cells


_FOUND: dict[object, Scanned] = {}


def scan(counts: CsrFiles, checks: CountChecks) -> Scanned:
    """Check counts in files as :func:`~pyro_vmm.data.count_checks.to_count_matrix` checks them in memory, with the same messages.

    What was found is kept for the next question about the same files, for as long as these do not change.

    Raises
    ------
    UserError
        As said there.
    """
    asked = (*(file.state for file in counts.files), checks.allow_non_counts)
    if asked not in _FOUND:
        while len(_FOUND) >= MOST_KEPT:
            del _FOUND[next(iter(_FOUND))]
        _FOUND[asked] = _scan(counts, checks)
    return _FOUND[asked]


def _scan(counts: CsrFiles, checks: CountChecks) -> Scanned:
    from scipy import sparse

    num_cells, number = counts.shape
    library, cells = np.zeros(num_cells, dtype=np.float32), np.zeros(number, dtype=np.int64)
    least, most = 0, 0
    for first, file, begin, end in _blocks(counts):
        values, columns = file.as_stored(begin, end)
        if len(columns):
            least, most = min(least, int(columns.min())), max(most, int(columns.max()))
        if least < 0 or most >= number:
            continue  # told of all together
        pointers = file.starts[begin : end + 1] - file.starts[begin]
        stored = sparse.csr_array((values, columns, pointers), shape=(end - begin, number))
        block = as_csr(stored, checks.source)
        checks.look(block, first)
        if checks.found_bad_values:
            continue
        block = in_float32(block)
        checks.look_for_empty_cells(block, first)
        has_counts = np.flatnonzero(np.diff(block.indptr))
        library[first + has_counts] = library_sizes(block[has_counts])
        cells += cells_of_genes(block)
    check_extremes(least, most, number, "column", checks.source)
    checks.refuse_values()
    checks.refuse_empty_cells()
    return Scanned(library, cells)


def _blocks(counts: CsrFiles) -> Iterator[tuple[int, CsrFile, int, int]]:
    """Number of the first cell, file, and rows of it, of blocks of some millions of values."""
    first = 0
    for file in counts.files:
        begin = 0
        while begin < file.shape[0]:
            enough = np.searchsorted(file.starts, file.starts[begin] + VALUES_AT_ONCE)
            end = min(max(int(enough), begin + 1), file.shape[0])
            yield first + begin, file, begin, end
            begin = end
        first += file.shape[0]
