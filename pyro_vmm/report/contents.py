"""What the page of a report says, as plain values for its template."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pyro_vmm.diagnosis import Diagnosis, Stability
from pyro_vmm.diagnosis.unstable import RELIABLE
from pyro_vmm.observations import Groups
from pyro_vmm.report.cluster_table import ClusterRow
from pyro_vmm.report.fit_folder import FitFolder
from pyro_vmm.report.pictures import Picture
from pyro_vmm.report.seen import Seen
from pyro_vmm.scoring import by_present_names

MOST_EPOCHS = 100
"""Rows of the history in the report; a longer one is thinned evenly."""

SEVERITIES = {"warning": "Warning", "notice": "Notice", "fine": "Fine"}
SUREST = "each cluster takes the label of its surest observation, as in the released code"
SCORES = {
    "accuracy_many_to_one": ("Accuracy, many to one", "each cluster takes its majority label"),
    "accuracy_hungarian": ("Accuracy, one to one", "best matching of clusters to labels"),
    "purity": ("Purity", "another name of the accuracy, many to one"),
    "nmi": ("NMI", "normalised mutual information; 0 for no relation, 1 for the same partition"),
    "ari": ("ARI", "adjusted Rand index; 0 by chance, 1 for the same partition"),
    "ami": ("AMI", "adjusted mutual information; 0 by chance, 1 for the same partition"),
    "accuracy_surest_observation": ("Accuracy, surest observation", SUREST),
    "nmi_merged": ("NMI, merged", SUREST),
    "ari_merged": ("ARI, merged", SUREST),
    "ami_merged": ("AMI, merged", SUREST),
    "clusters": ("Clusters", ""),
    "observations": ("Observations", ""),
    "classes": ("Labels", "different ones"),
    "average_kl": ("Average KL", "mean of KL(q(z | x) || p(z))"),
    "marginal_kl": ("Marginal KL", "KL(q(z) || p(z)) of the aggregate posterior"),
    "mutual_information": ("Mutual information", "average KL less marginal KL"),
    "expected_log_likelihood": ("E log p(x | z)", "the ELBO is this less the average KL"),
    "importance_weighted_log_prob": ("log p(x)", "importance-weighted bound"),
    "reconstruction_log_prob": ("log p(x | x)", ""),
    "num_observations": ("Observations", "held out"),
    "num_samples": ("Samples", "of the posterior, for each observation"),
}


@dataclass(frozen=True)
class ScoreTable:
    """Scores under one heading, each with its name, value and meaning."""

    heading: str
    rows: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Contents:
    """Everything on the page."""

    title: str
    summary: str
    facts: list[tuple[str, str]]
    notices: list[str]
    diagnosis: Diagnosis | None
    clusters: list[ClusterRow]
    colours: dict[int, str]
    pictures: list[Picture]
    scores: list[ScoreTable]
    columns: list[str]
    history: list[list[str]]
    history_note: str
    command: str
    options: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    data_sha256: str


def told(value: Any) -> str:
    """A number, or anything, as the page shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–"
        shown = f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:,.4g}"
        return shown.replace("-", "−")
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(told, value)) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {told(item)}" for name, item in value.items()) or "–"
    return str(value)


def facts_of(folder: FitFolder, seen: Seen, num_clusters: int) -> list[tuple[str, str]]:
    """What was fitted, on what, in the words of the field."""
    noted, options = folder.facts, folder.options
    facts = [("Input", told(noted.get("input"))), ("Observations", told(noted.get("num_observations")))]
    features = noted.get("num_features") or (seen.observed and seen.observed.observations.num_features)
    if features:
        facts.append((folder.modality.feature_noun.capitalize(), told(features)))
    facts += _facts_of_setup(noted.get("setup") or {}, seen.batches)
    if options.get("image_shape"):
        facts.append(("Images", " × ".join(map(str, options["image_shape"]))))
    facts.append(("Likelihood", told(options.get("likelihood"))))
    facts.append(("Prior", told(options.get("prior"))))
    facts.append(("Latent dimensions", told(options.get("latent_dim"))))
    # Of few observations, fewer components than the options say.
    num_components = options.get("num_components") if seen.fit is None else len(seen.fit.clusters.order)
    if seen.fit is not None:
        facts.append(("Clusters in use", f"{num_clusters:,} of {told(num_components)} components"))
        if seen.fit.clusters.component_tree is not None:
            facts.append(("Components in use", f"{seen.fit.clusters.components_in_use:,}, before they are joined"))
    else:
        facts.append(("Components", told(num_components)))
    facts.append(("Epochs", told(len(folder.history))))
    validation = folder.history.get("validation_elbo", pd.Series(dtype=float)).dropna()
    if len(validation):
        facts.append(("Best validation ELBO", f"{told(float(validation.max()))} nats an observation"))
    facts.append(("Seed", told(options.get("random_state"))))
    return facts


def _facts_of_setup(setup: Mapping[str, Any], batches: Groups | None) -> list[tuple[str, str]]:
    """Where in an input of several parts the data were found."""
    facts = []
    if "layer" in setup:
        facts.append(("Counts from", "X" if setup["layer"] is None else f"layer {setup['layer']}"))
    if setup.get("batch_key") is not None:
        number = "" if batches is None else f" ({len(batches.names):,} batches)"
        facts.append(("Batches", f"column {setup['batch_key']}{number}"))
    covariates = [*(setup.get("categorical_covariate_keys") or []), *(setup.get("continuous_covariate_keys") or [])]
    if covariates:
        facts.append(("Covariates", ", ".join(map(str, covariates))))
    if setup.get("size_factor_key") is not None:
        facts.append(("Size factors", f"column {setup['size_factor_key']}"))
    return facts


def score_tables(folder: FitFolder, of_labels: Mapping[str, Any] | None, label_name: str | None) -> list[ScoreTable]:
    """Scores against labels, those computed for this report before the stored ones, and the others that were stored."""
    stored = folder.scores or {}
    tables = []
    merged = "" if of_labels is not None or not stored.get("num_clusters") else f", {stored['num_clusters']} clusters"
    clusters = by_present_names(stored.get("clusters", {})) if of_labels is None else of_labels
    name = stored.get("labels") if of_labels is None else label_name
    groups = [
        (f"Clusters against {name or 'labels'}{merged}", clusters),
        ("Integration of batches", stored.get("integration")),
        ("ELBO surgery, held out, nats an observation", stored.get("elbo_surgery")),
    ]
    for heading, scores in groups:
        if isinstance(scores, Mapping) and scores:
            rows = [(*_named(key)[:1], told(value), _named(key)[1]) for key, value in scores.items()]
            tables.append(ScoreTable(heading, rows))
    return tables


def unreliable(found: Stability | None) -> str:
    """What a reader must know first: that other seeds find other clusters. Empty where they agree, or none were fitted."""
    if found is None or found.mean_rand_index >= RELIABLE:
        return ""
    return (
        f"Other seeds find other clusters: two of {len(found.seeds)} fits agree with an adjusted Rand index of "
        f"{found.mean_rand_index:.2f} on the mean, and {RELIABLE} is asked for. "
    )


def consensus_table(found: Stability | None) -> list[ScoreTable]:
    """What fits with several seeds agree on, a row a consensus cluster."""
    if found is None:
        return []
    rows = [("Adjusted Rand index of two", told(found.mean_rand_index), "mean; 0 by chance, 1 for the same clusters")]
    for cluster, (size, together, recovered) in enumerate(found.to_frame().itertuples(index=False)):
        meaning = f"size {told(int(size))}, kept together to {100 * together:.0f} %"
        rows.append((f"Consensus cluster {cluster}", f"recovered to {100 * recovered:.0f} %", meaning))
    return [ScoreTable(f"Fits with {len(found.seeds)} seeds", rows)]


def _named(key: str) -> tuple[str, str]:
    return SCORES.get(key, (str(key), ""))


def history_rows(history: pd.DataFrame) -> tuple[list[str], list[list[str]], str]:
    """Names, rows and a note on what is left out."""
    step = -(-len(history) // MOST_EPOCHS)
    kept = history if step <= 1 else history.iloc[sorted({*range(0, len(history), step), len(history) - 1})]
    rows = [[told(value) for value in row] for row in kept.astype(object).itertuples(index=False, name=None)]
    note = f"One epoch in {step} and the last; history.csv has them all." if step > 1 else ""
    return [str(column).replace("_", " ") for column in history.columns], rows, note


def options_of(folder: FitFolder) -> list[tuple[str, str]]:
    """All options of the model and its training."""
    return [(name, told(value)) for name, value in sorted(folder.options.items())]
