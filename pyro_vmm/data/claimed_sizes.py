"""What an AnnData file claims to hold and where, looked through before any of it is read."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vmm.errors import UserError


def check_hdf5(path: Path, *, read_whole: bool = True) -> None:
    """Refuse an HDF5 file that refers to other files or, where it is to be ``read_whole``, claims more than this machine's memory.

    Raises
    ------
    UserError
        As said.
    OSError
        If it is no HDF5 file.
    """
    import h5py

    seen: set[int] = set()
    num_bytes = 0

    def look_through(group: Any) -> None:
        nonlocal num_bytes
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise UserError(
                    f"{path} refers to another file, {link.filename!r}, which is never followed: copy it in."
                )
            if isinstance(link, h5py.SoftLink):
                continue  # to what is looked through under its own name
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                look_through(item)
            elif isinstance(item, h5py.Dataset):
                if item.is_virtual or item.external:
                    raise UserError(f"{path} keeps {item.name!r} in another file, which is never read: copy it in.")
                num_bytes += math.prod(item.shape or ()) * item.dtype.itemsize

    with h5py.File(path, "r") as file:
        look_through(file)
    if read_whole:
        _check_memory(path, num_bytes)


def check_zarr(path: Path, *, read_whole: bool = True) -> None:
    """Refuse a Zarr folder that lacks a listed part or, where it is to be ``read_whole``, claims more than this machine's memory.

    What cannot be read is left to Zarr.

    Raises
    ------
    UserError
        As said.
    """
    for part in _listed_parts(path):
        if not (path / part).is_dir():  # which Zarr would read as zeros
            raise UserError(f"{path} is incomplete, it lacks {part}: copy, download or write it again.")
    if not read_whole:
        return
    num_bytes = 0
    for name in (".zarray", "zarr.json"):
        for metadata in path.rglob(name):
            try:
                facts = json.loads(metadata.read_text())
                kind = facts.get("dtype") or facts.get("data_type")
                itemsize = np.dtype(kind).itemsize if isinstance(kind, str) else 1
                num_bytes += math.prod(facts.get("shape", (0,))) * max(itemsize, 1)
            except (OSError, ValueError, TypeError, AttributeError, RecursionError):
                continue
    _check_memory(path, num_bytes)


def _listed_parts(path: Path) -> list[str]:
    """Groups and arrays of a Zarr store that its consolidated metadata list; none where there is no such list."""
    try:
        if (path / ".zmetadata").is_file():
            listed = json.loads((path / ".zmetadata").read_text())["metadata"]
            return [name.rpartition("/")[0] for name in listed]
        return list(json.loads((path / "zarr.json").read_text())["consolidated_metadata"]["metadata"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []


def _check_memory(path: Path, num_bytes: int) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if num_bytes > memory:
        raise UserError(
            f"{path} claims to hold {num_bytes / 2**30:.3g} GiB, more than this machine's memory of "
            f"{memory / 2**30:.3g} GiB: check the file, or give fewer cells or genes."
        )
