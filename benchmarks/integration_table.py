"""The results of the integration benchmark as a CSV, its provenance as JSON, and Markdown to read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from integration_methods import Absent, seurat_version

SCORES = ("nmi", "ari", "num_clusters", "leiden_nmi", "leiden_ari", "leiden_num_clusters", "total", "bio", "batch")
COLUMNS = ("file", "method", "seed", *SCORES, "epochs", "cpu_seconds", "wall_seconds")
DECIMALS = dict.fromkeys(SCORES, 3) | {"num_clusters": 1, "leiden_num_clusters": 1, "epochs": 0, "cpu_seconds": 1}
AVERAGED = ("nmi", "ari", "leiden_nmi", "leiden_ari", "total", "bio", "batch")
COMMANDS = ("fit --data DATA", "score --data DATA", "table")


def rows(work: Path, files: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """One row for each fit with scores, in the order given; columns as in the CSV."""
    found: list[dict[str, Any]] = []
    for file in files:
        for method in methods:
            for seed in seeds:
                name = f"{method}-seed{seed}"
                scores = work / "scores" / file / f"{name}.json"
                if scores.exists():
                    facts = json.loads((work / "fits" / file / name / "facts.json").read_text())
                    found.append(facts | json.loads(scores.read_text()))
    return pd.DataFrame(found).reindex(columns=COLUMNS)


def provenance(work: Path, table: pd.DataFrame) -> dict[str, Any]:
    """What made the rows: commands, versions, machine, and what the data were after the choice of genes."""
    keys = list(zip(table["file"], table["method"], table["seed"], strict=True))
    facts = [json.loads((work / "fits" / f / f"{m}-seed{s}" / "facts.json").read_text()) for f, m, s in keys]
    scores = [json.loads((work / "scores" / f / f"{m}-seed{s}.json").read_text()) for f, m, s in keys]
    versions: dict[str, set[str]] = {}
    for fact in facts:
        for package, number in fact["versions"].items():
            versions.setdefault(package, set()).add(number)
    for row in scores:
        versions.setdefault("scib-metrics", set()).add(row.get("scib_metrics", "not run"))
    absent = {}
    try:
        seurat_version()
    except Absent as missing:
        absent["seurat"] = str(missing)
    return {
        "absent": absent,
        "commands": [f"python benchmarks/integration.py {command}" for command in COMMANDS],
        "versions": {package: sorted(numbers) for package, numbers in sorted(versions.items())},
        "seeds": sorted(table["seed"].unique().tolist()),
        "machines": sorted({fact["machine"] for fact in facts}),
        "cores": sorted({fact["cores"] for fact in facts}),
        "threads": sorted({fact["threads"] for fact in facts}),
        "leiden": facts[0]["leiden"],
        "options": {fact["method"]: fact["options"] for fact in facts if "same_as" not in fact["options"]},
        "same as another": sorted({f"{f['file']}: {f['method']}" for f in facts if "same_as" in f["options"]}),
        "data": {fact["file"]: fact["data"] for fact in facts},
        "cells seen by scib-metrics": {f: row.get("scib_cells") for (f, _, _), row in zip(keys, scores, strict=True)},
    }


def page(table: pd.DataFrame, facts: dict[str, Any]) -> str:
    """What ``integration.md`` holds, made from the CSV and the JSON beside it."""
    absent = [f"* `{method}` is not in it: {reason}." for method, reason in facts.get("absent", {}).items()]
    late = facts.get("fitted later than the rest")
    later = (
        []
        if late is None
        else [f"Fitted later than the rest: {', '.join(late['methods'])}. {late['why'].capitalize()}."]
    )
    versions = ", ".join(f"{package} {'/'.join(numbers)}" for package, numbers in facts["versions"].items())
    parts = [
        "# Integration and clustering of single-cell counts",
        "NMI and ARI of the clusters (a method's own, else Leiden's), Leiden's on the embedding, and the aggregates of "
        "scib-metrics: means over the seeds, least and greatest in brackets. Labels are read after the fits. What the "
        "numbers mean is told in the [README](../README.md#integration).",
        over_files(table),
        *(["\n".join(absent)] if absent else []),
        by_file(table),
        "## What gave these numbers",
        "\n".join(f"    {command}" for command in facts["commands"]),
        f"Seeds {facts['seeds']}; {', '.join(facts['machines'])}; cores {facts['cores']}, threads {facts['threads']}. {versions}.",
        *later,
    ]
    return "\n\n".join(parts) + "\n"


def spread(values: pd.Series, decimals: int) -> str:
    """Mean and range of a score over seeds."""
    if values.isna().all():
        return ""
    mean, low, high = (f"{value:.{decimals}f}" for value in (values.mean(), values.min(), values.max()))
    return mean if low == high else f"{mean} ({low}-{high})"


def as_markdown(frame: pd.DataFrame) -> str:
    """A frame of strings as a Markdown table."""
    lines = [list(frame.columns), ["---"] * frame.shape[1], *frame.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def by_file(table: pd.DataFrame) -> str:
    """Mean (least-greatest) over the seeds, one table a file."""
    parts = []
    for file, of_file in table.groupby("file", sort=False):
        lines = []
        for method, of_method in of_file.groupby("method", sort=False):
            cells = {name: spread(of_method[name], decimals) for name, decimals in DECIMALS.items()}
            lines.append({"method": str(method), "seeds": str(len(of_method))} | cells)
        parts.append(f"### {file}\n\n{as_markdown(pd.DataFrame(lines))}")
    return "\n\n".join(parts)


def over_files(table: pd.DataFrame) -> str:
    """Means over the files of the means over seeds; a score some file lacks is averaged over those that have it."""
    means = table.groupby(["file", "method"], sort=False)[list(AVERAGED)].mean()
    lines = []
    for method, of_method in means.groupby("method", sort=False):
        cells = {name: "" if of_method[name].isna().all() else f"{of_method[name].mean():.3f}" for name in AVERAGED}
        counts = {"files": str(len(of_method)), "with batches": str(of_method["total"].notna().sum())}
        lines.append({"method": str(method)} | counts | cells)
    return f"### Mean over files\n\n{as_markdown(pd.DataFrame(lines))}"
