"""Counts in ``.h5ad`` files keep the contract of observations, and are read as they would be from memory."""

import hashlib
import os
import tempfile
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import torch
from scipy import sparse

from pyro_vmm.data.csr_files import CsrFile, CsrFiles
from pyro_vmm.errors import UserError
from pyro_vmm.observations import InMemory, OnDisk, SparseRows
from pyro_vmm.testing import ObservationsContract

CPU = torch.device("cpu")


def write(path, matrix, place="X", **how):
    """A file with the matrix at ``place``."""
    adata = anndata.AnnData(sparse.csr_matrix(matrix)) if place == "X" else anndata.AnnData(shape=matrix.shape)
    if place.startswith("layers/"):
        adata.layers[place.removeprefix("layers/")] = sparse.csr_matrix(matrix)
    elif place == "raw/X":
        adata.raw = anndata.AnnData(sparse.csr_matrix(matrix))
    adata.write_h5ad(path, **how)
    return CsrFile(path, place, "adata.X")


class OneFile(ObservationsContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path

    def path_of(self, x):
        return Path(tempfile.mkdtemp(dir=self.tmp_path)) / f"{hashlib.sha256(x.numpy().tobytes()).hexdigest()[:8]}.h5ad"

    def make_observations(self, x):
        return OnDisk(CsrFiles([write(self.path_of(x), x.numpy())]))


class TestOneWindow(OneFile):
    pass


class TestSeveralWindows(OneFile):
    def make_observations(self, x):
        return OnDisk(CsrFiles([write(self.path_of(x), x.numpy())]), rows_in_a_block=3, blocks_in_a_window=2)


class TestCompressedLayerOfInt64(OneFile):
    def make_observations(self, x):
        file = write(self.path_of(x), x.numpy().astype(np.int64), "layers/counts", compression="gzip")
        return OnDisk(CsrFiles([file]), rows_in_a_block=2, blocks_in_a_window=3)


class TestUnevenFiles(OneFile):
    def make_observations(self, x):
        parts = [x[:2], x[2:3], x[3:17], x[17:]]
        files = [
            write(self.path_of(x).with_suffix(f".{place}.h5ad"), part.numpy(), "raw/X")
            for place, part in enumerate(parts)
        ]
        return OnDisk(CsrFiles(files), rows_in_a_block=4, blocks_in_a_window=2)


@pytest.mark.filterwarnings("ignore:Writing zarr v2", "ignore:Consolidated metadata is currently not part")
class TestZarr(OneFile):
    def make_observations(self, x):
        zarr = pytest.importorskip("zarr")
        path = self.path_of(x).with_suffix(".zarr")
        anndata.AnnData(sparse.csr_matrix(x.numpy())).write_zarr(path)
        data = zarr.open_group(path)["X"]
        for name in ("data", "indices"):  # a row in several chunks, and a chunk with several rows
            values = data[name][:]
            del data[name]
            data.create_array(name, data=values, chunks=(5,))
        zarr.consolidate_metadata(path)
        return OnDisk(CsrFiles([CsrFile(path, "X", "adata.X")]), rows_in_a_block=3, blocks_in_a_window=4)


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(0.5, (500, 7)).astype(np.float32)


@pytest.fixture
def observations(counts, tmp_path):
    return OnDisk(CsrFiles([write(tmp_path / "cells.h5ad", counts)]), rows_in_a_block=4, blocks_in_a_window=16)


def test_the_order_in_one_window_is_that_of_memory(counts, tmp_path):
    stored = OnDisk(CsrFiles([write(tmp_path / "cells.h5ad", counts)]))
    ours, theirs = stored.order(3, 64, 5), InMemory(torch.from_numpy(counts)).order(3, 64, 5)
    assert len(ours) == len(theirs)
    assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


def test_an_epoch_reads_each_window_once(observations, counts, monkeypatch):
    training, read = np.sort(np.random.default_rng(1).permutation(500)[:450]), []
    some, reading = observations.subset(training), CsrFiles.read

    def noted(self, rows, room=None):
        read.extend([] if room is None else [len(rows)])
        return reading(self, rows, room)

    monkeypatch.setattr(CsrFiles, "read", noted)
    for epoch in range(2):
        for rows in some.order(epoch, 32, 0):
            assert torch.equal(some.minibatch(rows, CPU).x, torch.from_numpy(counts[training[rows]]))
    assert len(read) == 2 * -(-450 // 64)
    assert sum(read) == 2 * 450


def test_a_look_at_a_sample_leaves_the_window_where_it_is(observations, counts, monkeypatch):
    batches = observations.order(0, 32, 0)
    observations.minibatch(batches[0], CPU)
    sample = torch.arange(0, 500, 9)
    assert torch.equal(observations.minibatch(sample, CPU).x, torch.from_numpy(counts[sample]))
    monkeypatch.setattr(CsrFiles, "read", None)
    assert torch.equal(observations.minibatch(batches[1], CPU).x, torch.from_numpy(counts[batches[1]]))


def test_a_minibatch_mixes_blocks_from_everywhere(observations):
    first = observations.order(0, 32, 0)[0]
    assert first.max() - first.min() > 250
    assert len((first // 4).unique()) > 10


def test_repeated_and_unsorted_entries_are_read_as_from_memory(tmp_path):
    doubled = sparse.csr_matrix((np.array([1.0, 2, 3, 4]), [2, 0, 2, 1], [0, 3, 3, 4]), shape=(3, 3))
    anndata.AnnData(doubled).write_h5ad(tmp_path / "cells.h5ad")
    stored = OnDisk(CsrFiles([CsrFile(tmp_path / "cells.h5ad", "X", "adata.X")]))
    assert stored.minibatch(torch.arange(3), CPU).x.tolist() == [[2, 0, 4], [0, 0, 0], [0, 4, 0]]


def test_a_fingerprint_does_not_depend_on_files(counts, tmp_path):
    one = OnDisk(CsrFiles([write(tmp_path / "one.h5ad", counts)]))
    two = OnDisk(
        CsrFiles(
            [write(tmp_path / "a.h5ad", counts[:100]), write(tmp_path / "b.h5ad", counts[100:], compression="gzip")]
        )
    )
    assert one.fingerprint() == two.fingerprint()


def test_a_file_that_changes_is_refused_in_one_sentence(observations, tmp_path):
    os.utime(tmp_path / "cells.h5ad", (1, 1))
    with pytest.raises(UserError, match=r"cells\.h5ad has changed while it was in use: put the file back"):
        observations.minibatch(torch.arange(3), CPU)


def test_rows_are_gathered_with_numbers_of_one_width(counts, tmp_path):
    """SciPy is 250 times slower where columns have 32 bits and starts 64, as AnnData may store and read them."""
    anndata.AnnData(sparse.csr_matrix(counts)).write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "a") as stored:
        matrix = stored["X"]
        pointers = matrix["indptr"][:].astype(np.int64)
        del matrix["indptr"]
        matrix["indptr"] = pointers
        assert matrix["indices"].dtype == np.int32
    file = CsrFile(tmp_path / "cells.h5ad", "X", "adata.X")
    read = CsrFiles([file]).read(np.arange(0, 500, 3)).matrix
    assert read.indices.dtype == read.indptr.dtype == np.int32
    np.testing.assert_array_equal(read.toarray()[:5], counts[:5])


def test_minibatches_of_data_sorted_by_group_are_mixed(counts, tmp_path):
    """Groups in a minibatch are hardly further from their shares than those of rows drawn one by one."""
    x = np.zeros((40_000, 1), dtype=np.float32) + 1
    observations = OnDisk(CsrFiles([write(tmp_path / "sorted.h5ad", x)]))
    groups = np.repeat(np.arange(8), 5000)
    chi2 = [
        np.square(np.bincount(groups[rows.numpy()], minlength=8) - len(rows) / 8).sum() / (len(rows) / 8) / 7
        for epoch in range(3)
        for rows in observations.order(epoch, 256, 0)
    ]
    assert len(chi2) == 471
    assert np.mean(chi2) < 1.2  # 1 for rows drawn one by one; blocks in the order of the file give 250


def test_a_file_that_vanishes_is_refused_in_one_sentence(observations, tmp_path):
    (tmp_path / "cells.h5ad").unlink()
    with pytest.raises(UserError, match=r"cells\.h5ad has vanished while it was in use: put the file back"):
        observations.minibatch(torch.arange(3), CPU)


@pytest.mark.parametrize(
    ("matrix", "how"), [(sparse.csc_matrix, r"by columns \(CSC\)"), (np.asarray, "as a dense array")]
)
def test_other_ways_to_store_are_refused(matrix, how, counts, tmp_path):
    anndata.AnnData(matrix(counts)).write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(UserError, match=rf"cells\.h5ad stores adata\.X {how}"):
        CsrFile(tmp_path / "cells.h5ad", "X", "adata.X")


def test_rows_of_a_file_are_those_of_memory(observations, counts):
    memory = InMemory(SparseRows(sparse.csr_array(counts)))
    rows = torch.tensor([499, 3, 3, 250, 0])
    assert torch.equal(observations.minibatch(rows, CPU).x, memory.minibatch(rows, CPU).x)
