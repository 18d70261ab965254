"""AnnData files, read whole into memory and written whole or not at all."""

import importlib
import importlib.util
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.data.claimed_sizes import check_hdf5, check_zarr
from pyro_vmm.data.inputs import check_file
from pyro_vmm.data.unreadable_cells import first_line, why_unreadable
from pyro_vmm.data.writable_cells import as_h5ad_is_written
from pyro_vmm.data.zarr_folders import check_zarr_folder, without_pickles
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
        check_zarr_folder(path)
        read: Any = anndata.read_zarr
    else:
        check_file(path, (".h5ad",), "single cells: give a file")
        # Where it is installed, its compression filters serve as soon as it is imported.
        if importlib.util.find_spec("hdf5plugin") is not None:
            importlib.import_module("hdf5plugin")
        read = anndata.read_h5ad
    try:
        # What AnnData has to say of names and formats is told, where it matters, by the checks of counts.
        with warnings.catch_warnings(), without_pickles():
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
