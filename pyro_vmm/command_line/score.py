"""``pyro-vmm score``: labels are read here and nowhere else."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_vmm.command_line.fitted_input import facts_of_fit, read_fitted_input
from pyro_vmm.command_line.printing import say
from pyro_vmm.data import load_labels
from pyro_vmm.errors import UserError
from pyro_vmm.fit import ObservedFit
from pyro_vmm.fit.config import read_config, versions
from pyro_vmm.fit.storage import load
from pyro_vmm.modalities import Input
from pyro_vmm.observations import as_sparse, split_rows
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.scoring import elbo_surgery, format_table, integration_scores, scores_of_responsibilities, write_scores


@usual_settings()
def score(
    directory: Path,
    labels: str,
    *,
    batch_key: str | None = None,
    num_clusters: int | None = None,
    surgery: bool = True,
) -> dict[str, Any]:
    """Print every score as a table, and write it to ``scores.json`` in the folder.

    Cluster scores are over all observations (training and held out), as in the paper; the ELBO surgery, which fits of single
    cells do not have, over the held-out ones. Scores of integration need ``batch_key``, which names batches.

    Raises
    ------
    UserError
        If the folder holds no finished fit, its input has changed or gone, or labels or batches do not fit.
    """
    facts = facts_of_fit(read_config(directory), directory)
    fit = load(directory)
    source = read_fitted_input(fit, facts, directory)
    observed = ObservedFit(fit, fit.modality.read(source.data))
    if source.sha256(observed.observations) != facts.get("data_sha256"):
        raise UserError(f"{source.spec} has changed since the fit: score with the same input.")
    if labels in source.names_read:
        advice = source.advice_on_labels.format(name=labels)
        raise UserError(f"--labels {labels} was given to the fit, so a score against it means nothing: {advice}.")
    truth = np.asarray(load_labels(labels, source.ids, dataset_labels=source.columns))
    clusters = scores_of_responsibilities(truth, observed.probabilities_of(num_clusters))
    scores: dict[str, Any] = {"clusters": clusters, "labels": labels, "num_clusters": num_clusters, "fit": facts}
    scores |= {"epochs": len(fit.history), "versions": versions(), "cores": os.cpu_count()}
    batches = None if batch_key is None else _batches(source, batch_key)
    if batches is not None and clusters["classes"] < 2:
        raise UserError(f"--labels {labels} has one class: scores of integration need at least 2.")

    def add(part: str, title: str, values: dict[str, Any]) -> None:
        scores[part] = values
        write_scores(directory / "scores.json", scores)
        say("\n" + format_table([{title: name, "value": value} for name, value in values.items()]))

    write_scores(directory / "scores.json", scores)
    say(format_table([{"score": name, "value": value} for name, value in clusters.items()]))
    if batches is not None and importlib.util.find_spec("scib_metrics") is None:
        say("\nNo scores of integration: they need the package scib-metrics, pip install scib-metrics.")
    elif batches is not None:
        counts = as_sparse(observed.observations)
        add("integration", "integration", integration_scores(counts, observed.latents, truth, batches))
    if surgery and source.elbo_surgery:
        x = observed.observations.minibatch(torch.from_numpy(held_out_rows(observed)), fit.evaluation.device).x
        add("elbo_surgery", "held out, nats", elbo_surgery(fit.model, fit.guide, x).as_dict())
    return scores


def held_out_rows(observed: ObservedFit) -> NDArray[np.int64]:
    """Rows of the observations fitted that were held out, or all where none were."""
    fit = observed.fit
    held_out = fit.held_out
    if held_out is None:  # stored by version 0.1
        fraction, seed = fit.options["validation_fraction"], fit.modality.draw_seed()
        groups = [group.codes for group in observed.groups.values()]
        _, held_out = split_rows(len(observed), fraction, seed, groups=groups)
    return held_out if len(held_out) else np.arange(len(observed))


def _batches(source: Input, column: str) -> NDArray[np.str_]:
    """Name of each observation's batch, ``[N]``."""
    groups = source.batches(column)
    if groups is None:
        raise UserError(
            f"--batch-key {column} is for inputs that have batches, and {source.spec} has none: leave it out."
        )
    if len(groups.names) < 2:
        raise UserError(
            f"--batch-key {column} has one batch, {groups.names[0]!r}: scores of integration need at least 2."
        )
    return groups.named
