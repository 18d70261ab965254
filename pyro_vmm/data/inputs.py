"""What a user names on the command line, read into one checked :class:`Dataset`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.array_headers import check_array_headers
from pyro_vmm.data.arrays import validate_array
from pyro_vmm.data.other_formats import check_format, is_zarr_store
from pyro_vmm.data.tables import read_table
from pyro_vmm.data.torchvision_images import load_torchvision_images
from pyro_vmm.errors import UserError

BUILT_IN_INPUTS = ("digits", "mnist", "fashion-mnist")
FILE_SUFFIXES = (".npz", ".npy", ".csv", ".parquet")
SINGLE_CELL_SUFFIXES = (".h5ad", ".zarr")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Observations with the names that results are told in.

    Attributes
    ----------
    name
        What the user called the input.
    x
        Observations, ``[N, F]``, float32; float64 where float32 would make close values of a feature equal.
    ids
        Name of each observation, ``[N]``, text, all different.
    feature_names
        Name of each feature, ``[F]``, text.
    likelihood
        The likelihood to use where the user names none.
    labels
        Class of each observation, ``[N]``, or None. For scores only, never for fitting.
    label_name
        What a user calls the labels, or None.
    image_shape
        ``(H, W)`` where the features are the rows of an image, or None.
    """

    name: str
    x: Any
    ids: NDArray[np.str_]
    feature_names: NDArray[np.str_]
    likelihood: str
    labels: NDArray[Any] | None = None
    label_name: str | None = None
    image_shape: tuple[int, int] | None = None


def load_input(
    spec: str | os.PathLike[str], *, data_root: str | os.PathLike[str] | None = None, label_column: str | None = None
) -> Dataset:
    """Read a built-in data set or a file.

    Parameters
    ----------
    spec
        ``"digits"`` (1,797 images of 8 x 8), ``"mnist"``, ``"fashion-mnist"`` (70,000 of 28 x 28, training then test
        images), all with pixels in [0, 1], or the path of a file:

        ``.npy``
            An array ``[N, F]``, or images ``[N, H, W]``.
        ``.npz``
            Such an array, called ``X`` or ``x`` or else the only one of two or three dimensions; optional ``ids``
            ``[N]`` and ``labels`` or ``y`` ``[N]``. Other arrays are left alone.
        ``.csv`` (commas, one header line, UTF-8), ``.parquet``
            A row for each observation. Ids are the column called ``id`` or ``index`` in any case or, in CSV, a first
            column without a name; in Parquet, a stored index; otherwise the first column of text, where all its
            values differ. Every other column is a feature and must be numeric.
    data_root
        Folder where torchvision finds or puts MNIST and Fashion-MNIST, :func:`~pyro_vmm.data.default_data_root` if
        None. Of a folder that must not be written to, the files are copied to the default one or, failing that, to a
        temporary folder.
    label_column
        Column of a table, or array of an ``.npz`` file, that holds labels and so is no feature.

    Returns
    -------
    Dataset
        With ids ``"0"``, ``"1"``, ... where the input has none. The default likelihood is Bernoulli for built-in images and for
        files with no values but 0 and 1, and normal for the rest.

    Raises
    ------
    UserError
        If the input is unknown, missing, unreadable or malformed, or if its values fail
        :func:`~pyro_vmm.data.validate_array`.
    """
    text = os.fspath(spec)
    if text in BUILT_IN_INPUTS:
        if label_column not in (None, "label"):
            raise UserError(f"{text} has no column {label_column!r}: its labels are called 'label'.")
        if text == "digits":
            return _load_digits()
        pixels, labels = load_torchvision_images(text, data_root)
        return _images(text, pixels / np.float32(255), labels, (28, 28), "bernoulli")
    path = Path(text)
    suffix = path.suffix.lower()
    if suffix in SINGLE_CELL_SUFFIXES:
        raise UserError(f"{text} is for the single-cell model: read it with anndata and fit pyro_vmm's SingleCellVMM.")
    check_format(path)
    check_file(
        path, FILE_SUFFIXES, f"an input: give {', '.join(BUILT_IN_INPUTS)}, single cells in .h5ad or .zarr, or a file"
    )
    if suffix in (".npz", ".npy"):
        return _load_numpy(path, label_column)
    return _load_table(path, label_column)


def check_file(path: Path, suffixes: Sequence[str], purpose: str) -> None:
    """Raise :class:`UserError` unless ``path`` is a readable file, not empty, with one of ``suffixes``."""
    endings = " or ".join(suffixes)
    try:
        is_folder = path.is_dir()
    except PermissionError:
        raise UserError(f"{path} cannot be reached: check the permissions of its folder.") from None
    except OSError:  # a name that is too long is merely absent
        is_folder = False
    if is_folder and is_zarr_store(path):
        raise UserError(f"{path} is a Zarr store: give it a name that ends in .zarr.")
    if is_folder:
        raise UserError(f"{path} is a folder, not {purpose} ending in {endings}.")
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{str(path)!r} is not {purpose} ending in {endings}.")
    if not os.path.exists(path):
        raise UserError(f"There is no file {path}: check the path.")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} cannot be read: check its permissions.")
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path} is an empty file.")


def read_numpy_file(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file by name, or that of an ``.npy`` file as ``X``, running no code.

    Raises
    ------
    UserError
        If the file is truncated, holds Python objects (a pickle) or is not what its suffix says.
    """
    import zipfile
    import zlib

    is_archive = path.suffix.lower() == ".npz"
    try:
        # Opened here because numpy leaves a damaged archive open.
        with path.open("rb") as file:
            if not file.read(6).startswith(b"PK" if is_archive else b"\x93NUMPY"):
                raise UserError(f"{path} is not a NumPy {path.suffix} file (a pickle is never loaded): save it anew.")
            check_array_headers(path)
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            return {name: loaded[name] for name in loaded.files} if is_archive else {"X": loaded}
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{path} needs more memory than there is: give a smaller array.") from None
    except (
        ValueError,
        EOFError,
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        SyntaxError,
        KeyError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        if "allow_pickle" in str(error):
            raise UserError(f"{path} holds Python objects (pickled), which are never loaded: save numbers.") from error
        raise UserError(f"{path} is truncated or damaged: write it again.") from error


def _load_digits() -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return _images("digits", bunch.data / 16.0, bunch.target, (8, 8), "bernoulli")


def _images(name: str, x: Any, labels: NDArray[Any], shape: tuple[int, int], likelihood: str) -> Dataset:
    return Dataset(
        name=name,
        x=validate_array(x, name=name),
        ids=row_numbers(len(x)),
        feature_names=pixel_names(shape),
        likelihood=likelihood,
        labels=labels,
        label_name="label",
        image_shape=shape,
    )


def row_numbers(num_observations: int) -> NDArray[np.str_]:
    """Names of observations that have none, ``[N]``."""
    return np.arange(num_observations).astype(np.str_)


def pixel_names(shape: tuple[int, int]) -> NDArray[np.str_]:
    """Names of the features of images, ``[F]``."""
    return np.array([f"pixel_{row}_{column}" for row in range(shape[0]) for column in range(shape[1])], dtype=np.str_)


def _load_numpy(path: Path, label_column: str | None) -> Dataset:
    arrays = read_numpy_file(path)
    if label_column is not None and label_column not in arrays:
        raise UserError(f"{path} has no array {label_column!r} for labels: it holds {', '.join(arrays)}.")
    label_names = [label_column] if label_column else [name for name in ("labels", "y") if name in arrays]
    data_names = [name for name in arrays if name in ("X", "x") and name not in label_names]
    if not data_names:
        others = [name for name in arrays if name not in ("ids", *label_names)]
        data_names = [name for name in others if arrays[name].ndim in (2, 3)]
    if len(data_names) != 1 or len(label_names) > 1:
        raise UserError(
            f"{path} must hold one array of data called X and at most one of labels, "
            f"but it holds {', '.join(arrays) or 'none'}."
        )
    x = arrays[data_names[0]]
    image_shape = (x.shape[1], x.shape[2]) if x.ndim == 3 else None
    values = validate_array(x.reshape(len(x), -1) if image_shape and x.size else x, name=path.name, dtype=None)
    ids = arrays.get("ids", row_numbers(len(values)))
    for name, array in (("ids", ids), *((name, arrays[name]) for name in label_names)):
        if array.shape != (len(values),):
            raise UserError(
                f"{path} has {len(values)} observations, but its array {name!r} has shape {array.shape}: "
                f"give shape ({len(values)},)."
            )
    return Dataset(
        name=path.name,
        x=values,
        ids=checked_ids(ids, path),
        feature_names=pixel_names(image_shape) if image_shape else numbered("feature", values.shape[1]),
        likelihood=_default_likelihood(values),
        labels=arrays[label_names[0]] if label_names else None,
        label_name=label_names[0] if label_names else None,
        image_shape=image_shape,
    )


def _load_table(path: Path, label_column: str | None) -> Dataset:
    table = read_table(path, label_column)
    ids = row_numbers(len(table.features)) if table.ids is None else checked_ids(table.ids, path)
    values = validate_array(table.features.set_axis(ids, axis=0), name=path.name, dtype=None)
    return Dataset(
        name=path.name,
        x=values,
        ids=ids,
        feature_names=np.array(list(table.features.columns), dtype=np.str_),
        likelihood=_default_likelihood(values),
        labels=table.labels,
        label_name=label_column,
    )


def checked_ids(ids: NDArray[Any], path: Path) -> NDArray[np.str_]:
    """Return ``ids`` [N] as text, after making sure that each names one observation."""
    if ids.dtype.kind not in "iuUS":
        raise UserError(f"{path} has ids of dtype {ids.dtype}: give whole numbers or text.")
    names = np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids.astype(np.str_)
    distinct, first, counts = np.unique(names, return_index=True, return_counts=True)
    if counts.max(initial=0) > 1:
        repeated = names[first[counts > 1].min()]
        raise UserError(f"{path} uses the id {str(repeated)!r} more than once: give every observation its own.")
    if "" in distinct:
        raise UserError(f"{path} has no id for observation {int(np.argmax(names == ''))} (counting from 0): give one.")
    return names


def _default_likelihood(x: NDArray[Any]) -> str:
    return "bernoulli" if ((x == 0) | (x == 1)).all() else "normal"


def numbered(stem: str, count: int) -> NDArray[np.str_]:
    """Names of features that have none, ``[F]``."""
    return np.array([f"{stem}_{index}" for index in range(count)], dtype=np.str_)
