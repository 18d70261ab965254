"""MNIST and Fashion-MNIST by way of torchvision, online or from files already at hand."""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.errors import UserError


def load_torchvision_images(
    name: str, data_root: str | os.PathLike[str] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read all 70,000 images of MNIST or Fashion-MNIST, training images first.

    Parameters
    ----------
    name
        ``"mnist"`` or ``"fashion-mnist"``.
    data_root
        Folder where torchvision finds or puts the files, :func:`default_data_root` if None. Of a folder that must not
        be written to, the files are copied to :func:`default_data_root` or, failing that, to a temporary folder,
        because torchvision unpacks them beside the originals.

    Returns
    -------
    pixels
        ``[70000, 784]``, from 0 to 255.
    labels
        ``[70000]``, from 0 to 9.

    Raises
    ------
    UserError
        If torchvision cannot be imported, or the files are neither there nor to be downloaded.
    """
    source = _source(name)
    files = [file for file, _ in source.resources]
    given_root = Path(default_data_root() if data_root is None else data_root).expanduser()
    try:
        root = _writable_root(given_root, source.__name__, files)
    except OSError as error:
        raise UserError(
            f"The files of {name} in {given_root} cannot be copied to where they may be unpacked "
            f"({error.strerror}): give a data root that can be written to."
        ) from error
    raw = root / source.__name__ / "raw"
    try:
        # torchvision reports its downloads on standard output, which belongs to the results.
        with contextlib.redirect_stdout(sys.stderr):
            parts = [source(os.fspath(root), train=train, download=True) for train in (True, False)]
        pixels = np.concatenate([part.data.numpy() for part in parts]).reshape(-1, 28 * 28)
        labels = np.concatenate([part.targets.numpy() for part in parts])
        if len(pixels) != len(labels):
            raise ValueError("images and labels differ in number")
    # A failed download and a damaged file (an AssertionError among others) have the same mend.
    except (RuntimeError, OSError, ValueError, AssertionError, TypeError, EOFError, KeyError) as error:
        raise UserError(
            f"{name} could not be read or downloaded ({type(error).__name__}): put {', '.join(files)} into {raw}, "
            "remove damaged files there, or connect to the network."
        ) from error
    return pixels, labels


def default_data_root() -> str:
    """Return ``pyro-vmm`` in the user's cache folder (``$XDG_CACHE_HOME``, or ``~/.cache``)."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "pyro-vmm")


def _source(name: str) -> Any:
    """Return torchvision's class for ``name``."""
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        # A torchvision built for another torch fails as it is imported: "operator torchvision::nms does not exist".
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{name} needs a torchvision built for the installed torch, but importing torchvision failed ({reason}): "
            "install the two together, from the same source."
        ) from error
    return datasets.MNIST if name == "mnist" else datasets.FashionMNIST


def _writable_root(root: Path, folder: str, files: Sequence[str]) -> Path:
    """Return a root where torchvision can unpack ``files``: ``root`` itself, or a copy where it is read-only."""
    raw = root / folder / "raw"
    if _is_unpacked(raw, files):
        return root
    nearest = _nearest_existing(raw)
    if not nearest.is_dir():
        raise UserError(f"The data root {root} cannot be used because {nearest} is not a folder: name another.")
    if _may_write(nearest):
        return root
    missing = [file for file in files if not (raw / file).is_file()]
    if missing:
        raise UserError(
            f"{raw} lacks {', '.join(missing)} and cannot be written to: give a data root that can be written to."
        )
    copy_root = Path(default_data_root())
    copies = copy_root / folder / "raw"
    if _is_unpacked(copies, files):
        return copy_root
    if not _may_write(_nearest_existing(copies)):
        copy_root = Path(tempfile.mkdtemp(prefix="pyro-vmm-"))
        copies = copy_root / folder / "raw"
    copies.mkdir(parents=True, exist_ok=True)
    for file in files:
        # Under a name of its own until it is whole, so that a copy cut short is never taken for the file.
        with tempfile.NamedTemporaryFile(dir=copies, delete=False) as partial, (raw / file).open("rb") as original:
            shutil.copyfileobj(original, partial)
        os.replace(partial.name, copies / file)
    return copy_root


def _is_unpacked(raw: Path, files: Sequence[str]) -> bool:
    return all((raw / Path(file).stem).is_file() for file in files)


def _nearest_existing(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def _may_write(folder: Path) -> bool:
    """Tell whether to write into ``folder``: a mode without any write bit is respected even by the superuser."""
    any_write_bit = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    return folder.is_dir() and os.access(folder, os.W_OK) and bool(folder.stat().st_mode & any_write_bit)
