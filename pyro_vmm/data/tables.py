"""CSV and Parquet files, taken apart into features, ids and labels."""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.arrays import listed
from pyro_vmm.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

ID_COLUMNS = ("id", "index")
"""Names, in any case, by which a column is taken as the ids."""

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True, eq=False)
class Table:
    """The parts of a table file.

    Attributes
    ----------
    features
        Numeric columns, ``[N, F]``, in the file's order.
    ids
        Text, ``[N]``, or None where the file has none.
    labels
        The label column as text, ``[N]``, or None where none was named.
    """

    features: "pd.DataFrame"
    ids: NDArray[np.str_] | None
    labels: NDArray[np.str_] | None


def read_table(path: Path, label_column: str | None = None) -> Table:
    """Read a table with a row for each observation.

    Ids are the column called ``id`` or ``index`` in any case, a CSV file's first column where it has no name, or a
    stored index of a Parquet file; where there is none of these, the first column of text, if all its values differ.
    Every column but the ids and the labels is a feature.

    Parameters
    ----------
    path
        A ``.csv`` (commas, one header line, UTF-8) or ``.parquet`` file.
    label_column
        Name of the column that holds labels.

    Returns
    -------
    Table
        Features, ids and labels.

    Raises
    ------
    UserError
        If the file is malformed, a header is missing, a column is unnamed, repeated or not numeric, an id or a label
        is missing, more than one column could hold the ids, or Parquet is asked for without pyarrow.
    """
    frame = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
    names = [str(name) for name in frame.columns]
    if label_column is not None and label_column not in names:
        raise UserError(f"{path} has no column {label_column!r} for labels: its columns are {listed(names)}.")
    if len(frame) == 0:
        raise UserError(f"{path} has column names but no observations.")
    id_column = _id_column(path, frame, label_column)
    features = frame.drop(columns=[name for name in (id_column, label_column) if name is not None])
    _check_numeric(path, features)
    return Table(
        features=features,
        ids=None if id_column is None else _text_column(path, frame, id_column),
        labels=None if label_column is None else _text_column(path, frame, label_column),
    )


@contextmanager
def csv_rows(path: Path) -> Iterator[Iterator[list[str]]]:
    """Open a CSV file and iterate over its rows of text, a malformed file told as a :class:`UserError`."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield csv.reader(file, strict=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8 ({error}): write it again.") from error


def _read_csv(path: Path) -> "pd.DataFrame":
    import pandas as pd

    with csv_rows(path) as rows:
        header = next(rows, [])
    _check_header(path, header)
    # Rows longer or shorter than the header would be shifted, cut or filled up by pandas, mostly without a word.
    _check_row_lengths(path, len(header))
    try:
        # In a table of one column a blank line is a missing value; in a wider one it says nothing.
        blank = len(header) > 1
        frame = pd.read_csv(path, encoding="utf-8-sig", low_memory=False, skip_blank_lines=blank, index_col=False)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path} is not a well-formed CSV file ({' '.join(str(error).split())}).") from error
    return frame.set_axis(header, axis=1)


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not any(header):
        raise UserError(f"{path} has a blank first line: give the names of its columns there.")
    if len(header) == 1 and re.search(r"[;\t]", header[0]):
        raise UserError(f"{path} separates its columns with semicolons or tabs: use commas.")
    for position, name in enumerate(header):
        # An unnamed first column is what pandas writes for its index.
        if not name.strip() and position > 0:
            raise UserError(f"{path} has no name for column {position} (counting from 0): name it in the first line.")
        if name in header[:position]:
            raise UserError(f"{path} has more than one column called {name!r}: give each its own name.")
    numbers = [name for name in header if _NUMBER.fullmatch(name)]
    # Names such as 0, 1, 2, ... or 2010, 2011, 2012, ... are names; any other numbers are a row of data.
    counted = all(name.isdecimal() for name in numbers) and len(numbers) > 2
    if numbers and not (counted and np.all(np.diff(np.array(numbers, dtype=np.float64)) == 1)):
        raise UserError(
            f"{path} has the number {numbers[0]} among its column names, so its first line looks like data: "
            "add a first line with the names of the columns."
        )


def _check_row_lengths(path: Path, num_columns: int) -> None:
    with csv_rows(path) as rows:
        for row in rows:
            if row and len(row) != num_columns:
                # `rows` is a csv.reader, which counts lines (a quoted field may span several).
                line = getattr(rows, "line_num", 0)
                raise UserError(
                    f"{path} has {len(row)} fields in line {line} but {num_columns} column names: "
                    "give every line as many fields as the first."
                )


def _read_parquet(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        import pyarrow
    except ImportError as error:
        raise UserError(f"{path} needs pyarrow to be read: install pyarrow or save the table as .csv.") from error
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except (pyarrow.ArrowException, OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a Parquet file that can be read: it may be truncated or damaged.") from error
    if isinstance(frame.columns, pd.MultiIndex) or not all(isinstance(name, str) for name in frame.columns):
        raise UserError(f"{path} has column names that are not text: rename its columns.")
    if isinstance(frame.index, pd.RangeIndex):
        return frame
    name = frame.index.name
    index_name = str(name) if isinstance(name, str) and name.lower() in ID_COLUMNS else "index"
    if isinstance(frame.index, pd.MultiIndex) or index_name in frame.columns:
        raise UserError(f"{path} has a stored index that cannot be the ids: reset or drop the index before saving.")
    frame.insert(0, index_name, frame.index)
    return frame


def _id_column(path: Path, frame: "pd.DataFrame", label_column: str | None) -> str | None:
    names = [name for name in frame.columns if name != label_column]
    named = [name for name in names if name.lower() in ID_COLUMNS or not name.strip()]
    if len(named) > 1:
        raise UserError(f"{path} has several columns that could hold the ids, {listed(named)}: keep one of them.")
    if named:
        return str(named[0])
    for name in names:
        if not _is_numeric(frame[name]):
            is_text = all(isinstance(value, str) for value in frame[name])
            return str(name) if is_text and frame[name].is_unique else None
    return None


def _is_numeric(column: "pd.Series[Any]") -> bool:
    from pandas.api.types import is_numeric_dtype

    return bool(is_numeric_dtype(column.dtype))


def _check_numeric(path: Path, features: "pd.DataFrame") -> None:
    refused = [name for name in features.columns if not _is_numeric(features[name])]
    if refused:
        raise UserError(
            f"{path} has columns that are not numeric, {listed(refused)}: remove or encode them, name one as the "
            "label column, or call the one with the ids 'id'."
        )
    if features.shape[1] == 0:
        raise UserError(f"{path} has no numeric column that could be a feature.")


def _text_column(path: Path, frame: "pd.DataFrame", name: str) -> NDArray[np.str_]:
    """Return a column [N] as text, exactly as written where the file is text."""
    import pandas as pd

    if path.suffix.lower() == ".csv":
        # Read again as text: 007 is not 7, and a class may well be called NA.
        position = frame.columns.get_loc(name)
        column = pd.read_csv(
            path,
            encoding="utf-8-sig",
            dtype=str,
            usecols=[position],
            keep_default_na=False,
            skip_blank_lines=frame.shape[1] > 1,
        ).iloc[:, 0]
    else:
        column = frame[name]
    missing = np.asarray(column.isna() | (column.astype(str) == ""), dtype=bool)
    if missing.any():
        raise UserError(
            f"{path} has nothing in column {name!r} for observation {int(missing.argmax())} (counting from 0): "
            "fill it in."
        )
    return np.array(column.astype(str).tolist(), dtype=np.str_)
