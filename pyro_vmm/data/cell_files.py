"""AnnData files, read whole into memory and written whole or not at all."""

import importlib
import importlib.util
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.data.claimed_sizes import check_hdf5, check_zarr
from pyro_vmm.data.inputs import check_file
from pyro_vmm.data.unreadable_cells import first_line, why_unreadable
from pyro_vmm.data.writable_cells import as_h5ad_is_written
from pyro_vmm.errors import UserError

if TYPE_CHECKING:
    from anndata import AnnData


def read_cells(path: Path) -> "AnnData":
    """Read an ``.h5ad`` file or a ``.zarr`` folder; nothing in it is executed.

    Raises
    ------
    UserError
        If it is missing, unreadable, damaged, of another kind, or holds pickled objects.
    """
    import anndata

    if path.suffix.lower() == ".zarr":
        _check_zarr(path)
        read: Any = anndata.read_zarr
    else:
        check_file(path, (".h5ad",), "single cells: give a file")
        # Where it is installed, its compression filters serve as soon as it is imported.
        if importlib.util.find_spec("hdf5plugin") is not None:
            importlib.import_module("hdf5plugin")
        read = anndata.read_h5ad
    try:
        # What AnnData has to say of names and formats is told, where it matters, by the checks of counts.
        with warnings.catch_warnings(), _without_pickles():
            warnings.simplefilter("ignore")
            (check_zarr if path.suffix.lower() == ".zarr" else check_hdf5)(path)
            adata = read(path)
            # Only a group that AnnData wrote has names of cells and genes; of any other it makes an empty AnnData.
            if not (len(adata.obs_names) or len(adata.var_names)):
                raise UserError(f"{path} holds no cells and no genes: check that AnnData wrote it.")
            return adata
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{path} needs more memory than there is: give fewer cells or genes.") from None
    except Exception as error:
        # HDF5, Zarr and AnnData raise errors of a dozen kinds for files that are not what their name says.
        raise UserError(why_unreadable(path, error)) from None


def write_cells(adata: "AnnData", path: Path) -> None:
    """Write an ``.h5ad`` that is, at every moment, either the old file or the whole new one.

    Raises
    ------
    OSError
        If the disk or the folder does not let it be written.
    UserError
        If ``adata`` holds something that no ``.h5ad`` takes.
    """
    import anndata
    import h5py

    # Composed in memory: on a full disk HDF5 does not fail, it crashes the process.
    content = io.BytesIO()
    try:
        with as_h5ad_is_written(), h5py.File(content, "w") as file:
            anndata.io.write_elem(file, "/", adata, dataset_kwargs={"compression": "gzip"})
    except MemoryError:
        raise
    except Exception as error:
        raise UserError(f"{path} cannot be written ({first_line(str(error))}).") from None
    write_atomically(path, content.getbuffer())


def _check_zarr(path: Path) -> None:
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
def _without_pickles() -> Iterator[None]:
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
