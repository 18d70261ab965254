"""What tells one training set from another."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_vmm.observations.one_hot_rows import OneHotRows
from pyro_vmm.observations.sparse_rows import Covariate, Rows, SparseRows

ROWS_AT_ONCE = 4096
"""Rows that are made one-hot at a time."""


def fingerprint(x: Rows, covariates: Mapping[str, Covariate]) -> str:
    """SHA-256 of the observations ``[N, F]`` and of their covariates; categories count as one-hot rows."""
    return digest_of(_arrays(x, covariates))


def digest_of(arrays: Iterable[NDArray[Any] | OneHotRows]) -> str:
    """SHA-256 of arrays with their shapes and dtypes; categories count as one-hot rows."""
    digest = hashlib.sha256()
    for array in arrays:
        blocks = _blocks(array) if isinstance(array, OneHotRows) else [array]
        dtype = np.dtype(np.float32) if isinstance(array, OneHotRows) else array.dtype
        digest.update(f"{array.shape} {dtype};".encode())
        for block in blocks:
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def _arrays(x: Rows, covariates: Mapping[str, Covariate]) -> Iterator[NDArray[Any] | OneHotRows]:
    if isinstance(x, SparseRows):
        # Places as 64-bit numbers: SciPy chooses their width by version and size.
        yield from (x.counts.indptr.astype(np.int64), x.counts.indices.astype(np.int64), x.counts.data)
    else:
        yield x.cpu().numpy()
    yield from arrays_of(covariates)


def arrays_of(covariates: Mapping[str, Covariate]) -> Iterator[NDArray[Any] | OneHotRows]:
    """Covariates in the order of their names."""
    for name in sorted(covariates):
        values = covariates[name]
        yield values if isinstance(values, OneHotRows) else values.cpu().numpy()


def _blocks(values: OneHotRows) -> Iterator[NDArray[Any]]:
    for rows in torch.arange(len(values)).split(ROWS_AT_ONCE):
        yield values.dense(rows, torch.device("cpu")).numpy()
