"""Models of single cells on disk, with or without their cells."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pyro_vmm.data.cell_files import read_cells, write_cells
from pyro_vmm.data.cells_on_disk import as_paths
from pyro_vmm.errors import UserError, options_called
from pyro_vmm.fit.storage import check_prefix, load, save_checked
from pyro_vmm.modalities.counts import Counts
from pyro_vmm.option_checks import as_folder, check_boolean, check_names
from pyro_vmm.options import SINGLE_CELL, canonical
from pyro_vmm.process_settings import undisturbed, usual_settings
from pyro_vmm.single_cell.face_options import IN_ITS_WORDS
from pyro_vmm.single_cell.facts import Facts
from pyro_vmm.single_cell.scvi_names import ARGUMENTS, in_our_words

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData

    from pyro_vmm.data.cells_on_disk import Paths

CELLS = "adata.h5ad"
"""The file of the cells, as ``pyro-vmm fit`` calls it, too."""


class Stored(Facts):
    """Saving and loading; the facade inherits them."""

    @undisturbed()
    def save(
        self,
        directory: str | PathLike[str] | None = None,
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        **theirs: Any,
    ) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder; the cells are stored if asked for.

        Parameters
        ----------
        directory
            Made if absent.
        prefix
            Beginning of the files' names, so that a folder holds several models.
        overwrite
            Replace the model that the folder holds, if it holds one.
        save_anndata
            Write the cells that the model was made of, too, as ``adata.h5ad``, for :meth:`load` without cells.
        **theirs
            Further arguments of scvi-tools, each taken or refused as the documentation's table of them says.

        Raises
        ------
        UserError
            Before :meth:`train`; if the folder holds a model and ``overwrite`` is False, or cannot be written; if the cells
            hold something that no ``.h5ad`` takes.
        """
        directory = _the_folder("save", directory, theirs)
        save_anndata = check_boolean(save_anndata, "save_anndata")
        adata = self.adata if save_anndata else None
        save_checked(self._fit, directory, overwrite=overwrite, prefix=prefix)
        if adata is not None:
            path = as_folder(directory) / f"{check_prefix(prefix)}{CELLS}"
            try:
                write_cells(adata, path)
            except OSError as error:
                raise UserError(f"{path} cannot be written ({error.strerror}): choose another folder.") from error

    @classmethod
    @usual_settings()
    def load(
        cls,
        directory: str | PathLike[str] | None = None,
        adata: AnnData | Paths | None = None,
        accelerator: str | None = None,
        device: str | int | None = None,
        prefix: str | None = None,
        **objects: Any,
    ) -> Self:
        """Read what :meth:`save` wrote, for ``adata`` with the same genes and known batches.

        Parameters
        ----------
        directory
            The folder of a saved model, or the one that ``pyro-vmm fit`` wrote.
        adata
            Cells; counts and covariates are looked for where the fitted AnnData had them. None for those stored with the model
            (``save_anndata=True``, and by ``pyro-vmm fit``).
        accelerator
            Where the model is moved, as for :meth:`train`; None leaves it on the CPU.
        device
            The same for one device, such as ``"cuda:1"`` or 1; counts before ``accelerator``.
        prefix
            As for :meth:`save`.
        **objects
            What cannot be stored (a likelihood or prior of one's own), by name; and further arguments of scvi-tools, each
            taken or refused as the documentation's table of them says.

        Raises
        ------
        UserError
            If a file is missing, damaged, foreign or newer than this version; without cells where none are stored; for cells
            that the model cannot read.
        """
        theirs = {name: value for name, value in objects.items() if name in ARGUMENTS["load"]}
        own = {name: value for name, value in objects.items() if name not in theirs}
        directory = _the_folder("load", directory, theirs)
        known = inspect.signature(cls).parameters.keys() - {"adata", "theirs"}
        check_names(own, known, "SingleCellVMM")
        folder, prefix = as_folder(directory), check_prefix(prefix)
        with options_called(IN_ITS_WORDS):
            fit = load(folder, canonical(own, Counts.entries(), SINGLE_CELL), Counts.name, prefix)
        modality = fit.modality
        assert isinstance(modality, Counts)
        stored = adata is None
        if adata is None:
            adata = _stored_cells(folder / f"{prefix}{CELLS}")
        model = cls.__new__(cls)
        model.cells, model.modality, model.fit_ = modality.read_cells(adata), modality, fit
        model._adata = None if as_paths(adata) else adata
        if fit.rows_sha256 != model.cells.names_sha256:
            if stored:
                raise UserError(
                    f"{folder / f'{prefix}{CELLS}'} holds other cells than those fitted: give yours as adata."
                )
            # Row numbers mean something in the cells fitted alone.
            fit.held_out = None
        where = accelerator if device in (None, "auto") else device
        if where is not None:
            model.to_device("cuda" if where == "gpu" else where)
        return model


def _the_folder(method: str, directory: Any, theirs: dict[str, Any]) -> str | PathLike[str]:
    """The folder, by whichever name it was given."""
    given = {} if directory is None else {"directory": directory}
    chosen = (in_our_words(method, theirs, given) | given).get("directory")
    if chosen is None:
        raise UserError("directory is None: give the path of a folder.")
    return chosen


def _stored_cells(path: Path) -> AnnData:
    if not path.exists():
        raise UserError(
            f"{path.parent} holds no cells ({path.name}): give them, load(directory, adata), or save with save_anndata=True."
        )
    return read_cells(path)
