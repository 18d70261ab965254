"""``pyro-vmm score`` for fits of single cells."""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vmm import persistence
from pyro_vmm.command_line.fit_cells import cells_sha256
from pyro_vmm.command_line.printing import say
from pyro_vmm.data import load_labels
from pyro_vmm.data.cell_covariates import read_categories
from pyro_vmm.data.cell_files import read_cells
from pyro_vmm.errors import UserError
from pyro_vmm.scoring import format_table, scores_of_responsibilities, write_scores
from pyro_vmm.scoring.integration import integration_scores
from pyro_vmm.single_cell import SingleCellVMM

if TYPE_CHECKING:
    from anndata import AnnData


def score_cells(
    directory: Path, facts: dict[str, Any], labels: str, *, batch_key: str | None, num_clusters: int | None
) -> dict[str, Any]:
    """Print the scores of a fit of single cells as a table, and write them to ``scores.json`` in the folder.

    Raises
    ------
    UserError
        If the fit is not finished, its input has changed or gone, or labels or batches do not fit.
    """
    adata = read_cells(Path(facts["input"]))
    model = SingleCellVMM.load(directory, adata)
    if cells_sha256(model.cells) != facts["data_sha256"]:
        raise UserError(f"{facts['input']} has changed since the fit: score with the same counts and covariates.")
    setup = model.setup
    if labels in (setup.batch_key, setup.size_factor_key, *setup.categorical_keys, *setup.continuous_keys):
        raise UserError(f"--labels {labels} was given to the fit, so a score against it means nothing: fit without it.")
    unambiguous = adata.obs.loc[:, ~adata.obs.columns.duplicated(keep=False)]
    columns = {str(name): unambiguous[name].to_numpy() for name in unambiguous.columns}
    truth = load_labels(labels, model.cells.cell_names, dataset_labels=columns)
    responsibilities = model.predict_proba(num_clusters=num_clusters)
    clusters = scores_of_responsibilities(truth, responsibilities)
    scores: dict[str, Any] = {"clusters": clusters, "labels": labels, "num_clusters": num_clusters, "fit": facts}
    scores |= {
        "epochs": len(model.history["elbo_train"]),
        "versions": persistence.versions(),
        "cores": os.cpu_count(),
    }
    batches = None if batch_key is None else _batches(adata, batch_key)
    if batches is not None and clusters["classes"] < 2:
        raise UserError(f"--labels {labels} has one class: scores of integration need at least 2.")
    write_scores(directory / "scores.json", scores)
    say(format_table([{"score": name, "value": value} for name, value in clusters.items()]))
    if batches is not None and importlib.util.find_spec("scib_metrics") is None:
        say("\nNo scores of integration: they need the package scib-metrics, pip install scib-metrics.")
    elif batches is not None:
        scores["integration"] = integration_scores(
            model.cells.counts, model.get_latent_representation(), np.asarray(truth), batches
        )
        write_scores(directory / "scores.json", scores)
        table = [{"integration": name, "value": value} for name, value in scores["integration"].items()]
        say("\n" + format_table(table))
    return scores


def _batches(adata: "AnnData", column: str) -> np.ndarray:
    codes, categories = read_categories(adata.obs, column, role="batch_key")
    if len(categories) < 2:
        raise UserError(
            f"--batch-key {column} has one batch, {categories[0]!r}: scores of integration need at least 2."
        )
    return np.array(categories)[codes]
