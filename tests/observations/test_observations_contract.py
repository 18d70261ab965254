"""Observations in memory, dense and sparse, and those of a user's own from a memory map, keep the contract."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from pyro_vmm.observations import InMemory, Minibatch, SparseRows, minibatches
from pyro_vmm.testing import ObservationsContract


class TestDense(ObservationsContract):
    def make_observations(self, x):
        return InMemory(x)


class TestSparse(ObservationsContract):
    def make_observations(self, x):
        return InMemory(SparseRows(csr_array(x.numpy())))


class OnDisk:
    """A data source of a user's own: a file of NumPy's, of which no more than the rows asked for is read."""

    groups = {}

    def __init__(self, path, rows=None):
        self.path, self.file = path, np.load(path, mmap_mode="r")
        self.rows = np.arange(len(self.file)) if rows is None else rows

    @property
    def num_features(self):
        return self.file.shape[1]

    def __len__(self):
        return len(self.rows)

    def minibatch(self, rows, device):
        return Minibatch(torch.from_numpy(self.file[self.rows[rows.numpy()]]).to(device), {})

    def order(self, epoch, batch_size, seed):
        blocks = minibatches(-(-len(self) // 3), 1, seed=seed, epoch=epoch)
        shuffled = torch.cat([torch.arange(3 * int(block), min(3 * int(block) + 3, len(self))) for block in blocks])
        return shuffled.split(batch_size)

    def subset(self, rows):
        return OnDisk(self.path, self.rows[rows])

    def fingerprint(self):
        return hashlib.sha256(self.path.read_bytes() + self.rows.tobytes()).hexdigest()


class TestOnDisk(ObservationsContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path

    def make_observations(self, x):
        path = self.tmp_path / f"{hashlib.sha256(x.numpy().tobytes()).hexdigest()}.npy"
        np.save(path, x.numpy())
        return OnDisk(path)
