"""Finished trials as one table: CSV, JSON with all that gave it, and a page made from the JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.harness.page import SUREST, page
from benchmarks.harness.trial import Trial, finished
from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.scoring import by_present_names


@dataclass(frozen=True)
class Column:
    """A number on the page.

    Attributes
    ----------
    key
        Its name in a trial's ``numbers``.
    heading
        What the page calls it.
    decimals
        How many are shown.
    """

    key: str
    heading: str
    decimals: int = 3


ACCURACIES = (
    Column("accuracy_many_to_one", "accuracy, many-to-one"),
    Column("accuracy_hungarian", "accuracy, Hungarian"),
    Column(**SUREST),
    Column("nmi", "NMI"),
    Column("ari", "ARI"),
    Column("ami", "AMI"),
)
CLUSTERS = Column("clusters", "clusters", 1)
ELBO = Column("validation_elbo", "held-out ELBO, nats", 2)
SECONDS = Column("cpu_seconds", "CPU s", 1)


@dataclass(frozen=True)
class Table:
    """A table: which trials, which numbers, and what is to be learnt from them.

    Attributes
    ----------
    name, title
        What the command and the page call it.
    question
        What the paper claims or leaves open, in Markdown.
    trials
        ``(quick, seed) -> trials`` of one seed.
    columns
        Numbers shown on the page; the CSV has all.
    seeds, quick_seeds
        How many seeds are run by default.
    findings
        ``rows -> sentences`` computed from the numbers.
    own_process
        Every trial in a process of its own.
    check
        ``(folder of the data or None, quick) -> nothing``: raises a ``UserError`` before any trial where the table
        cannot be made here.
    """

    name: str
    title: str
    question: str
    trials: Callable[[bool, int], list[Trial]]
    columns: Sequence[Column]
    seeds: int = 5
    quick_seeds: int = 2
    findings: Callable[[pd.DataFrame], list[str]] = lambda rows: []
    own_process: bool = False
    check: Callable[[Path | None, bool], None] = lambda data_root, quick: None


def collect(table: Table, trials: Sequence[Trial], folder: Path, command: str, *, quick: bool) -> dict[str, Any]:
    """Everything that the page says: rows in the order of the trials, and what gave them."""
    rows: list[dict[str, Any]] = []
    facts = []
    for trial in trials:
        if (result := finished(folder, trial)) is None:
            continue
        fields = {name: getattr(trial, name) for name in ("group", "data", "method", "told", "seed")}
        rows.append(fields | {"error": result.get("error", "")} | by_present_names(result["numbers"]))
        facts.append(result["facts"])
    good = pd.DataFrame([row for row in rows if not row["error"]])
    return {
        "name": table.name,
        "title": table.title,
        "question": table.question,
        "command": command,
        "quick": quick,
        "seeds": sorted({row["seed"] for row in rows}),
        "planned": len(trials),
        "finished": len(rows),
        **{name: _distinct(fact[name] for fact in facts) for name in ("machine", "cores", "threads", "device")},
        "versions": [_together([fact["versions"] for fact in facts])],
        "source": _distinct(fact["source"] for fact in facts),
        "columns": [asdict(column) for column in table.columns],
        "findings": table.findings(good) if len(good) else [],
        "rows": rows,
        "definitions": [asdict(trial) for trial in trials if trial.seed == trials[0].seed],
    }


def write_table(contents: dict[str, Any], folder: Path) -> Path:
    """Write ``NAME.csv``, ``NAME.json`` and, made from it, ``NAME.md``; give the path of the last."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = contents["name"] + ("-quick" if contents["quick"] else "")
    text = json.dumps(contents, indent=1) + "\n"
    write_atomically(folder / f"{stem}.json", text.encode())
    write_atomically(folder / f"{stem}.csv", pd.DataFrame(contents["rows"]).round(6).to_csv(index=False).encode())
    write_atomically(folder / f"{stem}.md", page(json.loads(text)).encode())
    return folder / f"{stem}.md"


def _distinct(values: Any) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


def _together(versions: Sequence[dict[str, str]]) -> dict[str, str]:
    """Every package with its version, or versions where trials had several."""
    names = _distinct(name for each in versions for name in each)
    return {name: "/".join(_distinct(each[name] for each in versions if name in each)) for name in names}
