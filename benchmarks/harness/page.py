"""A table's JSON as a Markdown page."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pyro_vmm.scoring import by_present_names

SUREST: dict[str, Any] = {
    "key": "accuracy_surest_observation",
    "heading": "accuracy, surest observation",
    "decimals": 3,
}
"""Shown where pages of version 0.1 had the purity, which is the accuracy, many-to-one."""


def page(contents: Mapping[str, Any]) -> str:
    """The page of one table: every number is the mean over the seeds with the least and the greatest."""
    quick = " (quick form)" if contents["quick"] else ""
    columns = [SUREST if column["key"] == "purity" else column for column in contents["columns"]]
    parts = [f"# {contents['title']}{quick}", contents["question"]]
    rows = pd.DataFrame([by_present_names(row) for row in contents["rows"]])
    if contents["finished"] < contents["planned"]:
        parts.append(f"**{contents['finished']} of {contents['planned']} trials have been run.**")
    if len(rows):
        for group, of_group in rows.groupby("group", sort=False):
            parts += [f"## {group}"] * bool(group) + [grid(of_group, columns)]
    if contents["findings"]:
        parts.append("\n".join(f"* {sentence}" for sentence in contents["findings"]))
    return "\n\n".join([*parts, provenance(contents)]) + "\n"


def grid(rows: pd.DataFrame, columns: Sequence[Mapping[str, Any]]) -> str:
    """One Markdown table: a line for each data set and method, in order of appearance."""
    shown = [column for column in columns if column["key"] in rows and rows[column["key"]].notna().any()]
    told = (rows["told"] != "").any()
    lines = [["data", "method", *(["is told"] if told else []), "seeds", *(column["heading"] for column in shown)]]
    lines.append(["---"] * len(lines[0]))
    for (data, method, said), cells in rows.groupby(["data", "method", "told"], sort=False):
        good = cells[cells["error"] == ""]
        lost = len(cells) - len(good)
        seeds = f"{len(cells)}" + (f" ({lost} not finite)" if lost else "")
        numbers = [spread(good[column["key"]].dropna(), column["decimals"]) for column in shown]
        lines.append([str(data), str(method), *([str(said)] if told else []), seeds, *numbers])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(values: pd.Series, decimals: int) -> str:
    """Mean and range over the seeds."""
    if values.empty:
        return ""
    mean, low, high = (f"{value:.{decimals}f}" for value in (values.mean(), values.min(), values.max()))
    return mean if low == high else f"{mean} ({low} to {high})"


def provenance(contents: Mapping[str, Any]) -> str:
    """What gave the numbers."""
    versions = "; ".join(
        ", ".join(f"{name} {number}" for name, number in each.items()) for each in contents["versions"]
    )
    source = "; ".join(", ".join(f"{name} {digest}" for name, digest in each.items()) for each in contents["source"])
    lost = ", but those not finite" if any(row["error"] for row in contents["rows"]) else ""
    lines = [
        f"    {contents['command']}",
        "",
        f"Means over the seeds {', '.join(map(str, contents['seeds']))}, least and greatest in brackets; all seeds that were "
        f"run are in it{lost}. Labels are read after the fit, for the scores, unless the table says that a method is told more.",
        "",
        f"{'; '.join(contents['machine'])}; cores {_listed(contents['cores'])}, threads a trial {_listed(contents['threads'])}, "
        f"device {_listed(contents['device'])}. {versions}. Source digests: {source}.",
    ]
    return "## What gave these numbers\n\n" + "\n".join(lines)


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))
