"""What one training step costs."""

import pandas as pd

from benchmarks.harness import Column, Table, Trial

VARIANTS = {"ours": "ours", "hand": "hand-written", "onednn": "hand-written, our layers", "pyro": "plain Pyro"}
COMPARED = {
    "ours / hand": "ours / hand-written",
    "ours / onednn": "ours / hand-written, our layers",
    "ours / pyro": "ours / plain Pyro",
    "ours, EB / ours, ELBO": "empirical-Bayes step / ELBO step",
    "fresh, EB / fresh, ELBO": "the same at latents encoded again",
}
QUESTION = """\
What one training step costs, in CPU milliseconds (medians), compared with a hand-written PyTorch loop of the same
mathematics, the same loop with this package's linear layers, and plain `pyro.infer.SVI`. MNIST shapes:
784-500-500-2000-10, full covariance, minibatch 256, K = 100. Variants take turns, 100 rounds (quick: 5), and ratios
are taken round by round. Before anything is timed all variants must give the same losses and updates from the same
parameters and noise, or the trial fails."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """One trial: all variants have to take turns in one process."""
    options = {"repeats": 5 if quick else 100}
    return [Trial("MNIST shapes", {"kind": "none"}, "all variants in turn", "step-cost", options, seed)]


def findings(rows: pd.DataFrame) -> list[str]:
    """Ratios with their quartiles."""
    return [
        f"{heading}: {row[name]:.2f} (quartiles {row[f'{name}, 25 %']:.2f} to {row[f'{name}, 75 %']:.2f})."
        for _, row in rows.iterrows()
        for name, heading in COMPARED.items()
    ]


TABLE = Table(
    name="step-cost",
    title="Cost of a training step",
    question=QUESTION,
    trials=trials,
    columns=(
        *(Column(f"{name}, ms", f"{heading}, ms", 1) for name, heading in VARIANTS.items()),
        *(Column(name, heading, 2) for name, heading in COMPARED.items()),
    ),
    seeds=1,
    quick_seeds=1,
    findings=findings,
    own_process=True,
)
