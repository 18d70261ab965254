"""Cells of files of AnnData, of which names and columns are in memory and counts are not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pyro_vmm.data.arrays import listed
from pyro_vmm.data.cell_stores import open_store
from pyro_vmm.data.count_setup import CountSetup
from pyro_vmm.data.csr_files import CsrFile, CsrFiles
from pyro_vmm.data.unreadable_cells import why_unreadable
from pyro_vmm.data.zarr_folders import without_pickles
from pyro_vmm.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A file, or several whose cells are put below each other."""
A_FEW = 10
"""Cells that are read to see what a file holds."""


@dataclass(frozen=True, eq=False)
class CellsOnDisk:
    """N cells in one or several files.

    Attributes
    ----------
    paths
        The files.
    obs
        A row for each cell.
    beginning
        The first cells with all matrices of the first file: it says what there is, and how genes are called.
    """

    paths: tuple[Path, ...]
    obs: pd.DataFrame
    beginning: AnnData

    @classmethod
    def open(cls, given: Paths) -> CellsOnDisk:
        """Read names and columns of files.

        Raises
        ------
        UserError
            If one cannot be read, or has other genes than the first.
        """
        paths = as_paths(given)
        if not paths:
            raise UserError("There is no file to read cells from: give at least one path.")
        frames, first = [], None
        for path in paths:
            frame, beginning = _read_beginning(path)
            frames.append(frame)
            first = beginning if first is None else first
            _check_same_genes(first, beginning, paths[0], path)
        import pandas as pd

        assert first is not None
        return cls(paths, frames[0] if len(frames) == 1 else pd.concat(frames), first)

    @classmethod
    def of_backed(cls, adata: AnnData) -> CellsOnDisk:
        """Those of an AnnData that was opened with ``backed="r"``.

        Raises
        ------
        UserError
            For a view of one.
        """
        if adata.is_view:
            raise UserError(
                f"adata is a view of an AnnData that is backed by {adata.filename}: load it into memory with adata.to_memory()."
            )
        return cls((Path(adata.filename),), adata.obs, adata[:A_FEW].to_memory())

    def counts(self, setup: CountSetup) -> CsrFiles:
        """The counts that ``setup`` names, ``[N, G]``; nothing but where rows start is read.

        Raises
        ------
        UserError
            If they are not there, or stored otherwise than by rows.
        """
        place = {None: "X", "raw": "raw/X"}.get(setup.layer, f"layers/{setup.layer}")
        return CsrFiles([CsrFile(path, place, setup.source) for path in self.paths])


def as_paths(given: Any) -> tuple[Path, ...]:
    """The files that a path or a list of paths names; none for anything else."""
    if isinstance(given, str | os.PathLike):
        return (Path(given),)
    if isinstance(given, list | tuple) and all(isinstance(each, str | os.PathLike) for each in given):
        return tuple(Path(each) for each in given)
    return ()


def on_disk(adata: Any, layer: str | None) -> CellsOnDisk | None:
    """The cells of a path, of a list of paths or of a backed AnnData; None for what is in memory.

    AnnData loads layers, even where it is backed.
    """
    if isinstance(adata, str | os.PathLike | list | tuple):
        if not as_paths(adata):
            raise UserError(f"An AnnData, a path or a list of paths is needed, not {adata!r:.60}.")
        return CellsOnDisk.open(adata)
    backed = getattr(adata, "isbacked", False) and layer in (None, "raw")
    return CellsOnDisk.of_backed(adata) if backed else None


def columns_of(adata: AnnData | Paths) -> pd.DataFrame:
    """``adata.obs``, or the columns of cells in files."""
    return CellsOnDisk.open(adata).obs if as_paths(adata) else adata.obs  # type: ignore[union-attr]


def _read_beginning(path: Path) -> tuple[pd.DataFrame, AnnData]:
    try:
        store = open_store(path)
        with closing(store) if hasattr(store, "close") else nullcontext(), without_pickles():
            return _frame(store, "obs"), _beginning(store)
    except UserError:
        raise
    except Exception as error:  # HDF5 and AnnData raise errors of a dozen kinds
        raise UserError(why_unreadable(path, error)) from None


def _beginning(file: Any) -> AnnData:
    from anndata import AnnData

    obs, var = _frame(file, "obs")[:A_FEW], _frame(file, "var")
    adata = AnnData(_first_rows(file["X"], len(var)) if "X" in file else None, obs=obs, var=var)
    layers = file.get("layers", {})
    for name in layers:
        adata.layers[name] = _first_rows(layers[name], len(var))
    if hasattr(file.get("raw"), "keys"):
        raw = _frame(file, "raw/var")
        adata.raw = AnnData(_first_rows(file["raw/X"], len(raw)), obs=obs, var=raw)
    return adata


def _frame(file: Any, place: str) -> pd.DataFrame:
    import anndata

    return anndata.io.read_elem(file[place])


def _first_rows(matrix: Any, width: int) -> Any:
    """The first rows of a matrix; of one that is stored by columns as many that are empty."""
    import anndata
    from scipy import sparse

    if not hasattr(matrix, "keys"):
        return matrix[:A_FEW]
    stored = anndata.io.sparse_dataset(matrix)
    if stored.format == "csr":
        return stored[: min(A_FEW, stored.shape[0])]
    return sparse.csr_matrix(np.zeros((min(A_FEW, stored.shape[0]), width), dtype=np.float32))


def _check_same_genes(first: AnnData, other: AnnData, path: Path, other_path: Path) -> None:
    for name, mine, theirs in (
        ("genes", first.var_names, other.var_names),
        ("raw genes", *(() if each.raw is None else each.raw.var_names for each in (first, other))),
    ):
        if list(mine) != list(theirs):
            differ = sorted(set(mine) ^ set(theirs))
            where = f"among them {listed(differ)}" if differ else "in another order"
            raise UserError(
                f"{other_path} has other {name} than {path}, {where}: give files with the same genes in the same order."
            )
