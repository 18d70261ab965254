"""What tells one training set from another."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from pyro_vmm.training.sparse_rows import Rows, SparseRows


def fingerprint(x: Rows, covariates: Mapping[str, Tensor]) -> str:
    """SHA-256 of the observations ``[N, F]`` and of what stands beside them."""
    digest = hashlib.sha256()
    for values in _arrays(x, covariates):
        digest.update(f"{values.shape} {values.dtype};".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _arrays(x: Rows, covariates: Mapping[str, Tensor]) -> Iterator[Any]:
    if isinstance(x, SparseRows):
        # Places as 64-bit numbers: SciPy chooses their width by version and size.
        yield from (x.counts.indptr.astype(np.int64), x.counts.indices.astype(np.int64), x.counts.data)
    else:
        yield x.cpu().numpy()
    for name in sorted(covariates):
        yield covariates[name].cpu().numpy()
