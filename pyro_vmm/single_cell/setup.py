"""The note in ``adata.uns`` that says where counts and covariates are."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyro_vmm.data import CountSetup
from pyro_vmm.data.cells_on_disk import as_paths
from pyro_vmm.errors import UserError

if TYPE_CHECKING:
    from anndata import AnnData

    from pyro_vmm.data.cells_on_disk import Paths

SETUP_KEY = "pyro_vmm_setup"
"""Entry of ``adata.uns`` in which :meth:`pyro_vmm.SingleCellVMM.setup_anndata` notes its arguments, as JSON."""


_OF_FILES: dict[tuple[str, ...], str] = {}
"""Notes on cells in files, which are never written to; they hold until the process ends."""


def note_setup(adata: AnnData | Paths, setup: CountSetup, *, allow_non_counts: bool) -> None:
    """Write the note.

    Raises
    ------
    UserError
        For a view, which AnnData would have to copy to take it.
    """
    note = json.dumps(setup.to_dict() | {"allow_non_counts": allow_non_counts})
    if as_paths(adata):
        _OF_FILES[_key(adata)] = note
        return
    assert not isinstance(adata, str | os.PathLike | Sequence)
    if adata.is_view:
        raise UserError("adata is a view of another AnnData and cannot take notes: copy it, adata = adata.copy().")
    adata.uns[SETUP_KEY] = note


def noted_setup(adata: AnnData | Paths) -> tuple[CountSetup, bool]:
    """Read the note: where everything is, and whether values need not be whole.

    Raises
    ------
    UserError
        If ``adata`` is no AnnData, or has no note or a damaged one.
    """
    uns = getattr(adata, "uns", None)
    if as_paths(adata):
        uns = {SETUP_KEY: _OF_FILES[_key(adata)]} if _key(adata) in _OF_FILES else {}
    if uns is None:
        raise UserError(f"An AnnData is needed, not a {type(adata).__name__}: read one with anndata.read_h5ad(path).")
    if SETUP_KEY not in uns:
        raise UserError("adata was not set up: call SingleCellVMM.setup_anndata(adata, ...) first.")
    try:
        noted = dict(json.loads(str(uns[SETUP_KEY])))
        allow_non_counts = bool(noted.pop("allow_non_counts"))
        return CountSetup.from_dict(noted), allow_non_counts
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UserError(
            f"adata.uns[{SETUP_KEY!r}] is damaged: call SingleCellVMM.setup_anndata(adata, ...) again."
        ) from None


def _key(paths: object) -> tuple[str, ...]:
    return tuple(os.path.realpath(path) for path in as_paths(paths))
