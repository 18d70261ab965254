"""Integration and clustering of single-cell counts."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.count_files import FILES
from benchmarks.harness import Column, Table, Trial
from benchmarks.harness.collect import CLUSTERS, ELBO, SECONDS
from pyro_vmm.errors import UserError

NEEDED, NEEDED_IN_FULL = ("scanpy", "igraph"), ("skmisc", "scib_metrics")
"""Modules without which no trial runs; what a single rival needs leaves that rival out."""
QUICK_FILE, QUICK_METHODS = "starmap_mpfc_spatial", ("pca", "normal", "vmm")
AVERAGED = {
    "nmi": "NMI",
    "ari": "ARI",
    "leiden_nmi": "Leiden's NMI",
    "leiden_ari": "Leiden's ARI",
    "total": "Total",
    "bio": "bio",
    "batch": "batch",
}
QUESTION = """\
`SingleCellVMM` compared with PCA, Harmony, Scanorama, SCVI (as they come, SCVI for at most 400 epochs) and Seurat
v3's anchors in R, and with itself under other priors: `normal`, `vamp-prior`, `dp-gmm`. Every method sees the same
2,000 genes, raw counts and batches. The mixture priors have clusters of their own; all others are followed by Leiden
(resolution 1, 15 neighbours), which also clusters each embedding. A method whose packages are not installed is left
out. Total, bio and batch are scib-metrics' aggregates, unscaled, of at most 3,000 cells, on files with batches."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """Every method on every file; the quick form has one file, three methods and no score of the embedding."""
    common: dict[str, Any] = {} if quick else {"embedding": True}
    leiden = {"afterwards": {"method": "leiden"}}
    ours: dict[str, dict[str, Any]] = {
        "normal": {"model": {"prior": "standard-normal"}, **leiden},
        "vamp-prior": {"model": {"prior": "vamp-prior"}},
        "dp-gmm": {"model": {"prior": "gaussian-mixture"}},
        "vmm": {},
    }
    methods = {name: ("rival", {"rival": name}) for name in ("pca", "harmony", "scanorama", "scvi")}
    methods |= {name: ("single-cell-vmm", options) for name, options in ours.items()}
    methods["seurat"] = ("rival", {"rival": "seurat"})
    return [
        Trial(file, {"kind": "count-file", "name": file}, name, fit, options | common, seed)
        for file in ((QUICK_FILE,) if quick else FILES)
        for name, (fit, options) in methods.items()
        if not quick or name in QUICK_METHODS
    ]


def check(data_root: Path | None, quick: bool) -> None:
    """Whether a file and the packages are there.

    Raises
    ------
    UserError
        Where they are not.
    """
    if data_root is None or not any((data_root / f"{file}.h5ad").is_file() for file in FILES):
        raise UserError(
            f"The benchmark integration reads {FILES[0]}.h5ad and others: give their folder as --data-root."
        )
    if missing := [name for name in (NEEDED if quick else NEEDED + NEEDED_IN_FULL) if find_spec(name) is None]:
        raise UserError(
            f"The benchmark integration needs {', '.join(missing)}: install pyro-vmm with its extra [benchmark]."
        )


def findings(rows: pd.DataFrame) -> list[str]:
    """Means over the files of the means over seeds; a score that some file lacks is averaged over those that have it."""
    means = rows.groupby(["data", "method"], sort=False)[[name for name in AVERAGED if name in rows]].mean()
    sentences = []
    for method, of_method in means.groupby("method", sort=False):
        parts = [f"{AVERAGED[name]} {values.mean():.3f}" for name, values in of_method.items() if values.notna().any()]
        sentences.append(f"{method}, mean over {len(of_method)} files: {', '.join(parts)}.")
    return sentences


TABLE = Table(
    name="integration",
    title="Integration and clustering of single-cell counts",
    question=QUESTION,
    trials=trials,
    columns=(
        Column("nmi", "NMI"),
        Column("ari", "ARI"),
        CLUSTERS,
        *(Column(name, AVERAGED[name]) for name in ("leiden_nmi", "leiden_ari")),
        Column("leiden_clusters", "Leiden's clusters", 1),
        *(Column(name, AVERAGED[name]) for name in ("total", "bio", "batch")),
        ELBO,
        Column("epochs", "epochs", 0),
        SECONDS,
    ),
    quick_seeds=1,
    findings=findings,
    check=check,
)
