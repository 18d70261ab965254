"""``pyro-vmm score``: labels are read here and nowhere else."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vmm import persistence
from pyro_vmm.command_line.printing import say
from pyro_vmm.command_line.score_cells import score_cells
from pyro_vmm.data import load_input, load_labels
from pyro_vmm.errors import UserError
from pyro_vmm.random_states import draw_seed
from pyro_vmm.scoring import elbo_surgery, format_table, scores_of_responsibilities, write_scores
from pyro_vmm.training import split_rows
from pyro_vmm.vmm import VMM


def score(
    directory: Path,
    labels: str,
    *,
    batch_key: str | None = None,
    num_clusters: int | None = None,
    surgery: bool = True,
) -> dict[str, Any]:
    """Print every score as a table, and write it to ``scores.json`` in the folder.

    Cluster scores are over all observations (training and held out), as in the paper; the ELBO surgery over the held-out
    ones. Fits of single cells have no ELBO surgery, but scores of integration where ``batch_key`` names their batches.

    Raises
    ------
    UserError
        If the folder holds no finished fit, its input has changed or gone, or the labels do not fit.
    """
    config = persistence.read_config(directory)
    facts = config.get("fit")
    if facts is None:
        raise UserError(f"{directory} was not written by pyro-vmm fit: give the folder of a fit.")
    if config.get("kind") == persistence.SINGLE_CELL:
        return score_cells(directory, facts, labels, batch_key=batch_key, num_clusters=num_clusters)
    if batch_key is not None:
        raise UserError(f"--batch-key is for fits of single cells, and {directory} holds another: leave it out.")
    estimator = VMM.load(directory)
    dataset = load_input(facts["input"], data_root=facts["data_root"], label_column=facts["label_column"])
    if len(dataset.x) != facts["num_observations"]:
        raise UserError(
            f"{facts['input']} now has {len(dataset.x)} observations; the fit had {facts['num_observations']}: score with "
            "the same input."
        )
    if labels in dataset.feature_names and labels != dataset.label_name:
        raise UserError(
            f"--labels {labels} was a feature of the fit, so a score against it means nothing: fit with --label-column {labels}."
        )
    named = {} if dataset.labels is None else {dataset.label_name or "label": dataset.labels}
    truth = load_labels(labels, dataset.ids, dataset_labels=named)
    responsibilities = estimator.predict_proba(dataset.x, num_clusters=num_clusters)
    clusters = scores_of_responsibilities(truth, responsibilities)
    scores: dict[str, Any] = {"clusters": clusters, "labels": labels, "num_clusters": num_clusters, "fit": facts}
    scores |= {"epochs": estimator.n_iter_, "versions": persistence.versions(), "cores": os.cpu_count()}
    write_scores(directory / "scores.json", scores)
    say(format_table([{"score": name, "value": value} for name, value in clusters.items()]))
    if surgery:
        held_out = estimator.validation_rows_
        if held_out is None:  # stored by version 0.1
            _, held_out = split_rows(len(dataset.x), estimator.validation_fraction, seed_of(estimator))
        rows = held_out if len(held_out) else np.arange(len(dataset.x))
        x = estimator._observations(dataset.x[rows])
        scores["elbo_surgery"] = elbo_surgery(
            estimator.model_, estimator.guide_, x.to(estimator._evaluation.device)
        ).as_dict()
        write_scores(directory / "scores.json", scores)
        table = [{"held out, nats": name, "value": value} for name, value in scores["elbo_surgery"].items()]
        say("\n" + format_table(table))
    return scores


def seed_of(estimator: VMM) -> int:
    """The seed that the estimator's split was drawn with."""
    return draw_seed(estimator.random_state)
