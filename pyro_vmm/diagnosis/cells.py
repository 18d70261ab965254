"""The diagnosis of a :class:`pyro_vmm.SingleCellVMM`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pyro_vmm.data.cell_covariates import read_categories
from pyro_vmm.diagnosis.batch_effect import batch_effect
from pyro_vmm.diagnosis.finding import Diagnosis, Finding
from pyro_vmm.diagnosis.label_neighbours import label_neighbours
from pyro_vmm.diagnosis.neighbours import MOST_ROWS
from pyro_vmm.diagnosis.overlapping_clusters import shared_observations
from pyro_vmm.diagnosis.posteriors import Posteriors
from pyro_vmm.diagnosis.questions import of_clusters, of_observations, of_training
from pyro_vmm.diagnosis.sampled_rows import sampled_rows
from pyro_vmm.diagnosis.unstable import unstable
from pyro_vmm.errors import UserError
from pyro_vmm.history_frames import as_elbos

if TYPE_CHECKING:
    from anndata import AnnData

    from pyro_vmm.single_cell.model import SingleCellVMM

MOST_CELLS = 20_000
"""Cells whose clusters are counted; neighbours and posteriors are of the first few thousand of them."""
FEWEST_CELLS = 10


def diagnose_cells(
    model: SingleCellVMM, adata: AnnData | None, labels_key: str | None, batch_key: str | None
) -> Diagnosis:
    """Say in words how a fit went; see :meth:`pyro_vmm.SingleCellVMM.diagnose`."""
    return Diagnosis.of(_findings(model, adata, labels_key, batch_key))


def _findings(
    model: SingleCellVMM, adata: AnnData | None, labels_key: str | None, batch_key: str | None
) -> Iterator[Finding]:
    for name, key in (("labels_key", labels_key), ("batch_key", batch_key)):
        if key is not None and adata is None:
            raise UserError(f"The model keeps no column {key!r}: give the cells, too, diagnose(adata, {name}={key!r}).")
    cells = model._read(adata, None)
    number = len(cells.cell_names)
    if number < FEWEST_CELLS:
        raise UserError(f"There are {number} cells: give at least {FEWEST_CELLS} to diagnose a fit by.")
    rows = sampled_rows(number, MOST_CELLS)
    observations, evaluation = model.encoding.observations(cells).subset(rows), model._evaluation
    posteriors = Posteriors.of(evaluation, observations)
    responsibilities = model.clusters_.arrange(evaluation.responsibilities_at(posteriors.loc.astype(np.float32)))
    clusters = responsibilities.argmax(1)
    sizes = np.bincount(clusters)
    yield from of_clusters(sizes, model.merge_tree_, model.module.prior.num_components)
    if model.module.prior.num_components > 1:
        yield shared_observations(responsibilities)
    yield from of_training(as_elbos(model.history))
    if model.stability_ is not None:
        yield unstable(model.stability_)
    near = slice(MOST_ROWS)
    few = Posteriors(posteriors.loc[near], posteriors.scale_tril[near])
    yield from of_observations(evaluation, observations, few, sizes, number)
    codes, names = cells.batch, tuple(cells.batch_categories)
    if batch_key is not None and adata is not None:
        codes, names = read_categories(adata.obs, batch_key, role="batch_key")
    setup = model.setup
    left_out = None if batch_key in (setup.batch_key, *setup.categorical_keys) else batch_key
    if len(names) > 1:
        yield batch_effect(few.loc, codes[rows][near], names, clusters[near], number, batch_key=left_out)
    if labels_key is not None and adata is not None:
        if labels_key not in adata.obs.columns:
            raise UserError(f"adata.obs has no column {labels_key!r}: give the name of one as labels_key.")
        yield label_neighbours(few.loc, adata.obs[labels_key].to_numpy()[rows][near], number)
