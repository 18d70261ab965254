"""Scores as a plain text table and as JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.errors import UserError


def format_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Align rows of scores as a plain text table.

    Parameters
    ----------
    rows : sequence of mappings
        One mapping of column name to value for each row. The columns are all names in order of first appearance; a
        value that is missing, None or NaN is shown as ``-``.

    Returns
    -------
    str
        A line of names, a rule, and one line for each row, without a newline at the end. Numbers stand right, text
        left; numbers that are not whole get about four significant digits. Empty where there are no rows.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if not columns:
        return ""
    aligned = []
    for name in columns:
        values = [row.get(name) for row in rows]
        cells = [_one_line(str(name)), *(_format_cell(value) for value in values)]
        width = max(len(cell) for cell in cells)
        numeric = all(value is None or _is_number(value) for value in values)
        cells.insert(1, "-" * width)
        aligned.append([cell.rjust(width) if numeric else cell.ljust(width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*aligned, strict=True))


def write_scores(path: str | os.PathLike[str], scores: object) -> None:
    """Write scores as JSON, a number that is not finite becoming null.

    Parameters
    ----------
    path : path-like
        File to write; its folder is made where it does not exist.
    scores : mapping, sequence or scalar
        Nested as wanted; numpy numbers and arrays become plain numbers and lists.

    Raises
    ------
    UserError
        If a value has no place in JSON; nothing is written then.
    """
    text = json.dumps(_plain(scores), indent=2, allow_nan=False) + "\n"
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, text.encode(errors="backslashreplace"))


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _format_cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Integral) or not isinstance(value, Real):
        return _one_line(str(value))
    number = float(value)
    if math.isnan(number):
        return "-"
    size = abs(number)
    if size != 0.0 and (size < 1e-3 or 1e6 <= size < math.inf):
        return f"{number:.3e}"
    # Whole hundreds carry no fourth decimal worth reading, but an accuracy does.
    decimals = 4 if size < 10.0 else 2 if size < 1000.0 else 1
    return f"{number:.{decimals}f}"


def _plain(value: object) -> Any:
    """Turn the value into what JSON has: null, booleans, finite numbers, strings, lists and objects."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise UserError(
        f"A score of type {type(value).__name__} cannot be written as JSON: give numbers, strings or lists."
    )
