"""Faults seeded in the mathematics."""

import pandas as pd

from benchmarks.harness import Column, Table, Trial
from benchmarks.measurements.seeded_faults import FAULTS

SECONDS = 300
"""The longest that one fault's tests may take."""
QUICK = 2
QUESTION = """\
Do the tests notice faults in the mathematics? Each (a sign, an index, a transpose, a term left out, a gradient cut)
is seeded in a copy of the checkout, where its tests must fail. The first trial runs all of these tests without a
fault: it fails where one of them does. The quick form seeds the first two faults alone."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """No fault, then one after the other."""
    source = {"kind": "none"}
    whole = Trial("all", source, "no fault", "mutation", {"number": None, "seconds": SECONDS}, seed)
    return [whole] * (not quick) + [
        Trial(fault.file, source, f"fault {number}", "mutation", {"number": number, "seconds": SECONDS}, seed)
        for number, fault in enumerate(FAULTS[:QUICK] if quick else FAULTS)
    ]


def findings(rows: pd.DataFrame) -> list[str]:
    """How many were noticed, and which were not."""
    tried = rows[rows["noticed"].notna()] if "noticed" in rows else rows.iloc[:0]
    missed = tried[tried["noticed"] == 0.0] if len(tried) else tried
    sentences = [f"{len(tried) - len(missed)} of {len(tried)} faults were noticed."]
    return sentences + [f"Not noticed: {row['data']}, {row['method']}." for _, row in missed.iterrows()]


TABLE = Table(
    name="mutations",
    title="Faults seeded in the mathematics",
    question=QUESTION,
    trials=trials,
    columns=(Column("noticed", "noticed", 0), Column("too_slow", "too slow", 0), Column("wall_seconds", "seconds", 1)),
    seeds=1,
    quick_seeds=1,
    findings=findings,
)
