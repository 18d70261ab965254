"""One pass over sparse observations, wherever these lie."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_vmm.observations.base import Observations, in_order
from pyro_vmm.observations.in_memory import InMemory
from pyro_vmm.observations.on_disk import OnDisk
from pyro_vmm.observations.sparse_rows import SparseRows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ROWS_AT_ONCE = 4096


def sparse_blocks(observations: Observations) -> "Iterator[csr_array]":
    """Blocks of rows ``[B, F]`` from the first to the last; all at once where they are in memory, sparse."""
    from scipy import sparse

    if isinstance(observations, InMemory) and isinstance(observations.x, SparseRows):
        yield observations.x.counts
    elif isinstance(observations, OnDisk):
        for rows in np.array_split(np.arange(len(observations)), -(-len(observations) // ROWS_AT_ONCE)):
            yield observations.sparse(rows)
    else:
        for x, _ in in_order(observations, ROWS_AT_ONCE, torch.device("cpu")):
            yield sparse.csr_array(x.numpy())


def as_sparse(observations: Observations) -> "csr_array":
    """All observations as one sparse matrix ``[N, F]``."""
    from scipy import sparse

    blocks = list(sparse_blocks(observations))
    return blocks[0] if len(blocks) == 1 else sparse.csr_array(sparse.vstack(blocks))
