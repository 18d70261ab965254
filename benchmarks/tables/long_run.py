"""Memory of long fits."""

from benchmarks.harness import Column, Table, Trial
from benchmarks.harness.collect import SECONDS

QUESTION = """\
Does a long fit need ever more memory? 100,000 steps (quick: 300) of a tiny fit, about 11,000 epochs, on arrays and on
counts. Resident memory is read every twentieth of the steps; the first fifth does not count, because allocators fill
their pools then. The rows of the history, kept for their whole length, are about 4 MB of the growth."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """One fit of each kind."""
    steps = 300 if quick else 100_000
    return [
        Trial(kind, {"kind": "none"}, f"{steps:,} steps", "long-run", {"fit": kind, "steps": steps}, seed)
        for kind in ("arrays", "cells")
    ]


TABLE = Table(
    name="long-run",
    title="Memory of long fits",
    question=QUESTION,
    trials=trials,
    columns=(
        Column("settled_mb", "memory after a fifth, MB", 1),
        Column("end_mb", "at the end, MB", 1),
        Column("growth_mb", "growth, MB", 1),
        Column("readings", "readings", 0),
        SECONDS,
    ),
    seeds=1,
    quick_seeds=1,
    own_process=True,
)
