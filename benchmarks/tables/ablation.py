"""What each part of the VMM is worth."""

import pandas as pd

from benchmarks.harness import Column, Table, Trial
from benchmarks.harness.collect import ACCURACIES, CLUSTERS, ELBO, SECONDS
from benchmarks.tables.settings import CELLS_LEARNING_RATE, DIGITS_MODEL, cells_trial, digits_trial

VARIANTS = {
    "VMM": {},
    "without the VampPrior (DP-GMM)": {"model": {"prior": "gaussian-mixture"}},
    "without the DP (MAP)": {"model": {"prior_inference": "map"}},
    "without the DP and hyper-priors (MLE)": {"model": {"prior_inference": "mle"}},
    "differentiated responsibilities": {"model": {"responsibility_gradient": "differentiated"}},
    "joint optimisation": {"joint": True},
    "Dirichlet weights": {"model": {"weights": "dirichlet"}},
}
PUBLISHED = {
    "uncertain centres": {"model": {"centre_uncertainty": "expected"}},
    "M = 256": {"model": {"prior_weight": 256.0}},
    "uncertain centres, M = 256": {"model": {"centre_uncertainty": "expected", "prior_weight": 256.0}},
}
"""As the paper has them, where the VMM here has centres that are points and a hyper-prior that weighs less."""
HEAD_STARTS = {
    "KL warm-up": ("kl_warmup_steps",),
    "prior at rest at first": ("prior_rest_steps",),
    "KL warm-up, prior at rest meanwhile": ("kl_warmup_steps", "prior_rest_steps"),
}
"""Options of ``VMM`` alone that let the networks learn before the prior does."""
FIRST_STEPS = 500
EQUAL_RATES = "equal learning rates"
QUESTION = """\
The paper holds that it takes all three: VampPrior centres, a Dirichlet process over them, and empirical-Bayes steps
that alternate with the ELBO's. Each row leaves one out, or takes the other of two choices that the paper leaves open.
VMM is stick-breaking weights, MAP with the DP, stopped responsibilities, alternating steps, and, other than in the paper, a prior
that learns at 0.3 times the networks' rate, centres that are points, and a hyper-prior weighed against M = 16,384 observations.
The paper's equal rates, uncertain centres and M = 256 have rows of their own, the last two on 20 groups of cells, too.
Joint optimisation moves the prior by the ELBO's own gradient with the same hyper-prior at the same weight, in the same
update and at the same rate as the networks. Rows with a KL warm-up or a prior at rest let the networks learn first, for 500
steps (100 in the quick form), by options that are off
by default; on digits only."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """Every variant on digits and on simulated cells, and the published choices on many groups of them."""
    equal_on_digits = {"model": {"prior_learning_rate": DIGITS_MODEL["learning_rate"]}}
    first_steps = FIRST_STEPS // 5 if quick else FIRST_STEPS
    networks_first = {name: {"model": dict.fromkeys(options, first_steps)} for name, options in HEAD_STARTS.items()}
    equal_on_cells = {"train": {"prior_learning_rate": CELLS_LEARNING_RATE}}
    found = [
        make(name, seed, quick, **options)
        for make, further in (
            (digits_trial, {EQUAL_RATES: equal_on_digits} | networks_first),
            (cells_trial, {EQUAL_RATES: equal_on_cells}),
        )
        for name, options in (VARIANTS | PUBLISHED | further).items()
    ]
    many = {"VMM": VARIANTS["VMM"]} | PUBLISHED
    return found + [cells_trial(name, seed, quick, data="many groups", **options) for name, options in many.items()]


def findings(rows: pd.DataFrame) -> list[str]:
    """Paired differences from VMM, seed by seed."""
    sentences = []
    for data, of_data in rows.groupby("data", sort=False):
        by_seed = of_data.pivot(index="seed", columns="method", values=["nmi", "validation_elbo", "clusters"])
        if "VMM" not in by_seed["nmi"]:
            continue
        for method in by_seed["nmi"].columns.drop("VMM"):
            parts = []
            for key, name, decimals in (("nmi", "NMI", 3), ("validation_elbo", "ELBO", 2), ("clusters", "clusters", 1)):
                difference = (by_seed[key][method] - by_seed[key]["VMM"]).dropna()
                low, high = difference.min(), difference.max()
                parts.append(f"{name} {difference.mean():+.{decimals}f} ({low:+.{decimals}f} to {high:+.{decimals}f})")
            sentences.append(f"{data}, {method} minus VMM: {', '.join(parts)}.")
    return sentences


TABLE = Table(
    name="ablation",
    title="What each part of the VMM is worth",
    question=QUESTION,
    trials=trials,
    columns=(*ACCURACIES, CLUSTERS, ELBO, Column("epochs", "epochs", 0), SECONDS),
    findings=findings,
)
