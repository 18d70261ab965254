"""Fitted single-cell models on disk: JSON and safetensors, nothing that could execute."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from pyro_vmm import persistence
from pyro_vmm.assembly import stored_components
from pyro_vmm.clustering import Clusters
from pyro_vmm.data import CellCounts, CountSetup, read_counts
from pyro_vmm.errors import UserError
from pyro_vmm.history_frames import as_elbos, as_losses
from pyro_vmm.random_numbers import OwnRandomNumbers
from pyro_vmm.single_cell.covariates import CovariateEncoding
from pyro_vmm.single_cell.starting_values import StartingValues
from pyro_vmm.stored_shapes import check_stored_shapes

if TYPE_CHECKING:
    from anndata import AnnData

    from pyro_vmm.single_cell.model import SingleCellVMM


def save(model: SingleCellVMM, directory: Path, *, extra: dict[str, Any] | None = None) -> None:
    """Write ``config.json`` (options, covariates, clusters, versions) and ``model.safetensors``, each atomically.

    Raises
    ------
    UserError
        If the folder cannot be made or written.
    """
    fitted = {
        "gene_names": model.gene_names.tolist(),
        "categories": {column: list(names) for column, names in model.categories.items()},
        "batch_categories": list(model.batch_categories),
        "encoding": model.encoding.to_dict(),
        "clusters": model.clusters_.to_dict(),
        "batch_shares": model.batch_shares_.tolist(),
        "cells_sha256": _names_sha256(model.cells),
        "validation_indices": None if model.validation_indices is None else model.validation_indices.tolist(),
        "history": json.loads(
            pd.concat(model.history.values(), axis=1).reset_index().to_json(orient="records", double_precision=15)
        ),
    }
    config = {
        "format": persistence.FORMAT,
        "version": persistence.VERSION,
        "kind": persistence.SINGLE_CELL,
        "estimator": persistence.storable(model.options),
        "setup": model.setup.to_dict(),
        "allow_non_counts": model.allow_non_counts,
        "fitted": fitted,
        "versions": persistence.versions(),
    } | (extra or {})
    persistence.write_model(directory, config, model.module, model.guide)


def load(cls: type[SingleCellVMM], directory: Path, adata: AnnData, objects: dict[str, Any]) -> SingleCellVMM:
    """Read a folder written by :func:`save`, for cells with the same genes and known batches.

    Raises
    ------
    UserError
        If a file is missing, damaged, foreign or newer than this version, an object has to be given again, or the cells
        do not fit the model.
    """
    config = persistence.read_config(directory)
    if config.get("kind") != persistence.SINGLE_CELL:
        raise UserError(f"{directory} holds a model of arrays: load it with VMM.load(directory).")
    if "fitted" not in config:
        raise UserError(f"The fit in {directory} has not come to its end: go on with it, pyro-vmm fit ... --resume.")
    options = persistence.stored_options(directory, config.get("estimator"), objects)
    try:
        fitted = config["fitted"]
        setup, allow_non_counts = CountSetup.from_dict(config["setup"]), bool(config["allow_non_counts"])
        encoding = CovariateEncoding.from_dict(fitted["encoding"])
        genes = np.array(fitted["gene_names"], dtype=np.str_)
        categories = {column: tuple(names) for column, names in fitted["categories"].items()}
        batches = tuple(fitted["batch_categories"])
        clusters, shares = Clusters.from_dict(fitted["clusters"]), np.asarray(fitted["batch_shares"], dtype=np.float64)
        rows = pd.read_json(StringIO(json.dumps(fitted["history"])), orient="records").set_index("epoch")
        history = as_losses(as_elbos({name: rows[[name]] for name in rows.columns}))
        # Absent from the models of version 0.1.
        held_out = fitted.get("validation_indices")
        held_out = None if held_out is None else np.array(held_out, dtype=np.int64)
        num_layers = options["n_layers"]
        if shares.shape != (len(batches),) or not (shares >= 0.0).all() or not isinstance(num_layers, int):
            raise ValueError("shares of other batches")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise UserError(f"{directory / 'config.json'} is damaged or not of this version: fit again.") from None
    cells = read_counts(adata, setup, allow_non_counts=allow_non_counts, categories=categories, gene_names=genes)
    try:
        model = cls._of_cells(cells, options, allow_non_counts)
    except (KeyError, TypeError):
        raise UserError(f"{directory / 'config.json'} is damaged or not of this version: fit again.") from None
    model.categories, model.batch_categories, model.encoding = categories, batches, encoding
    number = stored_components(model.assembly.num_components, len(clusters.order))
    model.assembly = replace(model.assembly, num_components=number)

    def build() -> tuple[Any, Any]:
        return model.assembly.build(
            encoding,
            StartingValues.placeholders(len(genes), len(batches)),
            num_batches=len(batches),
            pseudo_inputs=lambda: torch.ones(model.assembly.num_components, len(genes)),
        )

    check_stored_shapes(directory / "model.safetensors", build, num_layers=num_layers)
    with OwnRandomNumbers(0):
        model.module, model.guide = build()
    persistence.load_weights(model.module, model.guide, directory / "model.safetensors", config.get("weights_sha256"))
    model.clusters_, model.batch_shares_ = clusters, shares
    model.history = history
    if fitted.get("cells_sha256") == _names_sha256(cells):
        model.validation_indices = held_out
    model.is_trained_ = True
    return model


def _names_sha256(cells: CellCounts) -> str:
    """What tells whether cells are those that a model was fitted to: row numbers mean something then."""
    return hashlib.sha256("\n".join(cells.cell_names.tolist()).encode()).hexdigest()
