"""How components become clusters."""

import itertools
from typing import Any

import pandas as pd

from benchmarks.harness import Column, Table, Trial
from benchmarks.harness.collect import ACCURACIES, CLUSTERS, SECONDS

SIZES = ((2_000, 5, 6), (10_000, 10, 10), (10_000, 10, 20), (10_000, 20, 10))
QUICK_SIZES = ((1_000, 5, 6),)
"""Observations, dimensions and classes."""
RULES: dict[str, dict[str, Any]] = {
    "contact": {"criterion": "contact"},
    "valleys": {"criterion": "valleys"},
    "valleys, weight 1,000": {"criterion": "valleys", "evidence_weight": 1000.0},
    "valleys, weight 4,000": {"criterion": "valleys", "evidence_weight": 4000.0},
    "evidence": {"criterion": "evidence"},
    "misclassification at 0.05": {"criterion": "valleys", "share": 0.05},
    "misclassification at 0.1": {"criterion": "valleys", "share": 0.1},
}
QUESTION = """\
By which rule should components be joined? Classes are drawn in a latent space, straight (Gaussian) or bent, of like
or unlike sizes, near each other or far (the median distance of a centre from the next, in standard deviations). A
mixture of 40 Gaussians is fitted, and its components are joined by each rule. The truth enters the scores alone. The
default is `contact`. The `evidence_weight` of `valleys` is 200 a dimension, at least 2,000. `misclassification` is the
option of that name at two shares."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """Every rule on every set of classes."""
    found = []
    for apart in (4.0,) if quick else (3.0, 4.0, 6.0):
        for (number, dim, classes), evenness, bent in itertools.product(
            QUICK_SIZES if quick else SIZES, (5.0, 1.0), (0.0, 0.5)
        ):
            source = {"kind": "drawn-classes", "num_observations": number, "dim": dim, "num_classes": classes}
            source |= {"apart": apart, "evenness": evenness, "bent": bent}
            data = f"{number:,} x {dim}, {classes} classes{', unlike sizes' * (evenness < 5)}{', bent' * (bent > 0)}"
            group = f"{apart:g} standard deviations apart"
            found += [Trial(data, source, rule, "fine-mixture", RULES[rule], seed, group) for rule in RULES]
    return found


def findings(rows: pd.DataFrame) -> list[str]:
    """Mean ARI of each rule, by distance and over all."""
    sentences = []
    for group, of_group in [*rows.groupby("group", sort=False), ("all", rows)]:
        means = of_group.groupby("method", sort=False)["ari"].mean()
        sentences.append(f"{group}, mean ARI: {', '.join(f'{name} {mean:.3f}' for name, mean in means.items())}.")
    return sentences


TABLE = Table(
    name="joining",
    title="How components become clusters",
    question=QUESTION,
    trials=trials,
    columns=(CLUSTERS, *ACCURACIES[3:], Column("components", "components joined", 1), SECONDS),
    seeds=1,
    quick_seeds=1,
    findings=findings,
)
