"""Files of AnnData, HDF5 or Zarr, opened to be read in parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.claimed_sizes import check_hdf5, check_zarr
from pyro_vmm.data.inputs import check_file
from pyro_vmm.data.zarr_folders import check_zarr_folder, without_pickles

if TYPE_CHECKING:
    import h5py

Part = tuple[int, int]
"""First number, and the one after the last."""


def open_store(path: Path) -> Any:
    """An ``h5py.File``, or a group of Zarr in which nothing is a pickle.

    Raises
    ------
    UserError
        If there is none, or it refers to other files.
    Exception
        Whatever HDF5 or Zarr raise.
    """
    if path.suffix.lower() == ".zarr":
        check_zarr_folder(path)
        check_zarr(path, read_whole=False)
        import zarr

        with without_pickles():
            return zarr.open_group(path, mode="r")
    import h5py

    check_file(path, (".h5ad",), "single cells: give a file")
    check_hdf5(path, read_whole=False)
    return h5py.File(path, "r")


def read_parts(stored: Any, parts: Sequence[Part], into: NDArray[Any]) -> None:
    """Read ascending parts of a list one after the other, converted to the dtype of ``into``, which they fill."""
    import h5py

    if not isinstance(stored, h5py.Dataset):
        _read_chunks(stored, parts, into)
        return
    end = 0
    for part in parts:
        begin, end = end, end + part[1] - part[0]
        _read(stored, part, into[begin:end])


def _read(dataset: h5py.Dataset, part: Part, into: NDArray[Any]) -> None:
    import h5py

    first, last = part
    if last == first:
        return
    if dataset.dtype.kind not in "iuf":  # HDF5 converts numbers alone
        into[:] = dataset[first:last]
        return
    # h5py's own slices take ten times as long as HDF5 does for so few values.
    there = dataset.id.get_space()
    there.select_hyperslab((first,), (last - first,))
    dataset.id.read(h5py.h5s.create_simple((last - first,)), there, into)


def _read_chunks(array: Any, parts: Sequence[Part], into: NDArray[Any]) -> None:
    """Of Zarr, which takes long for a few values: every chunk that is needed once."""
    size = int(array.chunks[0])
    held, chunk, place = -1, np.empty(0), 0
    for first, last in parts:
        while first < last:
            number, within = divmod(first, size)
            if number != held:
                held, chunk = number, np.asarray(array[number * size : (number + 1) * size])
            taken = min(last - first, size - within)
            into[place : place + taken] = chunk[within : within + taken]
            first, place = first + taken, place + taken
