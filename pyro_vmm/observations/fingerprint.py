"""What tells one training set from another."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_vmm.observations.one_hot_rows import OneHotRows
from pyro_vmm.observations.sparse_rows import Covariate, Rows, SparseRows

ROWS_AT_ONCE = 4096
"""Rows that are made one-hot, or gathered, at a time."""


class InBlocks(NamedTuple):
    """An array that is made a block at a time."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Iterator[NDArray[Any]]


def fingerprint(x: Rows, covariates: Mapping[str, Covariate]) -> str:
    """SHA-256 of the observations ``[N, F]`` and of their covariates; categories count as one-hot rows."""
    return digest_of(_arrays(x, covariates))


def digest_of(arrays: Iterable[NDArray[Any] | OneHotRows | InBlocks]) -> str:
    """SHA-256 of arrays with their shapes and dtypes; categories count as one-hot rows."""
    digest = hashlib.sha256()
    for array in arrays:
        if isinstance(array, OneHotRows):
            array = InBlocks(array.shape, np.dtype(np.float32), _one_hot(array))
        digest.update(f"{array.shape} {array.dtype};".encode())
        for block in array.blocks if isinstance(array, InBlocks) else [array]:
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def _arrays(x: Rows, covariates: Mapping[str, Covariate]) -> Iterator[NDArray[Any] | OneHotRows | InBlocks]:
    if isinstance(x, SparseRows):
        # Places as 64-bit numbers: SciPy chooses their width by version and size.
        starts = np.concatenate([[0], np.cumsum(x.lengths)])
        values = (int(starts[-1]),)
        yield starts
        yield InBlocks(values, np.dtype(np.int64), (block.indices.astype(np.int64) for block in _gathered(x)))
        yield InBlocks(values, x.counts.dtype, (block.data for block in _gathered(x)))
    else:
        yield x.cpu().numpy()
    yield from arrays_of(covariates)


def arrays_of(covariates: Mapping[str, Covariate]) -> Iterator[NDArray[Any] | OneHotRows]:
    """Covariates in the order of their names."""
    for name in sorted(covariates):
        values = covariates[name]
        yield values if isinstance(values, OneHotRows) else values.cpu().numpy()


def _gathered(x: SparseRows) -> Iterator[Any]:
    return (x.take(np.arange(first, min(first + ROWS_AT_ONCE, len(x)))) for first in range(0, len(x), ROWS_AT_ONCE))


def _one_hot(values: OneHotRows) -> Iterator[NDArray[Any]]:
    for rows in torch.arange(len(values)).split(ROWS_AT_ONCE):
        yield values.dense(rows, torch.device("cpu")).numpy()
