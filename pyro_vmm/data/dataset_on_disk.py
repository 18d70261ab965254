"""Files of arrays that stay on disk, as :class:`~pyro_vmm.data.Dataset`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.free_memory import is_large
from pyro_vmm.data.inputs import Dataset, check_file, checked_ids, numbered, pixel_names, row_numbers
from pyro_vmm.data.stored_arrays import StoredArray, blocks_of, open_array
from pyro_vmm.data.unreadable_cells import first_line
from pyro_vmm.errors import UserError

READ_BY_ROWS = (".npy", ".npz", ".zarr")


def dataset_on_disk(spec: str, label_column: str | None = None) -> Dataset:
    """As :func:`~pyro_vmm.data.load_input`, with an array that stays in its file.

    Parameters
    ----------
    spec
        Path of an ``.npy``, of an uncompressed ``.npz`` with its array called ``X``, or of a Zarr array that ends in ``.zarr``.
    label_column
        Array of an ``.npz`` that holds labels.

    Raises
    ------
    UserError
        For another input, and for a file that cannot be read row by row.
    """
    path = Path(spec)
    if path.suffix.lower() not in READ_BY_ROWS:
        raise UserError(
            f"{spec} is read into memory, whatever it is: leave --from-disk out, or give .npy, .npz or .zarr."
        )
    if path.suffix.lower() != ".zarr":
        check_file(path, READ_BY_ROWS[:2], "an array: give a file")
    array = open_array(path)
    if label_column is not None and path.suffix.lower() != ".npz":
        raise UserError(f"{path} holds one array and no labels: leave --label-column out.")
    beside = _beside(path, label_column) if path.suffix.lower() == ".npz" else {}
    label_name = label_column or next((name for name in ("labels", "y") if name in beside), None)
    number = array.shape[0]
    for name in ("ids", label_name):
        if name in beside and beside[name].shape != (number,):
            raise UserError(
                f"{path} has {number} observations, but its array {name!r} has shape {beside[name].shape}: give shape ({number},)."
            )
    shape = array.image_shape
    return Dataset(
        name=path.name,
        x=array,
        ids=checked_ids(beside["ids"], path) if "ids" in beside else row_numbers(number),
        feature_names=pixel_names(shape) if shape else numbered("feature", array.shape[1]),
        likelihood="bernoulli" if _is_binary(array) else "normal",
        labels=None if label_name is None else beside[label_name],
        label_name=label_name,
        image_shape=shape,
    )


def is_better_left_on_disk(path: Path) -> bool:
    """Whether a file of an array is large, or a Zarr array, and can be read row by row."""
    suffix = path.suffix.lower()
    if suffix not in READ_BY_ROWS or not (suffix == ".zarr" or is_large(path)):
        return False
    try:
        open_array(path)
    except UserError:
        return False
    return True


def _beside(path: Path, label_column: str | None) -> dict[str, NDArray[Any]]:
    """Names and labels of an archive, by the arrays' names."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if label_column is not None and label_column not in archive.files:
                raise UserError(
                    f"{path} has no array {label_column!r} for labels: it holds {', '.join(archive.files)}."
                )
            read = {"ids", label_column} if label_column else {"ids", "labels", "y"}
            return {name: archive[name] for name in archive.files if name in read}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is truncated or damaged ({first_line(str(error))}): write it again.") from None


def _is_binary(array: StoredArray) -> bool:
    return all(bool(((block == 0) | (block == 1)).all()) for _, block in blocks_of(array))
