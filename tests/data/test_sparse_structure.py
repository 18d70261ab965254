"""Sparse matrices whose parts do not fit their shape are refused before anything computes with them."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pytest
import torch
from scipy import sparse

from pyro_vmm import VMM, SingleCellVMM, UserError
from pyro_vmm.command_line.main import main
from pyro_vmm.data import CountSetup, read_counts, validate_array
from pyro_vmm.data.sparse_structure import check_sparse_structure
from pyro_vmm.single_cell.simulation import simulate_cells

DENSE = np.random.default_rng(0).poisson(1.0, (30, 8)).astype(np.float32) + np.eye(30, 8, dtype=np.float32)


def set_to(array: str, place: int, value: int) -> Callable[[Any], None]:
    def spoil(matrix: Any) -> None:
        getattr(matrix, array)[place] = value

    return spoil


def shift(matrix: Any) -> None:
    matrix.indices += 1


def huge(matrix: Any) -> None:
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indices[5] = 2**30


def shorten(array: str) -> Callable[[Any], None]:
    def spoil(matrix: Any) -> None:
        setattr(matrix, array, getattr(matrix, array)[:-2])

    return spoil


SPOILED: dict[str, tuple[Callable[[Any], None], str]] = {
    "counted from 1": (shift, "as though counted from 1"),
    "negative index": (set_to("indices", 5, -1), "index -1, outside"),
    "index beyond the last": (set_to("indices", 5, 500), "index 500, outside"),
    "index of 2^30": (huge, "index 1073741824, outside"),
    "negative pointer": (set_to("indptr", 4, -5), "pointers that fall"),
    "pointer that overflows": (set_to("indptr", 4, 2**31 - 1), "pointers that fall, from 2147483647"),
    "first pointer": (set_to("indptr", 0, 1), "has 1 as its first"),
    "last pointer too far": (set_to("indptr", -1, 10_000), "pointers end at 10000"),
    "last pointer too near": (lambda m: set_to("indptr", -1, int(m.indptr[-2]))(m), "prune()"),
    "too few values": (shorten("data"), "stored values"),
    "too few indices": (shorten("indices"), "stored values"),
    "too few pointers": (shorten("indptr"), "pointers, but"),
    "values in a column": (lambda m: setattr(m, "data", m.data[:, None]), "1), not one list"),
    "indices as a list": (lambda m: setattr(m, "indices", m.indices.tolist()), "has indices of type list"),
}
FORMATS: dict[str, Any] = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "csr array": sparse.csr_array}


def cells(matrix: Any = None) -> anndata.AnnData:
    adata = simulate_cells(30, 8, num_groups=2, num_batches=2, seed=1)
    adata.X = sparse.csr_matrix(DENSE) if matrix is None else matrix
    return adata


def told(call: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", SPOILED)
def test_a_damaged_matrix_is_refused_wherever_it_is_given(name: str, form: str) -> None:
    spoil, fault = SPOILED[name]
    matrix = FORMATS[form](DENSE)
    spoil(matrix)
    assert fault in told(lambda: validate_array(matrix))
    adata = cells()
    adata.layers["counts"] = sparse.csr_matrix(DENSE)
    adata.raw = adata.copy()
    # In place, as AnnData's own constructor and setters may read what they are given.
    for stored in (adata.X, adata.layers["counts"], adata.raw.X):
        spoil(stored)
    for layer, source in ((None, "adata.X"), ("counts", "adata.layers['counts']"), ("raw", "adata.raw.X")):
        sentence = told(lambda layer=layer: read_counts(adata, CountSetup(layer=layer)))
        assert sentence.startswith(f"{source} is a damaged sparse matrix: it has ")
        assert fault in sentence


@pytest.mark.parametrize("form", ["csr", "csc"])
def test_it_is_seen_before_a_view_is_taken_of_it(form: str) -> None:
    adata = cells(FORMATS[form](DENSE))
    adata.layers["counts"] = sparse.csr_matrix(DENSE + 1)
    shift(adata.X)
    view = adata[:, [3, 1]]
    assert view.is_view
    assert "counted from 1" in told(lambda: read_counts(view, CountSetup()))
    assert "counted from 1" in told(lambda: read_counts(view[:5], CountSetup()))
    assert "counted from 1" in told(lambda: read_counts(cells(adata.X.T.T), CountSetup()))
    assert len(read_counts(view, CountSetup(layer="counts")).gene_names) == 2


def test_a_damaged_matrix_elsewhere_is_neither_read_nor_recommended() -> None:
    adata = cells()
    adata.X = adata.X * 0.5
    adata.layers["damaged"] = sparse.csr_matrix(DENSE)
    shift(adata.layers["damaged"])
    sentence = told(lambda: read_counts(adata, CountSetup()))
    assert "give raw counts, or allow_non_counts=True" in sentence


def test_queries_of_a_fitted_model_are_checked() -> None:
    adata = cells()
    SingleCellVMM.setup_anndata(adata)
    model = SingleCellVMM(adata, n_latent=2, num_components=3, n_hidden=8)
    model.train(max_epochs=1, batch_size=15)
    for name in ("counted from 1", "negative index", "index of 2^30", "too few values"):
        other = cells()
        SPOILED[name][0](other.X)
        queries: list[Callable[[Any], Any]] = [model.get_latent_representation, model.predict, model.get_elbo]
        for query in [*queries, model.annotate, SingleCellVMM.setup_anndata]:
            assert "damaged sparse matrix" in told(partial(query, other))
    estimator = VMM(likelihood="poisson", num_components=3, latent_dim=2, hidden=(8,), max_epochs=1, random_state=0)
    estimator.fit(sparse.csr_matrix(DENSE))
    damaged = sparse.csc_matrix(DENSE)
    shift(damaged)
    assert "X is a damaged sparse matrix" in told(lambda: estimator.predict(damaged))
    assert "X is a damaged sparse matrix" in told(lambda: estimator.fit(damaged))


def test_other_formats_are_checked() -> None:
    coo, lil, bsr = sparse.coo_matrix(DENSE), sparse.lil_matrix(DENSE), sparse.bsr_matrix(DENSE, blocksize=(2, 2))
    coo.col[3], bsr.indices[0], lil.rows[2][0] = 8, 4, -1
    assert "column index 8, outside 0 .. 7" in told(lambda: check_sparse_structure(coo, "X"))
    assert "block column index 4, outside 0 .. 3" in told(lambda: check_sparse_structure(bsr, "X"))
    assert "column index -1" in told(lambda: check_sparse_structure(lil, "X"))
    lil = sparse.lil_matrix(DENSE)
    lil.data[2].append(1.0)
    assert "a row with different numbers" in told(lambda: check_sparse_structure(lil, "X"))
    for form in ("csr", "csc", "bsr", "coo", "lil", "dok", "dia"):
        check_sparse_structure(sparse.csr_matrix(DENSE).asformat(form), "X")
    check_sparse_structure(sparse.csr_matrix((3, 4)), "X")


def test_a_sparse_vector_is_refused_for_its_shape() -> None:
    assert "has one dimension, shape (5,)" in told(lambda: validate_array(sparse.coo_array(np.arange(5.0))))


@pytest.mark.filterwarnings("ignore:Sparse CS[RC] tensor support is in beta")
@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
def test_sparse_tensors_are_checked() -> None:
    dense = torch.from_numpy(DENSE)
    for tensor in (dense.to_sparse_csr(), dense.to_sparse_csc(), dense.to_sparse_coo()):
        np.testing.assert_array_equal(validate_array(tensor), DENSE)
        indices = {
            torch.sparse_csr: lambda t: t.col_indices(),
            torch.sparse_csc: lambda t: t.row_indices(),
            torch.sparse_coo: lambda t: t._indices()[1],
        }[tensor.layout](tensor)
        indices[3] = 400
        assert "index 400, outside" in told(lambda tensor=tensor: validate_array(tensor))
    for tensor, indices in (
        (in_rows := dense.to_sparse_bsr((2, 4)), in_rows.col_indices()),
        (in_columns := dense.to_sparse_bsc((2, 4)), in_columns.row_indices()),
    ):
        np.testing.assert_array_equal(validate_array(tensor), DENSE)
        indices[3] = 400
        assert "index 400, outside" in told(lambda tensor=tensor: validate_array(tensor))


def test_unsorted_repeated_and_mixed_indices_give_the_right_numbers() -> None:
    dense = np.array([[0, 3, 1], [2, 0, 0], [0, 0, 300], [1, 1, 1]], dtype=np.float32)
    # Each value in two parts, the later column first; 300 does not fit the bytes it is made of.
    pointers = np.array([0, 4, 6, 8, 11], dtype=np.int64)
    indices = np.array([2, 1, 1, 1, 0, 0, 2, 2, 2, 1, 0], dtype=np.int32)
    data = np.array([1, 1, 1, 1, 1, 1, 150, 150, 1, 1, 1], dtype=np.uint8)
    matrix = sparse.csr_matrix((4, 3), dtype=np.uint8)
    matrix.data, matrix.indices, matrix.indptr = data, indices, pointers
    by_gene = sparse.csc_matrix((3, 4), dtype=np.uint8)
    by_gene.data, by_gene.indices, by_gene.indptr = data, indices, pointers
    np.testing.assert_array_equal(validate_array(matrix), dense)
    np.testing.assert_array_equal(validate_array(by_gene), dense.T)
    coo = sparse.coo_matrix((data, (np.repeat(np.arange(4), np.diff(pointers)), indices)), shape=(4, 3))
    np.testing.assert_array_equal(validate_array(coo), dense)
    assert len(matrix.data) == len(by_gene.data) == len(coo.data) == 11
    np.testing.assert_array_equal(matrix.indices, [2, 1, 1, 1, 0, 0, 2, 2, 2, 1, 0])
    adata = anndata.AnnData(matrix)
    np.testing.assert_array_equal(read_counts(adata, CountSetup()).counts.toarray(), dense)
    np.testing.assert_array_equal(read_counts(adata[[3, 0]], CountSetup()).counts.toarray(), dense[[3, 0]])
    np.testing.assert_array_equal(read_counts(anndata.AnnData(by_gene), CountSetup()).counts.toarray(), dense.T)


@pytest.mark.parametrize(
    ("array", "change"),
    [
        ("indices", lambda values: values + 1),
        ("indices", lambda values: np.where(np.arange(len(values)) == 5, 2**30, values.astype(np.int64))),
        ("indptr", lambda values: np.where(np.arange(len(values)) == 5, -7, values)),
        ("data", lambda values: values[:-4]),
        ("data", lambda values: values[:, None]),
    ],
)
def test_the_command_refuses_a_file_with_a_damaged_matrix(
    array: str, change: Callable[[Any], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cells.h5ad"
    cells().write_h5ad(path)
    with h5py.File(path, "r+") as file:
        values = change(file["X"][array][:])
        del file["X"][array]
        file["X"][array] = values
    started = time.monotonic()
    assert main(["fit", str(path), "--output", str(tmp_path / "out"), "--quiet"]) == 2
    assert time.monotonic() - started < 5
    error = capsys.readouterr().err
    assert "cells.h5ad: adata.X is a damaged sparse matrix: " in error
    assert "Traceback" not in error
