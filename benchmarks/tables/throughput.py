"""How fast single-cell models train."""

from typing import Any

import pandas as pd

from benchmarks.harness import Column, Table, Trial

SCVI = "scvi-tools' SCVI"
OURS: dict[str, dict[str, Any]] = {
    "standard normal prior": {"prior": "standard-normal"},
    "as it comes, K = 100": {},
    "standard normal prior, low precision": {"prior": "standard-normal", "low_precision": True},
    "as it comes, low precision": {"low_precision": True},
}
RATE, WHOLE = "cells_a_cpu_second", "cells_a_cpu_second_whole_call"
QUESTION = """\
How many cells a CPU-second trains on: `SingleCellVMM` and scvi-tools' SCVI with the same architecture and minibatch,
one thread, each trial in a process of its own. 10,000 cells by 2,000 genes, 88 % of the counts zero (quick: 1,000 by
200). A seed is a round, in which every contestant trains once: compare within a round only, since CPU time on a
shared machine is noisy. Peak memory is all that the process has held, imports and data included."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """Every contestant once."""
    size = {"num_cells": 1_000, "num_genes": 200} if quick else {"num_cells": 10_000, "num_genes": 2_000}
    source = {"kind": "many-cells", "num_groups": 8, "depth": 320.0} | size
    epochs = (1, 2) if quick else (2, 8)
    contestants: dict[str, dict[str, Any]] = {SCVI: {"package": "scvi"}}
    contestants |= {name: {"package": "pyro-vmm", "model": model} for name, model in OURS.items()}
    return [
        Trial("simulated counts", source, name, "throughput", options | {"epochs": epochs}, seed)
        for name, options in contestants.items()
    ]


def findings(rows: pd.DataFrame) -> list[str]:
    """Ratios to SCVI within a round."""
    sentences = []
    for key, name in ((RATE, "an epoch"), (WHOLE, "a whole call")):
        by_round = rows.pivot(index="seed", columns="method", values=key)
        for method in (name for name in OURS if SCVI in by_round and name in by_round):
            ratios = (by_round[method] / by_round[SCVI]).dropna()
            told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            sentences.append(f"{method}, {name}: {ratios.median():.2f} times SCVI's cells (rounds: {told}).")
    return sentences


TABLE = Table(
    name="throughput",
    title="Throughput on counts",
    question=QUESTION,
    trials=trials,
    columns=(
        Column(RATE, "cells a CPU-second", 0),
        Column(WHOLE, "of the whole call", 0),
        Column("peak_memory_mb", "peak memory, MB", 0),
    ),
    seeds=4,
    quick_seeds=1,
    findings=findings,
    own_process=True,
)
