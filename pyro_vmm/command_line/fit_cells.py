"""``pyro-vmm fit`` for single cells: ``.h5ad`` and ``.zarr``."""

import argparse
import hashlib
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from pyro_vmm import persistence
from pyro_vmm.command_line.flags import as_flag, given, names_of_flags
from pyro_vmm.command_line.interruption import StopOnSignal
from pyro_vmm.command_line.output_folder import OutputFolder, in_words
from pyro_vmm.command_line.printing import say, warn
from pyro_vmm.command_line.report import how_to_report
from pyro_vmm.command_line.results import Results, storing_the_model
from pyro_vmm.data import CellCounts
from pyro_vmm.data.cell_files import read_cells, write_cells
from pyro_vmm.data.writable_cells import leave_out_unwritable
from pyro_vmm.errors import UserError
from pyro_vmm.history_frames import as_elbos
from pyro_vmm.options import COMMON, OF_ARRAYS, OF_COUNTS, SINGLE_CELL, WHERE_COUNTS_ARE, by_name, defaults
from pyro_vmm.single_cell import SingleCellVMM, storage
from pyro_vmm.single_cell.annotation import write_annotation
from pyro_vmm.training import CheckpointWriter

if TYPE_CHECKING:
    from anndata import AnnData

OF_MODEL = tuple(entry for entry in (*COMMON, *OF_COUNTS) if entry.part in ("model", "clusters"))
"""Options of :class:`pyro_vmm.SingleCellVMM`."""
OF_TRAINING = (*(entry for entry in COMMON if entry.part == "training"), by_name("device", COMMON))
"""Options of its ``train``."""
FOR_ARRAYS = (*names_of_flags(OF_ARRAYS), "label_column", "data_root")
"""Arguments that mean nothing here."""
FOR_CELLS = names_of_flags((*WHERE_COUNTS_ARE, *OF_COUNTS))
"""Arguments that mean nothing elsewhere."""


def fit_cells(arguments: argparse.Namespace) -> bool:
    """Fit a model of counts and write the output folder; False if it was interrupted (``--resume`` then goes on)."""
    refuse(arguments, FOR_ARRAYS, "cannot be used with single-cell input")
    path = Path(arguments.input)
    if arguments.infer_library_size and arguments.size_factor_key is not None:
        raise UserError("--size-factor-key gives the library sizes that --infer-library-size would infer: choose one.")
    if os.path.realpath(path) == os.path.realpath(arguments.output / "adata.h5ad"):
        raise UserError(f"--output {arguments.output} would write over the input {path}: give another folder.")
    adata = read_cells(path)
    model = _model_of(adata, path, arguments)
    training = given(arguments, OF_TRAINING, SINGLE_CELL)
    facts = {
        "input": str(path),
        "num_observations": len(model.cells.cell_names),
        "num_features": len(model.cells.gene_names),
        "data_sha256": cells_sha256(model.cells),
        "command": shlex.join(["pyro-vmm", *arguments.command_line]),
        "threads": torch.get_num_threads(),
        "deterministic": arguments.deterministic,
        "setup": model.setup.to_dict(),
        "training": _defaults_of_training() | training,
    }
    check_same_data(arguments, facts)
    for sentence in leave_out_unwritable(adata):
        warn(sentence)
    with OutputFolder(arguments.output) as folder:
        options = persistence.storable(model.options)
        resume = folder.resume(facts, options) if arguments.resume else None
        if not arguments.resume:
            folder.start(facts, options, kind=persistence.SINGLE_CELL)
        with StopOnSignal() as stop:
            checkpoints = CheckpointWriter(folder.checkpoint, arguments.checkpoint_seconds)
            model.train(
                **training,
                enable_progress_bar=not arguments.quiet,
                watchers=(stop, checkpoints),
                resume=resume,
            )
        if not model.trainer_finished_:
            print(
                f"Stopped {stop.where}; {arguments.how_to_go_on} goes on from there.",
                file=sys.stderr,
            )
            return False
        _write_results(folder, model, adata, facts, arguments.how_to_go_on)
    say(
        f"{in_words(model.clusters_)}; "
        f"results, pictures, the model and the annotated cells are in {arguments.output}.\n"
        f"One page for readers: {how_to_report(arguments.output)}"
    )
    return True


def refuse(arguments: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Raise :class:`UserError` if any of these options was given."""
    names = [as_flag(name) for name in names if getattr(arguments, name) not in (None, False)]
    if names:
        raise UserError(f"{' and '.join(names)} {why} ({arguments.input}): leave {'them' if names[1:] else 'it'} out.")


def check_same_data(arguments: argparse.Namespace, facts: dict[str, Any]) -> None:
    """Raise :class:`UserError` if the fit repeats another, and the input is no longer that one's."""
    if arguments.data_sha256 not in (None, facts["data_sha256"]):
        raise UserError(f"The input {facts['input']} has changed since it was fitted: fit it again.")


def cells_sha256(cells: CellCounts) -> str:
    """SHA-256 of counts, names and covariates: equal however the file stores them, and blind to every other column."""
    digest = hashlib.sha256()
    names = [cells.cell_names.tolist(), cells.gene_names.tolist(), cells.categories]
    digest.update(json.dumps(names).encode())
    arrays: list[Any] = [cells.counts.data, cells.counts.indices.astype(np.int64), cells.counts.indptr.astype(np.int64)]
    # Continuous covariates rounded, as earlier versions read them.
    arrays += [cells.batch, *cells.categorical_covariates.values(), cells.continuous_covariates.astype(np.float32)]
    arrays += [] if cells.size_factor is None else [cells.size_factor]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _model_of(adata: "AnnData", path: Path, arguments: argparse.Namespace) -> SingleCellVMM:
    categorical, continuous = _covariates_by_kind(adata.obs, arguments.covariates or ())
    options = given(arguments, OF_MODEL, SINGLE_CELL) | {"random_state": arguments.seed}
    try:
        SingleCellVMM.setup_anndata(
            adata,
            layer=arguments.layer,
            batch_key=arguments.batch_key,
            categorical_covariate_keys=categorical,
            continuous_covariate_keys=continuous,
            size_factor_key=arguments.size_factor_key,
            allow_non_counts=arguments.allow_non_counts,
        )
    except UserError as error:
        raise UserError(f"{path}: ", *error.args) from None
    return SingleCellVMM(adata, **options)


def _covariates_by_kind(obs: pd.DataFrame, columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Categorical and continuous columns; what is absent counts as categorical, to be missed by the checks."""
    names = list(obs.columns)
    continuous = [
        column
        for column in columns
        if names.count(column) == 1 and is_numeric_dtype(obs[column].dtype) and not is_bool_dtype(obs[column].dtype)
    ]
    return [column for column in columns if column not in continuous], continuous


def _defaults_of_training() -> dict[str, Any]:
    return defaults((entry for entry in OF_TRAINING if entry.flag), SINGLE_CELL)


def _write_results(
    folder: OutputFolder, model: SingleCellVMM, adata: "AnnData", facts: dict[str, Any], how_to_go_on: str
) -> None:
    """Write everything that a finished fit leaves behind, the model first; raise ``ResultsMissing`` if something is."""
    with storing_the_model():
        storage.save(model, folder.path, extra={"fit": facts})
    results = Results(folder.path, how_to_go_on)
    with results.part("clusters and embedding"):
        latent, responsibilities = model.get_latent_representation(), model.predict_proba()
        with results.part("history.csv, latent.npy and clusters.csv"):
            folder.write_tables(as_elbos(model.history), model.cells.cell_names, latent, responsibilities)
        with results.part("adata.h5ad"):
            write_annotation(model, adata, latent, responsibilities)
            write_cells(adata, folder.path / "adata.h5ad")
        with results.pictures():
            from pyro_vmm.plotting import save_figures

            save_figures(folder.path / "figures", model)
    results.finish()
