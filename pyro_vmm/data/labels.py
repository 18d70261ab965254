"""Known classes of the observations, read only to score a clustering and never to fit one."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.inputs import check_file, read_numpy_file
from pyro_vmm.data.tables import ID_COLUMNS, csv_rows
from pyro_vmm.errors import UserError

LABEL_SUFFIXES = (".csv", ".npy", ".txt")


def load_labels(
    spec: str,
    ids: Sequence[str] | NDArray[np.str_],
    *,
    dataset_labels: Mapping[str, NDArray[Any]] | NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Read the label of each observation from a file or from the input itself.

    Parameters
    ----------
    spec
        A name among ``dataset_labels``, or else the path of a file (write ``./NAME`` for a file called like a name):

        ``.csv`` (commas, one header line, UTF-8)
            With one column, labels in the order of ``ids``. With more, labels matched to ``ids`` in any order: ids
            are the column called ``id`` or ``index`` in any case, or else the first; labels are the other column, or
            the one called ``label`` or ``labels`` among several. Labels of ids that are not among ``ids`` go unused.
        ``.npy``
            An array ``[N]`` in the order of ``ids``.
        ``.txt``
            A label on each line and no header, in the order of ``ids``.
    ids
        Ids of the observations, ``[N]``.
    dataset_labels
        Labels that came with the input, ``[N]`` each, by name; an array alone is known as ``"label"``.

    Returns
    -------
    numpy.ndarray
        ``[N]``, in the order of ``ids``; text from ``.csv`` and ``.txt``.

    Raises
    ------
    UserError
        If ``spec`` is neither, the file is malformed, the number of labels is not N, or an id has no label or two.
    """
    known = dataset_labels if isinstance(dataset_labels, Mapping) else {"label": dataset_labels}
    columns = {name: np.asarray(labels) for name, labels in known.items() if labels is not None}
    if spec in columns:
        return _in_order(f"The column {spec!r}", columns[spec], len(ids))
    path = Path(spec)
    if path.suffix.lower() not in LABEL_SUFFIXES and not os.path.exists(path):
        known_names = ", ".join(map(repr, columns)) or "none"
        raise UserError(
            f"Labels {spec!r} are neither a column of the input (known: {known_names}) nor a file ending in "
            f"{' or '.join(LABEL_SUFFIXES)}."
        )
    check_file(path, LABEL_SUFFIXES, "a file of labels")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _in_order(str(path), read_numpy_file(path)["X"], len(ids))
    if suffix == ".txt":
        return _in_order(str(path), _read_lines(path), len(ids))
    return _read_csv(path, [str(each) for each in ids])


def _in_order(source: str, labels: NDArray[Any], num_observations: int) -> NDArray[Any]:
    """Check that ``labels`` are ``[num_observations]`` with none missing."""
    import pandas as pd

    if labels.ndim != 1:
        raise UserError(f"{source} has labels of shape {labels.shape}: give one label for each observation.")
    if len(labels) != num_observations:
        raise UserError(f"{source} has {len(labels)} labels for {num_observations} observations: give one for each.")
    missing = np.char.str_len(labels) == 0 if labels.dtype.kind in "US" else np.asarray(pd.isna(labels), dtype=bool)
    if missing.any():
        raise UserError(f"{source} has no label for observation {int(missing.argmax())} (counting from 0): add it.")
    return labels


def _read_lines(path: Path) -> NDArray[np.str_]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8: write it again.") from error
    return np.array([line.strip() for line in lines], dtype=np.str_)


def _read_csv(path: Path, ids: list[str]) -> NDArray[np.str_]:
    with csv_rows(path) as reader:
        header, *rows = list(reader) or [[]]
    if len(header) == 1:
        # The reader gives no field at all for a blank line, which here is a missing label.
        return _in_order(str(path), np.array([row[0] if row else "" for row in rows], dtype=np.str_), len(ids))
    id_position, label_position = _positions(path, header)
    labels: dict[str, str] = {}
    for number, row in enumerate(row for row in rows if row):
        if len(row) != len(header):
            raise UserError(
                f"{path} has {len(row)} fields in row {number} (counting from 0 after the header) but {len(header)} "
                "column names: give every row as many fields as the header."
            )
        if row[id_position] in labels:
            raise UserError(f"{path} has more than one label for the id {row[id_position]!r}: keep one.")
        labels[row[id_position]] = row[label_position]
    missing = [each for each in ids if not labels.get(each)]
    if missing:
        raise UserError(
            f"{path} has no label for {len(missing)} of {len(ids)} observations, the first with the id "
            f"{missing[0]!r}: add them to its column {header[id_position]!r}."
        )
    return np.array([labels[each] for each in ids], dtype=np.str_)


def _positions(path: Path, header: list[str]) -> tuple[int, int]:
    """Find the columns of the ids and of the labels."""
    named_ids = [position for position, name in enumerate(header) if name.strip().lower() in ID_COLUMNS]
    if len(named_ids) > 1:
        raise UserError(f"{path} has more than one column of ids: keep one called 'id'.")
    id_position = named_ids[0] if named_ids else 0
    others = [position for position in range(len(header)) if position != id_position]
    if len(others) > 1:
        others = [position for position in others if header[position].strip().lower() in ("label", "labels")]
    if len(others) != 1:
        raise UserError(f"{path} must have one column of labels beside its ids: call it 'label' or remove the others.")
    return id_position, others[0]
