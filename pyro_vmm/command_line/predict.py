"""``pyro-vmm predict``: clusters, embedding and novelty of new cells on a fitted model."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.calling_code import warn_caller
from pyro_vmm.clustering.row_blocks import RowBlocks
from pyro_vmm.command_line.printing import say, warn
from pyro_vmm.data import DataWarning
from pyro_vmm.data.cell_covariates import read_categories
from pyro_vmm.data.cell_files import read_cells, write_cells
from pyro_vmm.data.writable_cells import leave_out_unwritable
from pyro_vmm.errors import UserError
from pyro_vmm.fit.novelty import NotCalibratedError

if TYPE_CHECKING:
    from anndata import AnnData

    from pyro_vmm.single_cell import SingleCellVMM

TABLE, LATENTS, CELLS = "clusters.csv", "latent.npy", "adata.h5ad"


def predict(directory: Path, cells: Path, output: Path, *, batch_free: bool = False) -> pd.DataFrame:
    """Write ``clusters.csv``, ``latent.npy`` and ``adata.h5ad`` of new cells into a folder, and return the table.

    Parameters
    ----------
    directory
        The folder of a fit by ``pyro-vmm fit``, or of a model saved with its cells.
    cells
        An ``.h5ad`` file or a ``.zarr`` folder.
    output
        Made if absent.
    batch_free
        Do not read the batches of the new cells.

    Returns
    -------
    pandas.DataFrame
        One row a cell: ``id``, ``cluster``, ``probability`` and ``novelty``, a p-value. Where too few
        cells were held out in training, ``novelty`` is left out, with a warning.

    Raises
    ------
    UserError
        If the folder holds no single-cell fit, the cells do not suit the model, or ``output`` holds results already.
    """
    from pyro_vmm.single_cell import SingleCellVMM
    from pyro_vmm.single_cell.annotation import write_annotation

    there = [name for name in ("config.json", TABLE, LATENTS, CELLS) if (output / name).exists()]
    if there:
        raise UserError(f"--output {output} holds {there[0]} already: give another folder.")
    model = SingleCellVMM.load(directory)
    adata = read_cells(cells)
    prepared = SingleCellVMM.prepare_query_anndata(adata, model, inplace=False)
    if not batch_free:
        _check_batches(prepared, model)
    latents = model.embed_query(prepared, batch_free=batch_free)
    probabilities = model.predict_proba(prepared, batch_free=batch_free)
    table = pd.DataFrame(
        {"id": adata.obs_names.astype(str), "cluster": probabilities.argmax(1), "probability": probabilities.max(1)}
    )
    try:
        table["novelty"] = model.novelty(prepared, batch_free=batch_free)
    except NotCalibratedError as error:
        warn(f"{error} The column novelty is left out.")
    for sentence in leave_out_unwritable(adata):
        warn_caller(sentence, DataWarning)
    write_annotation(model.modality, model.n_clusters_, adata, latents, RowBlocks.of(probabilities))
    if "novelty" in table:
        adata.obs["vmm_novelty"] = table["novelty"].to_numpy()
    embedding = io.BytesIO()
    np.save(embedding, latents)
    try:
        output.mkdir(parents=True, exist_ok=True)
        write_atomically(output / TABLE, table.to_csv(index=False).encode())
        write_atomically(output / LATENTS, embedding.getvalue())
        write_cells(adata, output / CELLS)
    except OSError as error:
        raise UserError(f"--output {output} cannot be written ({error.strerror}): give another folder.") from None
    say(_in_words(table, output))
    return table


def _check_batches(adata: AnnData, model: SingleCellVMM) -> None:
    """Unknown batches are answered by the flag that leaves batches unread."""
    key = model.setup.batch_key
    if key is None:
        return
    if key not in adata.obs:
        raise UserError(f"The new cells have no column {key!r} of batches: add it, or give --batch-free.")
    _, found = read_categories(adata.obs, key, role="batch_key")
    unknown = [name for name in found if name not in model.batch_categories]
    if unknown:
        raise UserError(
            f"The model does not know the batch {unknown[0]!r} of the new cells (column {key!r}): give --batch-free, which does "
            "not use batches, or fit again with these cells."
        )


def _in_words(table: pd.DataFrame, output: Path) -> str:
    summary = f"{len(table):,} cells in {table['cluster'].nunique()} clusters"
    if "novelty" in table:
        novel = int((table["novelty"] < 0.05).sum())
        summary += f"; {novel:,} have a novelty p-value below 0.05, and about {0.05 * len(table):,.0f} would by chance"
    return f"{summary}. The results are in {output}."
