"""Training on counts that stay on disk."""

import pandas as pd

from benchmarks.harness import Column, Table, Trial

HOW = ("memory", "disk")
RATE, ELBO, PEAK = "trained_cells_a_cpu_second", "held_out_elbo", "peak_memory_mb"
QUESTION = """\
What does it cost to leave counts on disk? Counts of 2,000 genes, 6.5 % of them not zero, sorted by batch, in an `.h5ad`;
`SingleCellVMM` as it comes, two epochs (of a million cells one), one thread, every trial in a process of its own. *Rows read* are
made dense, without training. Peak memory holds everything: imports (about 640 MB), data in memory, training and clustering."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """Each size from memory and from disk; a million cells from disk alone."""
    sizes = {2_000: (1, HOW)} if quick else {10_000: (2, HOW), 100_000: (2, HOW), 1_000_000: (1, HOW[1:])}
    model = {"num_components": 10} if quick else {}
    options = {"num_genes": 50 if quick else 2_000, "model": model}
    return [
        Trial(
            f"{size:,} cells",
            {"kind": "none"},
            f"from {how}",
            "from-disk",
            options | {"num_cells": size, "epochs": epochs, "how": how},
            seed,
        )
        for size, (epochs, ways) in sizes.items()
        for how in ways
    ]


def findings(rows: pd.DataFrame) -> list[str]:
    """Disk against memory, size by size."""
    sentences = []
    for data, of_size in rows.groupby("data", sort=False):
        means = of_size.groupby("method")[[RATE, ELBO]].mean()
        if len(means) == 2:
            memory, disk = means.loc["from memory"], means.loc["from disk"]
            sentences.append(
                f"{data}: from disk {disk[RATE] / memory[RATE]:.2f} times the cells a CPU-second from memory; held-out ELBO "
                f"{disk[ELBO] - memory[ELBO]:+.3f} nats."
            )
    return sentences


TABLE = Table(
    name="from-disk",
    title="Counts on disk and in memory",
    question=QUESTION,
    trials=trials,
    columns=(
        Column("read_rows_a_cpu_second", "rows read a CPU-second", 0),
        Column(RATE, "cells trained on a CPU-second", 0),
        Column("memory_before_mb", "memory before, MB", 0),
        Column(PEAK, "peak memory, MB", 0),
        Column(ELBO, "held-out ELBO, nats", 3),
    ),
    seeds=1,
    quick_seeds=1,
    findings=findings,
    own_process=True,
)
