"""Counts in compressed sparse rows in files of AnnData, of which no more is read than is asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.cell_stores import open_store, read_parts
from pyro_vmm.data.count_checks import check_kind
from pyro_vmm.data.sparse_structure import check_list, check_pointers
from pyro_vmm.data.unchanged_files import FileState
from pyro_vmm.data.unreadable_cells import first_line, why_unreadable
from pyro_vmm.errors import UserError
from pyro_vmm.observations import ReadRows, Room

GAP = 8
"""Rows nobody has asked for that are read rather than skipped: a second reading costs more than they do."""


class CsrFile:
    """The matrix ``[N, F]`` of one file.

    Parameters
    ----------
    path
        Of the ``.h5ad`` or the ``.zarr``.
    place
        Of the matrix in it: ``"X"``, ``"raw/X"`` or ``"layers/NAME"``.
    source
        What messages call the matrix.

    Attributes
    ----------
    starts
        Where each row's values start, and the last one's end, ``[N + 1]``, int64.

    Raises
    ------
    UserError
        If the file cannot be read, the matrix is stored otherwise, or its pointers do not fit its values.
    """

    def __init__(self, path: Path, place: str, source: str) -> None:
        self.path, self.place, self.source = path, place, source
        self._as_it_was = FileState.of(path / place if path.is_dir() else path)
        try:
            self._open()
        except UserError:
            raise
        except Exception as error:  # HDF5 raises errors of a dozen kinds
            raise UserError(why_unreadable(path, error)) from None

    def _open(self) -> None:
        self._store = open_store(self.path)
        matrix = self._store.get(self.place)
        if matrix is None:
            raise UserError(f"{self.path} has no {self.source}: give files that all have it.")
        kind = matrix.attrs.get("encoding-type", "array")
        if not hasattr(matrix, "keys") or kind != "csr_matrix":
            stored = {"csc_matrix": "by columns (CSC)", "array": "as a dense array"}.get(str(kind), f"as {kind}")
            raise UserError(
                f"{self.path} stores {self.source} {stored}, of which single cells cannot be read: store it by rows, as with "
                "scipy.sparse.csr_matrix, or read it into memory."
            )
        num_rows, num_columns = (int(size) for size in matrix.attrs["shape"])
        self.shape = num_rows, num_columns
        self._values, self._columns = matrix["data"], matrix["indices"]
        check_kind(self._values.dtype, self.source)
        for name in ("indptr", "indices"):
            check_list(matrix[name], "pointers" if name == "indptr" else name, self.source)
        starts, sizes = matrix["indptr"][:], (self._columns.shape[0], self._values.shape[0])
        check_pointers(starts, *sizes, num_lines=num_rows, lines="row", source=self.source)
        self.starts: NDArray[np.int64] = starts.astype(np.int64)

    def as_stored(self, first: int, last: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Values and columns of the rows ``first .. last - 1`` in their own dtypes."""
        self.check_unchanged()
        part = slice(int(self.starts[first]), int(self.starts[last]))
        try:
            return np.asarray(self._values[part]), np.asarray(self._columns[part])
        except Exception as error:
            raise UserError(why_unreadable(self.path, error)) from None

    def read_into(
        self, runs: Sequence[tuple[int, int]], values: NDArray[np.float32], columns: NDArray[np.int32]
    ) -> None:
        """Read rows ``first .. last - 1`` of one ascending run after the other; there must be room for exactly these."""
        parts = [(int(self.starts[first]), int(self.starts[last])) for first, last in runs]
        try:
            for stored, into in ((self._values, values), (self._columns, columns)):
                read_parts(stored, parts, into)
        except Exception as error:
            raise self._as_it_was.unreadable(first_line(str(error))) from None

    @property
    def state(self) -> tuple[str, str, FileState]:
        """What tells the matrix from others, and from what it may become."""
        return os.path.realpath(self.path), self.place, self._as_it_was

    def check_unchanged(self) -> None:
        """Raise :class:`UserError` if the file has another size or time than when it was opened."""
        self._as_it_was.check()


class CsrFiles:
    """The matrices ``[N_i, F]`` of files below each other, or some rows of them; see :class:`~pyro_vmm.observations.StoredRows`.

    Parameters
    ----------
    files
        With the same F columns.
    rows
        Which rows, ``[N]``, and in what order; None for all.
    """

    def __init__(self, files: Sequence[CsrFile], rows: NDArray[np.int64] | None = None) -> None:
        self.files, self._rows = tuple(files), rows
        self._firsts = np.cumsum([0, *(file.shape[0] for file in files)])

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, F)``."""
        return int(self._firsts[-1]) if self._rows is None else len(self._rows), self.files[0].shape[1]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Values that are stored of each row, ``[N]``."""
        lengths = np.concatenate([np.diff(file.starts) for file in self.files])
        return lengths if self._rows is None else lengths[self._rows]

    def __getitem__(self, rows: NDArray[np.int64]) -> CsrFiles:
        """These rows, in the order given, not read yet."""
        numbers = np.asarray(rows, dtype=np.int64)
        return CsrFiles(self.files, numbers if self._rows is None else self._rows[numbers])

    def read(self, rows: NDArray[np.int64], room: Room | None = None) -> ReadRows:
        """Read the rows ``[B]``, in any order, each once."""
        from scipy import sparse

        wanted, places = np.unique(rows if self._rows is None else self._rows[rows], return_inverse=True)
        runs, within = self._runs(wanted)
        sizes = [int(file.starts[last] - file.starts[first]) for file, first, last in runs]
        ends = np.cumsum([0, *sizes])
        values, columns = (Room() if room is None else room).of(int(ends[-1]))
        place = 0
        for file, of_file in groupby(runs, key=itemgetter(0)):
            file.check_unchanged()
            stretches = [(first, last) for _, first, last in of_file]
            end = place + sum(int(file.starts[last] - file.starts[first]) for first, last in stretches)
            file.read_into(stretches, values[place:end], columns[place:end])
            place = end
        starts = [
            file.starts[first:last] - file.starts[first] + start
            for (file, first, last), start in zip(runs, ends, strict=False)
        ]
        # SciPy gathers rows 250 times slower where columns and starts are numbers of different widths.
        width = np.dtype(np.int32 if ends[-1] < 2**31 else np.int64)
        pointers = np.concatenate([*starts, ends[-1:]]).astype(width)
        parts = (values, columns.astype(width, copy=False), pointers)
        matrix = sparse.csr_array(parts, shape=(len(pointers) - 1, self.shape[1]))
        return ReadRows(matrix, within[places])

    def _runs(self, wanted: NDArray[np.int64]) -> tuple[list[tuple[CsrFile, int, int]], NDArray[np.int64]]:
        """Stretches to read for rows in ascending order, and where these are in what is read."""
        if not len(wanted):
            return [], wanted
        file_of = np.searchsorted(self._firsts, wanted, side="right") - 1
        breaks = np.flatnonzero((np.diff(wanted) > GAP) | (np.diff(file_of) > 0)) + 1
        begins, ends = np.concatenate([[0], breaks]), np.concatenate([breaks, [len(wanted)]])
        firsts, lasts = wanted[begins], wanted[ends - 1] + 1
        offsets = np.cumsum(lasts - firsts) - (lasts - firsts)
        within = wanted + np.repeat(offsets - firsts, ends - begins)
        in_file = self._firsts[file_of[begins]]
        numbers = zip(file_of[begins].tolist(), (firsts - in_file).tolist(), (lasts - in_file).tolist(), strict=True)
        return [(self.files[file], first, last) for file, first, last in numbers], within
