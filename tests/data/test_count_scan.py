"""Counts in files are refused for the same reasons, in the same words, as in memory."""

import anndata
import numpy as np
import pytest
from scipy import sparse

from pyro_vmm.data import count_scan
from pyro_vmm.data.count_checks import CountChecks, to_count_matrix
from pyro_vmm.data.count_scan import scan
from pyro_vmm.data.csr_files import CsrFile, CsrFiles
from pyro_vmm.errors import UserError

CELLS, GENES = 40, 6


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(count_scan, "VALUES_AT_ONCE", 30)


@pytest.fixture
def counts():
    return (
        np.random.default_rng(0).poisson(0.7, (CELLS, GENES)).astype(np.float64)
        + np.eye(CELLS, GENES)[::-1]
        + (np.arange(CELLS) % 2 == 0)[:, None] * np.eye(1, GENES)
    )


@pytest.fixture
def looked_at(tmp_path):
    """What memory and two files say of counts: a result or a message."""

    def look(matrix, allow_non_counts=False):
        cells, genes = (
            np.array([f"{kind}{place}" for place in range(number)]) for kind, number in (("c", CELLS), ("g", GENES))
        )
        paths = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
        for path, part in zip(paths, (matrix[:13], matrix[13:]), strict=True):
            anndata.AnnData(part).write_h5ad(path)
        answers = []
        for ask in (
            lambda: to_count_matrix(matrix, "adata.X", cells, genes, allow_non_counts=allow_non_counts),
            lambda: scan(
                CsrFiles([CsrFile(path, "X", "adata.X") for path in paths]),
                CountChecks("adata.X", cells, genes, allow_non_counts, lambda: ("give raw counts",)),
            ),
        ):
            try:
                answers.append(ask())
            except UserError as error:
                answers.append(str(error))
        return answers

    return look


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8])
def test_library_sizes_and_cells_of_genes(counts, looked_at, dtype):
    counts[:, 3] = 0
    counts[:, 0] += 1
    memory, scanned = looked_at(sparse.csr_matrix(counts.astype(dtype)))
    assert scanned.library_size.tolist() == counts.sum(1).tolist()
    assert scanned.cells.tolist() == (counts > 0).sum(0).tolist()
    assert memory.shape == (CELLS, GENES)


@pytest.mark.parametrize(
    ("places", "values", "told"),
    [
        ([(25, 2)], [np.nan], "one NaN or infinite value, nan at cell 'c25', gene 'g2'"),
        ([(3, 1), (30, 1)], [-1, np.inf], "one NaN or infinite value, inf at cell 'c30'"),
        ([(3, 1), (30, 1), (31, 4)], [-1, -2, 0.5], "2 negative values, the first -1 at cell 'c3', gene 'g1'"),
        ([(14, 1), (30, 1)], [0.25, 0.5], "2 non-whole values, the first 0.25 at cell 'c14'"),
        ([(39, 5)], [2.0**24 + 2], "one too large value, 16777218 at cell 'c39'"),
    ],
)
def test_bad_values_are_told_as_from_memory(counts, looked_at, places, values, told):
    counts[:, 0] += 1
    for place, value in zip(places, values, strict=True):
        counts[place] = value
    memory, scanned = looked_at(sparse.csr_matrix(counts))
    assert told in scanned
    assert scanned == memory


def test_empty_cells_are_told_as_from_memory(counts, looked_at):
    counts[:, 0] += 1
    counts[[2, 13, 39]] = 0
    memory, scanned = looked_at(sparse.csr_matrix(counts))
    assert "adata.X has 3 cells with no counts, 'c2', 'c13', 'c39'" in scanned
    assert scanned == memory


def test_stored_zeros_and_repeated_entries_are_understood(looked_at):
    starts = np.arange(0, 3 * CELLS + 1, 3)
    columns = np.tile([4, 1, 4], CELLS)
    values = np.tile([100, 0, 200], CELLS).astype(np.uint8)
    memory, scanned = looked_at(sparse.csr_matrix((values, columns, starts), shape=(CELLS, GENES)))
    assert scanned.library_size.tolist() == [300.0] * CELLS
    assert scanned.cells.tolist() == [0, 0, 0, 0, CELLS, 0]
    assert memory.sum() == 300 * CELLS


def test_a_column_that_does_not_exist_is_refused(counts, tmp_path):
    import h5py

    counts[:, 0] += 1
    anndata.AnnData(sparse.csr_matrix(counts)).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file["X/indices"][50] = GENES
    cells, genes = np.arange(CELLS).astype(str), np.arange(GENES).astype(str)
    files = CsrFiles([CsrFile(tmp_path / "a.h5ad", "X", "adata.X")])
    with pytest.raises(
        UserError, match=r"adata\.X is a damaged sparse matrix: it has the column index 6, outside 0 \.\. 5"
    ):
        scan(files, CountChecks("adata.X", cells, genes, False, lambda: ()))


def test_pointers_that_fall_are_refused(counts, tmp_path):
    import h5py

    counts[:, 0] += 1
    anndata.AnnData(sparse.csr_matrix(counts)).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file["X/indptr"][5] = 0
    with pytest.raises(UserError, match=r"it has row pointers that fall, from \d+ to 0 at row 4"):
        CsrFile(tmp_path / "a.h5ad", "X", "adata.X")
