"""Formats of single-cell data that are not read, recognised by ending or content, and how to convert them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyro_vmm.errors import UserError

READ_FORMATS = (
    "digits, mnist, fashion-mnist; single cells in .h5ad or .zarr; arrays in .npz or .npy; tables in .csv or .parquet"
)

ANNDATA = ("an AnnData file", "give it a name that ends in .h5ad")
_MUDATA = (
    "a MuData file",
    "write the modality with the counts to a file of its own, mudata.read_h5mu(path).mod[name].write_h5ad(new_path)",
)
_TENX = ("a file of 10x Genomics", "convert it, scanpy.read_10x_h5(path).write_h5ad(new_path)")
_MATRIX_MARKET = (
    "a matrix without cells and genes",
    "convert its folder, scanpy.read_10x_mtx(folder).write_h5ad(new_path)",
)
_LOOM = ("a Loom file", "convert it, anndata.io.read_loom(path).write_h5ad(new_path)")
_SEURAT = ("a file of Seurat", "convert it to .h5ad in R, as with the package anndataR")
_COMPRESSED = ("a compressed file", "unpack it with gunzip and give the .h5ad file")
_ZIPPED_ZARR = ("a zipped Zarr store", "unpack it into a folder that ends in .zarr")
_HDF5 = (
    "an HDF5 file of another kind",
    "if it is of 10x Genomics, convert it, scanpy.read_10x_h5(path).write_h5ad(new_path)",
)
OTHER_FORMATS = {
    ".h5mu": _MUDATA,
    ".zarr.zip": _ZIPPED_ZARR,
    ".h5ad.gz": _COMPRESSED,
    ".loom": _LOOM,
    ".mtx": _MATRIX_MARKET,
    ".mtx.gz": _MATRIX_MARKET,
    ".h5seurat": _SEURAT,
    ".rds": _SEURAT,
    ".h5": _HDF5,
    ".hdf5": _HDF5,
}
"""By ending: what a file is, and how to convert it."""


def check_format(path: Path) -> None:
    """Refuse a file whose ending is that of a format that is not read.

    Raises
    ------
    UserError
        With what it is, how to convert it and what is read.
    """
    endings = [ending for ending in OTHER_FORMATS if path.name.lower().endswith(ending)]
    if not endings:
        return
    what, how = OTHER_FORMATS[max(endings, key=len)]
    if path.is_file():
        what, how = kind_of_hdf5(path) or (what, how)
    if (what, how) == ANNDATA:
        raise UserError(f"{path} is {what}: {how}.")
    raise UserError(f"{path} is {what}, which is not read: {how}. What is read: {READ_FORMATS}.")


def kind_of_hdf5(path: Path) -> tuple[str, str] | None:
    """What an HDF5 file is, and how to convert it; None for a kind that is not known here, or no HDF5 file."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return kind_of_group(file, file.attrs)
    except (OSError, KeyError, RuntimeError):
        return None


def kind_of_group(group: Mapping[str, Any], attributes: Mapping[str, Any]) -> tuple[str, str] | None:
    """As :func:`kind_of_hdf5`, of the root of an HDF5 file or a Zarr store."""
    names = set(group)
    if str(attributes.get("encoding-type", "")).lower() == "mudata" or "mod" in names:
        return _MUDATA
    if {"row_attrs", "col_attrs"} <= names:
        return _LOOM
    if "assays" in names and "cell.names" in names:
        return _SEURAT
    if any("barcodes" in (getattr(group[name], "keys", tuple)() or ()) for name in names):
        return _TENX
    if {"X", "obs", "var"} <= names:
        return ANNDATA
    return None


def is_zarr_array(path: Path) -> bool:
    """Whether a folder is one Zarr array rather than a store of several, of format 2 or 3."""
    try:
        return (path / ".zarray").is_file() or json.loads((path / "zarr.json").read_text())["node_type"] == "array"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def is_zarr_store(path: Path) -> bool:
    """Whether a folder is the root of a Zarr store, of format 2 or 3."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata"))
