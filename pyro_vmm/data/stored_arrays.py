"""Arrays ``[N, F]`` in files, of which no more is read than is asked for."""

from __future__ import annotations

import math
import mmap
import zipfile
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.array_headers import check_array_headers
from pyro_vmm.data.unchanged_files import FileState
from pyro_vmm.data.unreadable_cells import first_line
from pyro_vmm.data.zarr_folders import check_zarr_folder, without_pickles
from pyro_vmm.errors import UserError

BYTES_AT_ONCE = 2**24
"""Of a block, when all rows are looked at."""
_LOCAL_HEADER = 30
"""Bytes of a zip archive before a member's name; those at 26 and 28 say how long the name and what follows it are."""


class StoredArray(Protocol):
    """N rows of F numbers that lie elsewhere."""

    name: str
    """What messages call the array."""
    shape: tuple[int, int]
    """``(N, F)``."""
    dtype: np.dtype[Any]
    image_shape: tuple[int, int] | None
    """Of rows that are images."""

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The rows ``[B]``, in ascending order, as ``[B, F]``.

        Raises
        ------
        UserError
            If they cannot be read, or are no longer what they were.
        """
        ...


class ArrayFile:
    """An array that lies row by row in a file, as NumPy writes it.

    It is read, not mapped: pages of a map would count as this process's memory, and of a file that shrinks end the process.

    Parameters
    ----------
    path
        Of the file.
    offset
        Where in it the first number is, in bytes.
    shape, dtype
        Of the array, ``[N, ...]``.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], name: str = "X") -> None:
        self.name, self._path, self._offset = name, path, offset
        self.shape, self.image_shape = _flat(shape)
        self.dtype = dtype
        self._state = FileState.of(path)

    @classmethod
    def of_map(cls, array: NDArray[Any], name: str = "X") -> Self | None:
        """What ``numpy.load(path, mmap_mode="r")`` or ``numpy.memmap`` gave, or rows of it; None for anything else.

        None, too, for an array that does not lie row by row, and for one whose changes are not written to its file.
        """
        held = getattr(array, "_mmap", None)
        filename = getattr(array, "filename", None)
        if held is None or filename is None or not array.flags.c_contiguous or array.ndim < 2:
            return None
        if array.mode == "c" or not Path(filename).is_file():  # type: ignore[attr-defined]  # of a memmap
            return None
        start = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY  # type: ignore[attr-defined]  # of a memmap
        first = array.ctypes.data - np.frombuffer(held, dtype=np.uint8).ctypes.data
        return cls(Path(filename), start + first, array.shape, array.dtype, name)

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """See :class:`StoredArray`; neighbours are read together."""
        self._state.check()
        values = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        num_bytes = self.shape[1] * self.dtype.itemsize
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        into = memoryview(values.view(np.uint8).reshape(-1))  # type: ignore[arg-type]  # a buffer
        try:
            with self._path.open("rb", buffering=0) as file:
                for begin, end in zip([0, *breaks.tolist()], [*breaks.tolist(), len(rows)], strict=True):
                    if end > begin:
                        file.seek(self._offset + int(rows[begin]) * num_bytes)
                        _fill(into[begin * num_bytes : end * num_bytes], file)
        except OSError as error:
            raise self._state.unreadable(first_line(str(error))) from None
        return values


class ZarrArray:
    """An array of Zarr, of which every chunk that is needed is read once for all the rows asked for."""

    def __init__(self, array: Any, name: str = "X") -> None:
        self.name, self._array = name, array
        self.shape, self.image_shape = _flat(array.shape)
        self.dtype = np.dtype(array.dtype)
        root = getattr(array.store, "root", None) or getattr(
            array.store, "path", None
        )  # of a local one, by Zarr 3 and 2
        folder = None if root is None else Path(root, array.path)
        self._state = None if folder is None or not folder.is_dir() else FileState.of(folder)

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """See :class:`StoredArray`."""
        if self._state is not None:  # of a chunk that is not there Zarr makes zeros
            self._state.check()
        try:
            values = np.asarray(self._array.get_orthogonal_selection((rows,)))
        except Exception as error:  # of stores and of codecs
            raise UserError(
                f"{self.name} cannot be read any more ({first_line(str(error))}): put the store back as it was, and resume "
                "from the last checkpoint or fit again."
            ) from None
        return np.ascontiguousarray(values.reshape(len(rows), self.shape[1]))


def stored_array(x: Any, name: str = "X") -> StoredArray | None:
    """A memory map, an array of Zarr or what is one of ours already; None for anything else, which is in memory."""
    if isinstance(x, ArrayFile | ZarrArray):
        return x
    if isinstance(x, np.memmap):
        return ArrayFile.of_map(x, name)
    is_zarr = type(x).__module__.partition(".")[0] == "zarr" and hasattr(x, "get_orthogonal_selection")
    return ZarrArray(x, name) if is_zarr and len(x.shape) >= 2 else None


def open_array(path: Path) -> StoredArray:
    """The array of an ``.npy`` file, the one called ``X`` of an ``.npz`` file, or a Zarr array.

    Raises
    ------
    UserError
        If it is not there, or not stored row by row without compression (``.npy`` and ``.npz``).
    """
    if path.suffix.lower() == ".zarr":
        return ZarrArray(_open_zarr(path), path.name)
    try:
        check_array_headers(path)
        with path.open("rb") as file:
            start = 0 if path.suffix.lower() == ".npy" else _start_of_member(path)
            file.seek(start)
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, by_columns, dtype = read(file)
            offset = file.tell()
    except UserError:
        raise
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read from disk ({first_line(str(error))}): write it again.") from None
    if dtype.hasobject:
        raise UserError(f"{path} holds Python objects (pickled), which are never loaded: save numbers.")
    if by_columns:
        raise UserError(
            f"{path} is stored by columns, of which rows cannot be read: write numpy.ascontiguousarray(X), or read it into memory."
        )
    if len(shape) < 2:
        raise UserError(f"{path} has shape {shape}, but [observations, features] are needed.")
    return ArrayFile(path, offset, shape, dtype, path.name)


def _open_zarr(path: Path) -> Any:
    check_zarr_folder(path)
    import zarr

    try:
        with without_pickles():
            return zarr.open_array(path, mode="r")
    except Exception as error:  # of a dozen kinds
        raise UserError(f"{path} cannot be read as a Zarr array ({first_line(str(error))}): write it again.") from None


def _fill(part: memoryview, file: FileIO) -> None:
    while len(part):
        read = file.readinto(part)
        if not read:
            raise OSError("it has become shorter")
        part = part[read:]


def _start_of_member(path: Path) -> int:
    """Where the array ``X`` of an archive starts."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    found = next((members[name] for name in ("X", "x") if name in members), None)
    if found is None:
        raise UserError(f"{path} has no array X to read from disk: it holds {', '.join(members) or 'none'}.")
    if found.compress_type != zipfile.ZIP_STORED:
        raise UserError(f"{path} is compressed: write it with numpy.savez, or read it into memory.")
    with path.open("rb") as file:
        file.seek(found.header_offset)
        header = file.read(_LOCAL_HEADER)
    lengths = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))
    return found.header_offset + _LOCAL_HEADER + sum(lengths)


def blocks_of(array: StoredArray) -> Iterator[tuple[int, NDArray[Any]]]:
    """Number of the first row, and rows ``[B, F]``, of one block after the other."""
    at_once = max(1, BYTES_AT_ONCE // max(1, array.shape[1] * array.dtype.itemsize))
    for first in range(0, array.shape[0], at_once):
        yield first, array.read(np.arange(first, min(first + at_once, array.shape[0])))


def _flat(shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """``(N, F)``, and the shape of rows that are images."""
    rows = (int(shape[0]), math.prod(int(size) for size in shape[1:]))
    return rows, (int(shape[1]), int(shape[2])) if len(shape) == 3 else None
