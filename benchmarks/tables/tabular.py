"""Tables of numbers: VMM beside scikit-learn's clusterings."""

from typing import Any

import pandas as pd

from benchmarks.harness import Column, Table, Trial
from benchmarks.harness.collect import ACCURACIES, CLUSTERS, ELBO, SECONDS

CLASSES = {"wine": 3, "breast-cancer": 2, "digits-table": 10, "mixed-columns": 7}
QUESTION = """\
The paper does not ask what the model does on plain tables. Wine, breast cancer and digits come with scikit-learn;
`mixed-columns` is simulated anew for each seed: seven classes of very unequal sizes in correlated heavy-tailed
columns of unequal units and binary indicators. Every method sees standardised columns. The Gaussian mixture's number
of components (1 to 20) and shape are chosen by BIC; HDBSCAN's noise counts as one cluster. k-means alone is told the
number of classes. No option was chosen by a score: VMM has K = 50, minibatches of 128, a learning rate of 0.001 and
at most equally many training steps everywhere: early stopping may end a fit sooner."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """Every method on every table; the quick form has the two small ones."""
    sizes: dict[str, Any] = {"mixed-columns": {"num_observations": 500 if quick else 2000}}
    names = ("wine", "mixed-columns") if quick else tuple(CLASSES)
    found = []
    for name in names:
        source = {"kind": name} | sizes.get(name, {})
        for likelihood in ("normal", "student-t"):
            model = {
                "standardize": True,
                "likelihood": likelihood,
                "num_components": 50,
                "batch_size": 128,
                "learning_rate": 1e-3,
            }
            options = {"model": model, "steps": 300 if quick else 2000}
            found.append(Trial(name, source, f"VMM, {likelihood}", "vmm", options, seed))
        told = "the number of classes"
        found += [
            Trial(name, source, "k-means", "k-means", {"num_clusters": CLASSES[name]}, seed, told=told),
            Trial(
                name,
                source,
                "Gaussian mixture by BIC",
                "gaussian-mixture-bic",
                {"most_components": 8 if quick else 20},
                seed,
            ),
            Trial(
                name,
                source,
                "Bayesian Gaussian mixture",
                "bayesian-gaussian-mixture",
                {"num_components": 20 if quick else 50},
                seed,
            ),
            Trial(name, source, "HDBSCAN", "hdbscan", {"min_cluster_size": 15}, seed),
        ]
    return found


def findings(rows: pd.DataFrame) -> list[str]:
    """Which method comes first among those that are told nothing, and the means over the tables."""
    sentences = []
    means = rows.groupby(["data", "method"], sort=False)[["nmi", "ari"]].mean()
    untold = means.drop("k-means", level="method", errors="ignore")
    for data, of_data in untold.groupby("data", sort=False):
        nmi, ari = of_data["nmi"].droplevel(0), of_data["ari"].droplevel(0)
        sentences.append(
            f"{data}: told nothing, the best NMI is {nmi.max():.3f} ({nmi.idxmax()}), "
            f"the best ARI {ari.max():.3f} ({ari.idxmax()})."
        )
    over = means.groupby("method", sort=False).agg(["mean", "count"])
    parts = [f"{name} {row['nmi', 'mean']:.3f} / {row['ari', 'mean']:.3f}" for name, row in over.iterrows()]
    sentences.append(f"Mean NMI / ARI over {over['nmi', 'count'].max()} tables: {', '.join(parts)}.")
    return sentences


TABLE = Table(
    name="tabular",
    title="Tables of numbers",
    question=QUESTION,
    trials=trials,
    columns=(*ACCURACIES, CLUSTERS, ELBO, Column("noise_share", "noise"), SECONDS),
    findings=findings,
)
