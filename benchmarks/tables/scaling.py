"""Time, memory and clusters by the number of cells."""

import numpy as np
import pandas as pd

from benchmarks.harness import Column, Table, Trial
from benchmarks.harness.collect import ACCURACIES, CLUSTERS, ELBO, SECONDS

NUM_GENES, NUM_GROUPS = 300, 12
QUICK, FULL = (1_000, 3_000), (1_000, 10_000, 100_000, 1_000_000)
QUESTION = """\
How time, memory and clusters go with the number of cells: sparse counts in twelve groups of unequal sizes, simulated anew for
each seed; `SingleCellVMM` as it comes (the quick form has fewer genes, components and steps). Every trial has a process of
its own: the peak is all that it held, and what it held before the fit is imports and data."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """One trial for each number of cells, the small ones first."""
    source = {"kind": "many-cells", "num_genes": 60 if quick else NUM_GENES, "num_groups": NUM_GROUPS}
    options = {"model": {"num_components": 30}, "steps": 400} if quick else {}
    return [
        Trial(f"{size:,} cells", source | {"num_cells": size}, "SingleCellVMM", "single-cell-vmm", options, seed)
        for size in (QUICK if quick else FULL)
    ]


def findings(rows: pd.DataFrame) -> list[str]:
    """By what power of the number of cells time and memory grow."""
    sizes = rows["data"].str.replace(r"\D", "", regex=True).astype(float)
    if sizes.nunique() < 2:
        return []
    powers = {
        name: np.polyfit(np.log(sizes), np.log(rows[key]), 1)[0]
        for name, key in (("CPU time", "cpu_seconds"), ("peak memory", "peak_memory_mb"))
    }
    between = f"{sizes.min():,.0f} and {sizes.max():,.0f} cells"
    return [
        f"Between {between}: " + ", ".join(f"{name} grows as N^{power:.2f}" for name, power in powers.items()) + "."
    ]


TABLE = Table(
    name="scaling",
    title="Time and memory by the number of cells",
    question=QUESTION,
    trials=trials,
    columns=(
        SECONDS,
        Column("memory_before_mb", "memory before the fit, MB", 0),
        Column("peak_memory_mb", "peak memory, MB", 0),
        Column("epochs", "epochs", 0),
        CLUSTERS,
        *ACCURACIES,
        ELBO,
    ),
    quick_seeds=1,
    seeds=3,
    findings=findings,
    own_process=True,
)
