"""Where data lie: one protocol, and what implements it."""

from pyro_vmm.observations.base import Groups, Minibatch, Observations, in_order
from pyro_vmm.observations.in_memory import InMemory, as_observations
from pyro_vmm.observations.on_disk import OnDisk, ReadRows, Room, StoredRows
from pyro_vmm.observations.one_hot_rows import OneHotRows
from pyro_vmm.observations.orders import minibatches, num_minibatches, split_rows
from pyro_vmm.observations.sparse_blocks import as_sparse, sparse_blocks
from pyro_vmm.observations.sparse_rows import Covariate, Rows, SparseRows

__all__ = [
    "Covariate",
    "Groups",
    "InMemory",
    "Minibatch",
    "Observations",
    "OnDisk",
    "OneHotRows",
    "ReadRows",
    "Room",
    "Rows",
    "SparseRows",
    "StoredRows",
    "as_observations",
    "as_sparse",
    "in_order",
    "minibatches",
    "num_minibatches",
    "sparse_blocks",
    "split_rows",
]
