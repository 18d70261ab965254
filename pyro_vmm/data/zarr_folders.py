"""Folders that Zarr wrote: whether they can be read, and read without executing anything."""

import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyro_vmm.errors import UserError


def check_zarr_folder(path: Path) -> None:
    """Refuse what is no folder of Zarr, and any where Zarr is not installed.

    Raises
    ------
    UserError
        As said.
    """
    if importlib.util.find_spec("zarr") is None:
        raise UserError(f"{path} needs the package zarr: pip install zarr, or give an .h5ad file.")
    if not os.path.exists(path):
        raise UserError(f"There is no folder {path}: check the path.")
    if not path.is_dir():
        advice = "give a folder that AnnData wrote, or an .h5ad file"
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            advice = "unpack this archive, and give the folder"
        elif start.startswith(b"\x89HDF"):
            advice = "it is an HDF5 file, so give it a name that ends in .h5ad"
        raise UserError(f"{path} is a file, not a Zarr folder: {advice}.")
    if not os.access(path, os.R_OK | os.X_OK):
        raise UserError(f"{path} cannot be read: check its permissions.")


@contextmanager
def without_pickles() -> Iterator[None]:
    """Zarr arrays may name pickle as their codec, which executes what it reads: it is unknown in here."""
    if importlib.util.find_spec("numcodecs") is None:
        yield
        return
    codec_registry = importlib.import_module("numcodecs.registry").codec_registry
    codec = codec_registry.pop("pickle", None)
    try:
        yield
    finally:
        if codec is not None:
            codec_registry["pickle"] = codec
