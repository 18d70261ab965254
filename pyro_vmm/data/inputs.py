"""What a user names on the command line, read into one checked :class:`Dataset`."""

import contextlib
import csv
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.arrays import validate_array
from pyro_vmm.errors import UserError

BUILT_IN_INPUTS = ("digits", "mnist", "fashion-mnist")
FILE_SUFFIXES = (".npz", ".npy", ".csv", ".parquet")
ID_COLUMNS = ("id", "index")
SINGLE_CELL_SUFFIXES = (".h5ad", ".zarr")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Observations with the names that results are told in.

    Attributes
    ----------
    name
        What the user called the input.
    x
        Observations, ``[N, F]``, float32.
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
    x: NDArray[np.float32]
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
        Folder where torchvision finds or puts MNIST and Fashion-MNIST, :func:`default_data_root` if None. Of a
        folder that must not be written to, the files are copied to :func:`default_data_root` or, failing that, to a
        temporary folder.
    label_column
        Column of a table, or array of an ``.npz`` file, that holds labels and so is no feature.

    Returns
    -------
    Dataset
        With ids ``"0"``, ``"1"``, ... where the input has none. The default likelihood is Bernoulli for digits and for
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
        return _load_digits() if text == "digits" else _load_torchvision(text, data_root)
    path = Path(text)
    suffix = path.suffix.lower()
    if suffix in SINGLE_CELL_SUFFIXES:
        raise UserError(f"{text} needs the single-cell model, which this version does not have yet.")
    check_file(path, FILE_SUFFIXES, f"an input: give {', '.join(BUILT_IN_INPUTS)} or a file")
    if suffix in (".npz", ".npy"):
        return _load_numpy(path, label_column)
    return _load_table(path, label_column)


def default_data_root() -> str:
    """Return ``pyro-vmm`` in the user's cache folder (``$XDG_CACHE_HOME``, or ``~/.cache``)."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "pyro-vmm")


def check_file(path: Path, suffixes: Sequence[str], purpose: str) -> None:
    """Raise :class:`UserError` unless ``path`` is a readable file, not empty, with one of ``suffixes``."""
    endings = " or ".join(suffixes)
    if path.is_dir():
        raise UserError(f"{path} is a folder, not {purpose} ending in {endings}.")
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{str(path)!r} is not {purpose} ending in {endings}.")
    if not path.exists():
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

    with path.open("rb") as file:
        magic = file.read(6)
    is_archive = path.suffix.lower() == ".npz"
    if not magic.startswith(b"PK" if is_archive else b"\x93NUMPY"):
        raise UserError(f"{path} is not a NumPy {path.suffix} file (a pickle is never loaded): write it with numpy.")
    try:
        if not is_archive:
            return {"X": np.load(path, allow_pickle=False)}
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, SyntaxError, KeyError) as error:
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
        ids=_row_numbers(len(x)),
        feature_names=_pixel_names(shape),
        likelihood=likelihood,
        labels=labels,
        label_name="label",
        image_shape=shape,
    )


def _row_numbers(num_observations: int) -> NDArray[np.str_]:
    return np.arange(num_observations).astype(np.str_)


def _pixel_names(shape: tuple[int, int]) -> NDArray[np.str_]:
    return np.array([f"pixel_{row}_{column}" for row in range(shape[0]) for column in range(shape[1])], dtype=np.str_)


def _load_torchvision(name: str, data_root: str | os.PathLike[str] | None) -> Dataset:
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        # A torchvision built for another torch fails while it is imported: "operator torchvision::nms does not exist".
        raise UserError(
            f"{name} needs a torchvision that matches the installed torch, but importing it failed "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}): reinstall the two together."
        ) from error
    source = datasets.MNIST if name == "mnist" else datasets.FashionMNIST
    files = [file for file, _ in source.resources]
    root = _writable_root(Path(data_root or default_data_root()).expanduser(), source.__name__, files)
    try:
        # torchvision reports its downloads on standard output, which belongs to the results.
        with contextlib.redirect_stdout(sys.stderr):
            parts = [source(os.fspath(root), train=train, download=True) for train in (True, False)]
        x = np.concatenate([part.data.numpy() for part in parts]).reshape(-1, 28 * 28)
        labels = np.concatenate([part.targets.numpy() for part in parts])
    # Whatever torchvision and the network raise between them (AssertionError for a damaged file) means the same.
    except (RuntimeError, OSError, ValueError, AssertionError, TypeError, EOFError) as error:
        raise UserError(
            f"{name} could not be read or downloaded ({type(error).__name__}): put {', '.join(files)} into "
            f"{root / source.__name__ / 'raw'}, remove damaged files there, or connect to the network."
        ) from error
    if len(x) != len(labels):
        raise UserError(f"{name} in {root} has {len(x)} images and {len(labels)} labels: remove that folder's files.")
    return _images(name, x / np.float32(255), labels, (28, 28), "normal")


def _writable_root(root: Path, folder: str, files: Sequence[str]) -> Path:
    """Return a root where torchvision may unpack ``files``: ``root``, or a copy where ``root`` is read-only."""
    raw = root / folder / "raw"
    if all((raw / Path(file).stem).is_file() for file in files):
        return root
    missing = [file for file in files if not (raw / file).is_file()]
    nearest = next(parent for parent in (raw, *raw.parents) if parent.exists())
    if not nearest.is_dir():
        raise UserError(f"The data root {root} cannot be used because {nearest} is not a folder.")
    if _may_write(nearest):
        return root
    if missing:
        raise UserError(f"{raw} lacks {', '.join(missing)} and cannot be written to: give a writable data root.")
    cache = Path(default_data_root())
    copies = next((each for each in (cache, *cache.parents) if each.exists()), cache)
    if copies == root or not _may_write(copies):
        cache = Path(tempfile.mkdtemp(prefix="pyro-vmm-"))
    target = cache / folder / "raw"
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        # Under a name of its own until it is whole, so that a copy cut short is never taken for the file.
        with tempfile.NamedTemporaryFile(dir=target, delete=False) as partial, (raw / file).open("rb") as original:
            shutil.copyfileobj(original, partial)
        os.replace(partial.name, target / file)
    return cache


def _may_write(folder: Path) -> bool:
    """Tell whether to write into ``folder``; a mode without any write bit is kept even from the superuser."""
    any_write_bit = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & any_write_bit)


def _load_numpy(path: Path, label_column: str | None) -> Dataset:
    arrays = read_numpy_file(path)
    label_name = _only(path, "labels", [name for name in (label_column, "labels", "y") if name in arrays][:2])
    return _from_arrays(path, arrays, label_name)
