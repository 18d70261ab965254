"""What sets how many clusters are found: one option at a time."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t

from benchmarks.harness import Column, Table, Trial
from benchmarks.harness.collect import ACCURACIES, CLUSTERS, ELBO, SECONDS
from benchmarks.tables.settings import (
    CELLS_LEARNING_RATE,
    CELLS_NUM_COMPONENTS,
    DIGITS_MODEL,
    cells_trial,
    digits_trial,
)

DEFAULT = "the default"
QUICK = {
    "components K": (10,),
    "minibatch B": (32, 512),
    "prior weight M": (32, 2048),
    "latent dimension D": (3,),
    "learning-rate ratio": (10.0,),
}
FULL = {
    "components K": (10, 25, 50, 100, 200),
    "minibatch B": (64, 128, 256, 512, 1024),
    "prior weight M": (64, 256, 2048, 16_384, 131_072),
    "latent dimension D": (2, 5, 10, 20, 40),
    "learning-rate ratio": (0.1, 0.3, 1.0, 3.0, 10.0),
}
DEFAULTS: dict[Any, dict[str, float]] = {
    "digits": {
        "components K": DIGITS_MODEL["num_components"],
        "minibatch B": DIGITS_MODEL["batch_size"],
        "prior weight M": 16_384,
        "latent dimension D": 10,
        "learning-rate ratio": 0.3,
    },
    "simulated cells": {
        "components K": CELLS_NUM_COMPONENTS,
        "minibatch B": 256,
        "prior weight M": 16_384,
        "latent dimension D": 10,
        "learning-rate ratio": 0.3,
    },
}
"""Where a value is the default's, the first row has it, and nothing is fitted twice."""
QUESTION = """\
In the paper's released code the minibatch size sets, without saying so, how fine the clusters are: the hyper-prior is
weighed against one minibatch. Here the prior weight M does, and the minibatch should not. One option is changed at a
time from the default, trained for the same number of steps unless early stopping ends it
sooner. The learning-rate ratio is the prior's rate over the networks'.
The default is K = 100 (digits: 50), B = 256 (digits: 128), M = 16,384, D = 10 and a ratio of 0.3."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """The default, then each option at each of its other values."""
    grid: dict[str, tuple[float, ...]] = QUICK if quick else FULL
    found = [digits_trial(DEFAULT, seed, quick), cells_trial(DEFAULT, seed, quick)]
    for name, values in grid.items():
        for value in values:
            method = f"{name} = {value:g}"
            if value != DEFAULTS["digits"][name]:
                found.append(digits_trial(method, seed, quick, group=name, **of_arrays(name, value)))
            if value != DEFAULTS["simulated cells"][name] and (not quick or name in ("minibatch B", "prior weight M")):
                found.append(cells_trial(method, seed, quick, group=name, **of_cells(name, value)))
    return found


def of_arrays(name: str, value: float) -> dict[str, Any]:
    """Options of ``VMM`` with one of them changed."""
    rate = DIGITS_MODEL["learning_rate"]
    return {
        "components K": {"model": {"num_components": value}},
        "minibatch B": {"model": {"batch_size": value}},
        "prior weight M": {"model": {"prior_weight": float(value)}},
        "latent dimension D": {"model": {"latent_dim": value}},
        "learning-rate ratio": {"model": {"prior_learning_rate": rate * value}},
    }[name]


def of_cells(name: str, value: float) -> dict[str, Any]:
    """Options of ``SingleCellVMM`` with one of them changed."""
    return {
        "components K": {"model": {"num_components": value}},
        "minibatch B": {"train": {"batch_size": value}},
        "prior weight M": {"model": {"prior_weight": float(value)}},
        "latent dimension D": {"model": {"n_latent": value}},
        "learning-rate ratio": {"train": {"prior_learning_rate": CELLS_LEARNING_RATE * value}},
    }[name]


def findings(rows: pd.DataFrame) -> list[str]:
    """Mean number of clusters by each option, and by how much a doubling of the minibatch changes it."""
    sentences = []
    for data, of_data in rows.groupby("data", sort=False):
        default = of_data[of_data["method"] == DEFAULT].set_index("seed")["clusters"]
        if default.empty:
            continue
        for group, of_group in of_data[of_data["group"] != ""].groupby("group", sort=False):
            means = of_group.groupby("method", sort=False)["clusters"].mean()
            told = "; ".join(f"{method.rpartition('= ')[2]}: {mean:.1f}" for method, mean in means.items())
            by_default = default[default.index.isin(of_group["seed"])].mean()
            sentences.append(f"{data}, clusters by {group}: {told}; by default, on the same seeds, {by_default:.1f}.")
        slopes = _clusters_by_doubling(
            of_data[of_data["group"].isin(["", "minibatch B"])], DEFAULTS[data]["minibatch B"]
        )
        if slopes:
            # Without rounding, the slope of numbers that are all the same would be one more than chance.
            sentences.append(f"**{data}: {_verdict(np.round(slopes, 9))}**")
    return sentences


def _clusters_by_doubling(rows: pd.DataFrame, default: float) -> list[float]:
    """Least-squares slope of clusters against ``log2 B``, one for each seed that has two values of B or more."""
    sizes = pd.to_numeric(rows["method"].str.rpartition("= ")[2], errors="coerce").fillna(default)
    slopes = []
    for seed in rows["seed"].unique():
        own = (rows["seed"] == seed) & rows["clusters"].notna()
        if sizes[own].nunique() > 1:
            slopes.append(float(np.polyfit(np.log2(sizes[own]), rows.loc[own, "clusters"], 1)[0]))
    return slopes


def _verdict(slopes: NDArray[np.float64]) -> str:
    """Of a t test across seeds; what is not shown may still be, within the interval."""
    changed = f"a doubling of the minibatch changes the number of clusters by {slopes.mean():+.2f}"
    if len(slopes) < 2:
        return f"{changed} on one seed, which does not say whether that is more than chance."
    half = float(t.ppf(0.975, len(slopes) - 1) * slopes.std(ddof=1) / np.sqrt(len(slopes)))
    interval = (
        f"{changed} (95 % interval {slopes.mean() - half:+.2f} to {slopes.mean() + half:+.2f}, {len(slopes)} seeds)"
    )
    if abs(slopes.mean()) > half:
        return f"{interval}: it still sets the granularity in part."
    return f"{interval}: an effect is not shown, and none beyond that interval is likely."


TABLE = Table(
    name="sensitivity",
    title="What sets the number of clusters",
    question=QUESTION,
    trials=trials,
    columns=(CLUSTERS, *ACCURACIES[3:], *ACCURACIES[:3], ELBO, Column("epochs", "epochs", 0), SECONDS),
    findings=findings,
)
