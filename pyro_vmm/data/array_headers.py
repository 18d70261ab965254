"""What the header of a NumPy file claims, held against the file before memory is taken for it."""

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from pyro_vmm.errors import UserError


def check_array_headers(path: Path) -> None:
    """Check the array of an ``.npy`` file, or each of an ``.npz`` file: as many bytes as shape and dtype ask for.

    Raises
    ------
    UserError
        If an array claims another size than it has.
    ValueError, OSError, zipfile.BadZipFile
        As NumPy raises them for files that are no such thing.
    """
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            _check(path, path.name, file, path.stat().st_size)
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                _check(path, member.filename, file, member.file_size)


def _check(path: Path, name: str, file: IO[bytes], num_bytes: int) -> None:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    claimed, there = math.prod(shape) * dtype.itemsize, num_bytes - file.tell()
    if not dtype.hasobject and claimed != there:
        raise UserError(
            f"{path} is truncated or damaged: {name} claims {claimed} bytes (shape {shape}) and holds {there}; write it "
            "again."
        )
