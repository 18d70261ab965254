"""What of an AnnData its files have no place for, found before anything depends on its being written."""

import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import h5py
    import pandas as pd
    from anndata import AnnData

RESERVED = "_index"
"""What AnnData calls the names of rows in its files; no column may be called so."""


@contextmanager
def as_h5ad_is_written() -> Iterator[None]:
    """Within, AnnData writes columns of text as they are, and without remarks on formats to come."""
    import anndata

    with warnings.catch_warnings(), anndata.settings.override(allow_write_nullable_strings=True):
        warnings.simplefilter("ignore")
        yield


def leave_out_unwritable(adata: "AnnData") -> list[str]:
    """Take out of ``adata`` what no ``.h5ad`` can hold, so that the rest can be written.

    Large matrices are not looked through: whatever their numbers are, they can be written.

    Returns
    -------
    list of str
        A sentence for each thing left out.
    """
    import h5py

    left_out: list[str] = []
    with as_h5ad_is_written(), h5py.File("scratch", "w", driver="core", backing_store=False) as scratch:
        for name in ("obs", "var"):
            frame = _writable_frame(scratch, getattr(adata, name), name, left_out)
            if frame is not None:
                setattr(adata, name, frame)
        for name in ("obsm", "varm", "obsp", "varp", "layers"):
            _keep_writable(scratch, getattr(adata, name), name, left_out)
        _keep_writable(scratch, adata.uns, "uns", left_out)
        if adata.raw is not None:
            _make_raw_writable(scratch, adata, left_out)
    return left_out


def _make_raw_writable(scratch: "h5py.File", adata: "AnnData", left_out: list[str]) -> None:
    from anndata import AnnData

    raw = adata.raw
    frame = _writable_frame(scratch, raw.var, "raw.var", left_out)
    varm = dict(raw.varm)
    _keep_writable(scratch, varm, "raw.varm", left_out)
    if frame is not None or len(varm) < len(raw.varm):
        adata.raw = AnnData(X=raw.X, var=raw.var if frame is None else frame, varm=varm)


def _writable_frame(
    scratch: "h5py.File", frame: "pd.DataFrame", name: str, left_out: list[str]
) -> "pd.DataFrame | None":
    """The frame without the columns that cannot be written; None where all can."""
    keep = np.ones(frame.shape[1], dtype=bool)
    seen = set()
    for place, column in enumerate(frame.columns):
        values = frame.iloc[:, place]
        if column == RESERVED:
            reason: str | None = "AnnData keeps that name for itself"
        elif column in seen:
            reason = "it is there more than once, and the first is kept"
        else:
            # A text column may hold anything further down; all others are of one kind.
            values = values if values.dtype == object else values[:1]
            reason = _why_not(scratch, column, values.to_frame().reset_index(drop=True))
        seen.add(column)
        if reason is not None:
            keep[place] = False
            left_out.append(_sentence(f"The column {column!r} of {name}", reason))
    index_name = frame.index.name
    columns = set(frame.columns[keep])
    index_is_free = index_name not in columns or frame.index.to_series().equals(frame.loc[:, index_name])
    reason = None if index_name is None else _why_not(scratch, index_name, 1)
    if not index_is_free:
        reason = "a column is called so, too"
    if reason is None and keep.all():
        return None
    kept = frame.loc[:, keep]
    if reason is not None:
        left_out.append(_sentence(f"The name {index_name!r} of the index of {name}", reason))
        kept = kept.rename_axis(index=None)
    return kept


def _keep_writable(scratch: "h5py.File", values: MutableMapping[Any, Any], name: str, left_out: list[str]) -> None:
    """Take out of a mapping, and of those in it, what cannot be written."""
    for key in list(values):
        value = values[key]
        if key is None:  # X among the layers, since AnnData 0.13
            continue
        if isinstance(value, MutableMapping) and isinstance(key, str):
            _keep_writable(scratch, value, f"{name}[{key!r}]", left_out)
            continue
        reason = _why_not(scratch, key, _beginning(value))
        if reason is not None:
            del values[key]
            left_out.append(_sentence(f"{name}[{key!r}]", reason))


def _beginning(value: Any) -> Any:
    """Enough of a value to know whether all of it can be written."""
    from scipy import sparse

    of_numbers = isinstance(value, np.ndarray) and value.dtype.kind in "biufc"
    return value[:1] if (of_numbers and value.ndim > 0) or sparse.issparse(value) else value


def _why_not(scratch: "h5py.File", key: Any, value: Any) -> str | None:
    """Why AnnData does not write the value under this name; None if it does."""
    import anndata

    if not isinstance(key, str):
        return f"its name is no text but of type {type(key).__name__}"
    if {"", "."} & set(key.split("/")):
        return "its name is also a path in the file"
    try:
        anndata.io.write_elem(scratch, "trial", {key: value})
    except Exception as error:  # a dozen kinds of errors
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return lines[0].rstrip(".: ")
    return None


def _sentence(what: str, reason: str) -> str:
    return (
        f"{what} cannot be written by AnnData ({reason}) and is left out of adata.h5ad: rename or convert "
        "it in the input to keep it."
    )
