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
    """Blocks of rows ``[B, F]`` from the first to the last; all at once where they lie together in memory."""
    from scipy import sparse

    blocks = np.array_split(np.arange(len(observations)), max(1, -(-len(observations) // ROWS_AT_ONCE)))
    if isinstance(observations, InMemory) and isinstance(observations.x, SparseRows):
        held = observations.x
        yield from [held.counts] if held.rows is None else map(held.take, blocks)
    elif isinstance(observations, OnDisk):
        yield from map(observations.sparse, blocks)
    else:
        for x, _ in in_order(observations, ROWS_AT_ONCE, torch.device("cpu")):
            yield sparse.csr_array(x.numpy())


def as_sparse(observations: Observations) -> "csr_array":
    """All observations as one sparse matrix ``[N, F]``."""
    from scipy import sparse

    blocks = list(sparse_blocks(observations))
    return blocks[0] if len(blocks) == 1 else sparse.csr_array(sparse.vstack(blocks))
