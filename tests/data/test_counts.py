import copy
import json
import os
import re
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from pyro_vmm.data import CellCounts, CountSetup, DataWarning, count_checks, read_counts
from pyro_vmm.errors import UserError

TEXT = pd.Series(["text"]).dtype  # object before pandas 3
COUNTS = np.array(
    [
        [3, 0, 1, 0],
        [0, 2, 0, 5],
        [1, 1, 0, 0],
        [0, 0, 7, 0],
        [255, 0, 0, 1],
        [0, 4, 0, 2],
    ]
)
CELLS = [f"cell-{number}" for number in range(6)]
GENES = ["Actb", "Gad1", "Sst", "Vip"]
SETUP = CountSetup()
FULL = CountSetup(
    batch_key="donor",
    categorical_covariate_keys=["sex", "plate"],
    continuous_covariate_keys=["age", "mito"],
    size_factor_key="factor",
)
DATA = Path(os.environ.get("PYRO_VMM_DATA", Path(__file__).parents[3] / "shared" / "data"))


def make(x=COUNTS, **obs):
    """An AnnData of six cells and four genes, with covariates; ``obs`` sets further columns."""
    table = pd.DataFrame(
        {
            "donor": pd.Categorical(["b", "b", "a", "a", "b", "a"], categories=["b", "unused", "a"]),
            "sex": ["m", "f", "f", "m", "m", "f"],
            "plate": [10, 9, 9, 10, 10, 9],
            "age": [30, 31, 32, 33, 34, 35],
            "mito": pd.array([0.5, 0.25, 0.0, 0.125, 1.0, 2.0], dtype="Float64"),
            "factor": [1.0, 0.5, 2.0, 1.0, 1.0, 3.0],
        },
        index=CELLS,
    ).assign(**obs)
    return anndata.AnnData(np.array(x) if isinstance(x, np.ndarray) else x, obs=table, var=pd.DataFrame(index=GENES))


def changed(row, column, value):
    x = COUNTS.astype(np.float64)
    x[row, column] = value
    return x


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


def snapshot(adata):
    """Every byte and dtype that an AnnData holds."""

    def of(matrix):
        if scipy.sparse.issparse(matrix):
            parts = (matrix.data, matrix.indices, matrix.indptr)
            return type(matrix), [(part.dtype, part.tobytes()) for part in parts]
        return type(matrix), matrix.dtype, np.asarray(matrix).tobytes()

    return (
        of(adata.X),
        {name: of(layer) for name, layer in adata.layers.items()},
        None if adata.raw is None else of(adata.raw.X),
        adata.obs.copy(),
        adata.var.copy(),
        list(adata.uns),
        adata.is_view,
    )


def assert_same_snapshot(before, after):
    pd.testing.assert_frame_equal(before[3], after[3])
    pd.testing.assert_frame_equal(before[4], after[4])
    assert before[:3] + before[5:] == after[:3] + after[5:]


# ---------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize(
    "form",
    [
        np.array,
        np.asfortranarray,
        scipy.sparse.csr_matrix,
        scipy.sparse.csc_matrix,
        scipy.sparse.csr_array,
        scipy.sparse.csc_array,
    ],
)
def test_every_form_and_dtype_gives_the_same_counts(form, dtype):
    read = read_counts(make(form(COUNTS.astype(dtype))), SETUP)
    assert isinstance(read, CellCounts)
    assert isinstance(read.counts, scipy.sparse.csr_array)
    assert read.counts.dtype == read.library_size.dtype == np.float32
    assert read.counts.has_canonical_format
    assert read.counts.nnz == np.count_nonzero(COUNTS)
    np.testing.assert_array_equal(read.counts.toarray(), COUNTS)
    np.testing.assert_array_equal(read.library_size, COUNTS.sum(axis=1))
    assert list(read.cell_names) == CELLS
    assert list(read.gene_names) == GENES


@pytest.mark.parametrize("dtype", [">i4", ">f8", "longdouble"])
def test_dense_numbers_of_other_machines_are_read(dtype):
    np.testing.assert_array_equal(read_counts(make(COUNTS.astype(dtype)), SETUP).counts.toarray(), COUNTS)


def test_booleans_and_half_precision_are_counts_too():
    small = np.minimum(COUNTS, 1)
    for x in (small.astype(bool), scipy.sparse.csr_matrix(small.astype(bool)), small.astype(np.float16)):
        np.testing.assert_array_equal(read_counts(make(x), SETUP).counts.toarray(), small)


@pytest.mark.parametrize("sparse", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix])
def test_stored_zeros_unsorted_and_repeated_entries_are_put_right(sparse):
    """An entry stored twice means the sum, 510, which the stored uint8 could not hold."""
    shape = (3, 4) if sparse is scipy.sparse.csr_matrix else (4, 3)
    x = sparse((np.array([7, 0, 255, 255, 1, 1], dtype=np.uint8), [3, 1, 0, 0, 2, 1], [0, 4, 5, 6]), shape=shape)
    dense = x.astype(np.int64).toarray()
    adata = anndata.AnnData(x, obs=pd.DataFrame(index=CELLS[: x.shape[0]]), var=pd.DataFrame(index=GENES[: x.shape[1]]))
    adata = adata[dense.sum(axis=1) > 0]
    read = read_counts(adata, SETUP)
    np.testing.assert_array_equal(read.counts.toarray(), dense[dense.sum(axis=1) > 0])
    assert read.counts.has_canonical_format
    assert 510 in read.counts.data
    assert read.counts.data.all()


def test_checking_in_blocks_changes_nothing(monkeypatch):
    monkeypatch.setattr(count_checks, "_BLOCK", 4)
    np.testing.assert_array_equal(read_counts(make(), SETUP).counts.toarray(), COUNTS)
    x = COUNTS - 0.5 * (COUNTS > 6)
    sentence = (
        "adata.X has 2 non-whole values, the first 6.5 at cell 'cell-3', gene 'Sst': give raw counts, or "
        "allow_non_counts=True if these values are meant."
    )
    for form in (np.array, scipy.sparse.csr_matrix, scipy.sparse.csc_matrix):
        with pytest.raises(UserError, match=exactly(sentence)):
            read_counts(make(form(x)), SETUP)


def test_a_layer_and_raw_are_read_in_place_of_x():
    adata = make()
    adata.raw = adata
    adata = adata[:, ["Sst", "Actb"]].copy()
    adata.layers["spliced"] = np.ones((6, 2))
    adata.X = adata.X * 0.5
    np.testing.assert_array_equal(read_counts(adata, CountSetup(layer="spliced")).counts.toarray(), np.ones((6, 2)))
    raw = read_counts(adata, CountSetup(layer="raw"))
    np.testing.assert_array_equal(raw.counts.toarray(), COUNTS)
    assert list(raw.gene_names) == GENES
    view = adata[[4, 1, 3]]
    np.testing.assert_array_equal(read_counts(view, CountSetup(layer="raw")).counts.toarray(), COUNTS[[4, 1, 3]])


def test_covariates_become_codes_and_numbers():
    read = read_counts(make(), FULL)
    assert read.batch_categories == ("b", "a")  # the column's own order, without what does not occur
    np.testing.assert_array_equal(read.batch, [0, 0, 1, 1, 0, 1])
    assert read.covariate_categories == {"sex": ("f", "m"), "plate": ("9", "10")}
    np.testing.assert_array_equal(read.categorical_covariates["sex"], [1, 0, 0, 1, 1, 0])
    np.testing.assert_array_equal(read.categorical_covariates["plate"], [1, 0, 0, 1, 1, 0])
    assert read.batch.dtype == read.categorical_covariates["plate"].dtype == np.int64
    np.testing.assert_array_equal(
        read.continuous_covariates, [[30, 0.5], [31, 0.25], [32, 0], [33, 0.125], [34, 1], [35, 2]]
    )
    np.testing.assert_array_equal(read.size_factor, np.float32([1, 0.5, 2, 1, 1, 3]))
    assert (read.continuous_covariates.dtype, read.size_factor.dtype) == (np.float64, np.float32)
    assert read.categories == {"donor": ("b", "a"), "sex": ("f", "m"), "plate": ("9", "10")}


def test_without_covariates_there_is_one_batch():
    read = read_counts(make(), SETUP)
    np.testing.assert_array_equal(read.batch, np.zeros(6))
    assert read.batch_categories == ("all",)
    assert read.categories == read.categorical_covariates == {}
    assert read.continuous_covariates.shape == (6, 0)
    assert read.size_factor is None


def test_new_data_are_mapped_onto_the_categories_of_the_model():
    categories = json.loads(json.dumps(read_counts(make(), FULL).categories))
    one = make()[[2]].copy()
    one.obs["plate"] = 9.0  # a whole number reads the same as an integer and as a float
    read = read_counts(one, FULL, categories=categories, gene_names=GENES)
    assert read.batch_categories == ("b", "a")
    np.testing.assert_array_equal(read.batch, [1])
    assert {name: list(codes) for name, codes in read.categorical_covariates.items()} == {"sex": [0], "plate": [0]}


def test_values_that_are_not_whole_pass_when_they_are_meant():
    x = changed(0, 0, 2.5)
    read = read_counts(make(x), SETUP, allow_non_counts=True)
    np.testing.assert_array_equal(read.counts.toarray(), x)
    assert read.library_size[0] == np.float32(3.5)


def test_the_largest_exact_count_passes_and_is_added_up_exactly():
    x = COUNTS.copy()
    x[0] = [2**24, 1, 0, 1]
    read = read_counts(make(x), SETUP)
    assert read.counts[0, 0] == 2**24
    assert read.library_size[0] == 2**24 + 2  # adding one by one in float32 would stay at 2**24


@pytest.mark.parametrize("form", [np.array, scipy.sparse.csr_matrix, scipy.sparse.csc_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_the_data_are_not_changed_nor_shared(form, dtype):
    x = form(COUNTS.astype(dtype))
    if scipy.sparse.issparse(x):  # unsorted, with a stored zero: what SciPy would put right in place
        x.data[0] = 0
        x.indices[:2], x.data[:2] = x.indices[:2][::-1].copy(), x.data[:2][::-1].copy()
        x.has_sorted_indices = False
    adata = make(x)
    adata.layers["same"] = adata.X  # one buffer in two places
    adata.raw = adata
    for each in (adata, adata[:], adata[[4, 1, 2, 5], ["Vip", "Actb"]]):
        for layer in (None, "same", "raw"):
            before = snapshot(each)
            setup = CountSetup(layer, "donor", ["sex"], ["age"], "factor")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)
                read = read_counts(each, setup)
            assert_same_snapshot(before, snapshot(each))
            read.counts.data[:] = 99
            read.counts.indices[:] = 0
            read.counts.indptr[:] = 0
            read.continuous_covariates[:] = 99
            read.size_factor[:] = 99
            read.batch[:] = 99
            assert_same_snapshot(before, snapshot(each))


def test_a_view_reads_as_its_copy_does():
    view = make(scipy.sparse.csr_matrix(COUNTS))[[4, 1, 0, 3, 2], ["Vip", "Sst", "Actb"]]
    assert view.is_view
    of_view, of_copy = read_counts(view, FULL), read_counts(view.copy(), FULL)
    np.testing.assert_array_equal(of_view.counts.toarray(), of_copy.counts.toarray())
    np.testing.assert_array_equal(of_view.batch, of_copy.batch)
    assert list(of_view.cell_names) == list(of_copy.cell_names) == [CELLS[row] for row in (4, 1, 0, 3, 2)]
    assert view.is_view


# ------------------------------------------------------------------------------------------------- the setup


def test_a_setup_survives_json():
    assert CountSetup.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL
    assert CountSetup.from_dict({}) == CountSetup(None, None, None, None, None) == SETUP
    assert hash(FULL) == hash(copy.deepcopy(FULL))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"categorical_covariate_keys": "sex"},
            "categorical_covariate_keys must be a list of columns, not one name: give ['sex'].",
        ),
        ({"batch_key": ["donor"]}, "batch_key must be a name or None, not ['donor']: give it as text."),
        (
            {"continuous_covariate_keys": [3]},
            "A covariate is named by 3, which is not text: give the name of a column.",
        ),
        (
            {"batch_key": "donor", "categorical_covariate_keys": ["donor"]},
            "The column 'donor' is named 2 times: give it one role.",
        ),
    ],
)
def test_a_setup_that_cannot_be_meant_is_refused(options, sentence):
    with pytest.raises(UserError, match=exactly(sentence)):
        CountSetup(**options)


def test_a_stored_setup_with_unknown_entries_is_refused():
    with pytest.raises(UserError, match=exactly("A setup of counts has no entry 'donor': remove it.")):
        CountSetup.from_dict({"donor": "x", "layer": None})


# --------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("form", [np.array, scipy.sparse.csr_matrix, scipy.sparse.csc_matrix])
@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (
            changed(1, 3, -2),
            "adata.X has one negative value, -2 at cell 'cell-1', gene 'Vip': give raw counts, not scaled or centred "
            "values.",
        ),
        (
            changed(1, 3, -2).astype(np.int64) * np.array([[1], [1], [-1], [1], [1], [1]]),
            "adata.X has 3 negative values, the first -2 at cell 'cell-1', gene 'Vip': give raw counts, not scaled or "
            "centred values.",
        ),
        (
            np.log1p(COUNTS),
            "adata.X has 11 non-whole values, the first 1.386294361 at cell 'cell-0', gene 'Actb': give raw counts, or "
            "allow_non_counts=True if these values are meant.",
        ),
        (
            changed(5, 0, np.nan),
            "adata.X has one NaN or infinite value, nan at cell 'cell-5', gene 'Actb': set them right or remove those "
            "cells or genes.",
        ),
        (
            changed(5, 0, np.nan) + changed(2, 2, np.inf),
            "adata.X has 2 NaN or infinite values, the first inf at cell 'cell-2', gene 'Sst': set them right or remove "
            "those cells or genes.",
        ),
        (
            changed(4, 0, 2**24 + 1),
            "adata.X has one too large value, 16777217 at cell 'cell-4', gene 'Actb': counts up to 16777216 (2**24) are "
            "exact in float32, so check these.",
        ),
        (
            np.where(np.arange(6)[:, None] == 3, 0, COUNTS),
            "adata.X has 1 cell with no counts, 'cell-3': remove it, as with adata[adata.X.sum(axis=1) > 0].copy().",
        ),
        (
            0 * COUNTS,
            "adata.X has 6 cells with no counts, 'cell-0', 'cell-1', 'cell-2', 'cell-3', 'cell-4' and 1 more: remove "
            "them, as with adata[adata.X.sum(axis=1) > 0].copy().",
        ),
    ],
)
def test_values_that_are_not_counts_are_refused(x, sentence, form):
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(make(form(x)), SETUP)


@pytest.mark.parametrize("value", [-0.5, np.nan, np.inf, 1e300])
def test_the_override_covers_values_that_are_not_whole_and_nothing_else(value):
    with pytest.raises(UserError, match=r"^adata\.X has one .* 'cell-0', gene 'Actb'"):
        read_counts(make(changed(0, 0, value)), SETUP, allow_non_counts=True)


def test_a_value_that_vanishes_in_float32_is_no_count():
    x = changed(3, 2, 1e-60)
    with pytest.raises(UserError, match="1 cell with no counts, 'cell-3'"):
        read_counts(make(x), SETUP, allow_non_counts=True)


NOT_COUNTS = "has 11 non-whole values, the first 1.386294361 at cell 'cell-0', gene 'Actb': give raw counts"


@pytest.mark.parametrize(
    ("layer", "source"), [("norm", "adata.layers['norm']"), (None, "adata.X"), ("raw", "adata.raw.X")]
)
def test_the_message_names_the_layer_read_and_those_that_seem_to_hold_counts(layer, source):
    adata = make(np.log1p(COUNTS))
    adata.raw = adata
    adata.layers["norm"] = adata.X.copy()
    adata.layers["shifted"] = COUNTS - 1.0
    sentence = f"{source} {NOT_COUNTS}, or allow_non_counts=True if these values are meant."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, CountSetup(layer=layer))
    adata.layers["counts"] = COUNTS.copy()
    adata.layers["sparse"] = scipy.sparse.csc_matrix(COUNTS.astype(float))
    sentence = sentence.replace("counts,", "counts, perhaps layer='counts' or layer='sparse',")
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, CountSetup(layer=layer))


def test_the_message_names_x_and_raw_where_they_seem_to_hold_counts():
    adata = make(COUNTS)
    adata.raw = adata
    adata.layers["norm"] = np.log1p(COUNTS)
    places = "perhaps layer=None or layer='raw', or allow_non_counts=True if these values are meant."
    with pytest.raises(UserError, match=exactly(f"adata.layers['norm'] {NOT_COUNTS}, {places}")):
        read_counts(adata, CountSetup(layer="norm"))


@pytest.mark.parametrize("layer", [None, "counts", "raw"])
@pytest.mark.parametrize("form", [np.array, scipy.sparse.csr_matrix])
def test_the_mend_for_empty_cells_does_mend(layer, form):
    adata = make(form(np.where(np.arange(6)[:, None] == 3, 0, COUNTS)))
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata
    setup = CountSetup(layer=layer)
    with pytest.raises(UserError, match="1 cell with no counts") as error:
        read_counts(adata, setup)
    mend = re.search(r"as with (.*)\.$", str(error.value))
    mended = eval(mend[1], {"adata": adata})
    assert list(read_counts(mended, setup).cell_names) == [name for name in CELLS if name != "cell-3"]


@pytest.mark.parametrize(
    ("given", "kind"), [((1, 2).__iter__(), "tuple_iterator"), (pd.DataFrame(COUNTS), "DataFrame"), (None, "NoneType")]
)
def test_what_is_not_anndata_is_refused(given, kind):
    sentence = f"An AnnData is needed, not a {kind}: read one with anndata.read_h5ad(path)."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(given, SETUP)


def test_a_view_of_a_backed_file_is_refused_until_it_is_in_memory(tmp_path):
    path = tmp_path / "cells.h5ad"
    make(COUNTS.astype(np.float32), mito=0.5).write_h5ad(path)
    backed = anndata.read_h5ad(path, backed="r")
    sentence = f"adata is a view of an AnnData that is backed by {path}: load it into memory with adata.to_memory()."
    try:
        with pytest.raises(UserError, match=exactly(sentence)):
            read_counts(backed[:3], SETUP)
        np.testing.assert_array_equal(read_counts(backed.to_memory(), SETUP).counts.toarray(), COUNTS)
    finally:
        backed.file.close()


def test_a_missing_layer_is_refused_with_those_there_are():
    adata = make()
    sentence = "adata has no layer 'count': give layer=None for adata.X."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, CountSetup(layer="count"))
    sentence = "adata has no raw counts (adata.raw is None): give layer=None for adata.X."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, CountSetup(layer="raw"))
    adata.layers["counts"] = adata.X
    adata.raw = adata
    sentence = "adata has no layer 'count': give layer='counts' or layer=None for adata.X or layer='raw' for adata.raw."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, CountSetup(layer="count"))
    adata.layers["raw"] = adata.X
    sentence = "layer='raw' means adata.raw, but adata has a layer of that name: give the layer another name."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, CountSetup(layer="raw"))
    adata.X = None
    sentence = "adata.X is empty (None): give layer='counts' or layer='raw'."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, SETUP)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_key": "Doner"}, "adata.obs has no column 'Doner' (batch_key): did you mean 'donor'?"),
        (
            {"size_factor_key": "x"},
            "adata.obs has no column 'x' (size_factor_key): its columns are 'donor', 'sex', 'plate', 'age', 'mito' and "
            "1 more.",
        ),
        (
            {"continuous_covariate_keys": ["AGE"]},
            "adata.obs has no column 'AGE' (continuous_covariate_keys): did you mean 'age'?",
        ),
        (
            {"categorical_covariate_keys": ["sx"]},
            "adata.obs has no column 'sx' (categorical_covariate_keys): did you mean 'sex'?",
        ),
    ],
)
def test_a_missing_column_is_refused_with_close_names(options, sentence):
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(make(), CountSetup(**options))


def test_a_missing_column_among_none_is_refused():
    adata = anndata.AnnData(COUNTS, obs=pd.DataFrame(index=CELLS), var=pd.DataFrame(index=GENES))
    sentence = "adata.obs has no column 'donor' (batch_key): it has no columns."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, CountSetup(batch_key="donor"))


NOT_A_NUMBER = [30, np.nan, 32, np.nan, 34, 35]


@pytest.mark.parametrize(
    ("column", "values", "sentence"),
    [
        (
            "donor",
            pd.Categorical(["b", None, "b", "a", "a", "a"]),
            "adata.obs['donor'] (batch_key) has one missing (NaN) value, at cell 'cell-1': fill them in or remove those "
            "cells.",
        ),
        (
            "sex",
            ["m", "f", None, np.nan, "f", "m"],
            "adata.obs['sex'] (categorical_covariate_keys) has 2 missing (NaN) values, the first at cell 'cell-2': fill "
            "them in or remove those cells.",
        ),
        (
            "age",
            NOT_A_NUMBER,
            "adata.obs['age'] (continuous_covariate_keys) has 2 missing (NaN) values, the first at cell 'cell-1': fill "
            "them in or remove those cells.",
        ),
        (
            "mito",
            pd.array([0.5, None, 0, 0, 0, 0], dtype="Float64"),
            "adata.obs['mito'] (continuous_covariate_keys) has one missing (NaN) value, at cell 'cell-1': fill them in "
            "or remove those cells.",
        ),
        (
            "age",
            [1, 2, 3, 4, np.inf, -np.inf],
            "adata.obs['age'] (continuous_covariate_keys) has 2 infinite values, the first at cell 'cell-4': set them "
            "right or remove those cells.",
        ),
        (
            "age",
            ["old", "31", "32", "33", "34", "35"],
            f"adata.obs['age'] (continuous_covariate_keys) is not numeric (dtype {TEXT}, first value 'old'): convert it, "
            "as with adata.obs['age'].astype(float), or give it in categorical_covariate_keys.",
        ),
        (
            "factor",
            pd.Categorical([1.0, 1, 1, 1, 1, 1]),
            "adata.obs['factor'] (size_factor_key) is not numeric (dtype category, first value '1.0'): convert it, as "
            "with adata.obs['factor'].astype(float).",
        ),
        (
            "factor",
            NOT_A_NUMBER,
            "adata.obs['factor'] (size_factor_key) has 2 missing (NaN) values, the first at cell 'cell-1': fill them in "
            "or remove those cells.",
        ),
        (
            "factor",
            [1.0, 0.0, 2.0, -1.0, 1.0, 1.0],
            "adata.obs['factor'] (size_factor_key) has 2 zero or negative values, the first at cell 'cell-1': size "
            "factors must be above 0, so recompute them or remove those cells.",
        ),
        (
            "donor",
            ["b", "b", "lonely", "a", "a", "a"],
            "adata.obs['donor'] has a batch with one cell, 'lonely': join it to another batch or remove its cell.",
        ),
        (
            "donor",
            ["b", "c", "d", "a", "a", "a"],
            "adata.obs['donor'] has 3 batches with one cell, 'b', 'c', 'd': join them or remove their cells.",
        ),
        (
            "plate",
            [1, "1", 1, "1", 1, 1],
            "adata.obs['plate'] has '1' as int and str: make them one, as with adata.obs['plate'].astype(str).",
        ),
    ],
)
def test_columns_that_do_not_serve_are_refused(column, values, sentence):
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(make(**{column: values}), FULL)


def test_a_column_that_is_there_twice_is_refused():
    adata = make()
    adata.obs = pd.concat([adata.obs, adata.obs[["donor"]]], axis=1)
    sentence = "adata.obs has 2 columns called 'donor' (batch_key): rename all but one."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, CountSetup(batch_key="donor"))


def test_repeated_names_are_refused():
    adata = make()
    adata.obs_names = ["x", "y", "x", "z", "y", "w"]
    sentence = "adata.X has 2 repeated cell names, 'x', 'y': make them unique with adata.obs_names_make_unique()."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, SETUP)
    adata.obs_names_make_unique()
    adata.var_names = ["g", "h", "g", "i"]
    sentence = "adata.X has 1 repeated gene name, 'g': make them unique with adata.var_names_make_unique()."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, SETUP)
    adata.var_names_make_unique()
    assert read_counts(adata, SETUP).counts.shape == (6, 4)


def test_nothing_to_read_is_refused():
    with pytest.raises(UserError, match=exactly("adata has no cells: check how it was read or filtered.")):
        read_counts(make()[:0], SETUP)
    with pytest.raises(UserError, match=exactly("adata.X has no genes: check how adata was read or filtered.")):
        read_counts(make()[:, :0], SETUP)
    sentence = "adata has one cell, 'cell-4', but at least 2 are needed to fit: give more cells."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(make()[[4]], SETUP)


@pytest.mark.parametrize(
    ("column", "values", "sentence"),
    [
        (
            "donor",
            ["a", "c", "c", "c", "b", "b"],
            "adata.obs['donor'] has a batch unseen in training, 'c' (3 cells): remove those cells or fit a model with "
            "them, for this one knows 'b', 'a'; predict(adata, batch_free=True) of a loaded model does not read the batch.",
        ),
        (
            "donor",
            ["a", "c", "c", "d", "b", "b"],
            "adata.obs['donor'] has 2 batches unseen in training, 'c' (2 cells), 'd' (1 cell): remove those cells or "
            "fit a model with them, for this one knows 'b', 'a'; predict(adata, batch_free=True) of a loaded model does "
            "not read the batch.",
        ),
        (
            "plate",
            [9, 9, 9, 10, 10, 11],
            "adata.obs['plate'] has a category unseen in training, '11' (1 cell): remove those cells or fit a model "
            "with them, for this one knows '9', '10'.",
        ),
    ],
)
def test_categories_unseen_in_training_are_refused(column, values, sentence):
    categories = read_counts(make(), FULL).categories
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(make(**{column: values}), FULL, categories=categories)


def test_a_covariate_that_the_model_does_not_know_is_refused():
    sentence = "The model was not fitted with the column 'donor': leave it out of the setup."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(make(), FULL, categories={})


def test_genes_other_than_the_models_are_refused():
    adata = make()
    sentence = "adata.X lacks 2 of the model's 5 genes, 'Pvalb', 'Reln': give data that have every gene the model was fitted to."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, SETUP, categories={}, gene_names=["Actb", "Pvalb", "Vip", "Reln", "Sst"])
    ordered = ["Vip", "Sst", "Actb", "Gad1"]
    sentence = "adata.X has the model's genes in another order: give adata[:, model.gene_names]."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, SETUP, categories={}, gene_names=ordered)
    read = read_counts(adata[:, ordered], SETUP, categories={}, gene_names=ordered)
    np.testing.assert_array_equal(read.counts.toarray(), COUNTS[:, [3, 2, 0, 1]])
    sentence = "adata.X has 4 genes, among them the model's 2: give adata[:, model.gene_names]."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, SETUP, categories={}, gene_names=["Actb", "Vip"])


def test_the_mend_for_the_genes_of_raw_does_mend():
    adata = make()
    adata.raw = adata
    ordered = ["Actb", "Sst", "Gad1"]
    setup = CountSetup(layer="raw")
    sentence = (
        "adata.raw.X has 4 genes, among them the model's 3: give an AnnData made by "
        "new = adata.raw.to_adata()[:, model.gene_names].copy(); new.raw = new."
    )
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, setup, categories={}, gene_names=ordered)
    new = adata.raw.to_adata()[:, ordered].copy()
    new.raw = new
    assert list(read_counts(new, setup, categories={}, gene_names=ordered).gene_names) == ordered


def test_a_matrix_that_holds_no_numbers_is_refused():
    adata = make()
    adata.layers["text"] = COUNTS.astype(object)
    sentence = "adata.layers['text'] has dtype object, but counts must be numbers: convert it, as with astype(int)."
    with pytest.raises(UserError, match=exactly(sentence)):
        read_counts(adata, CountSetup(layer="text"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            pd.DataFrame(COUNTS),
            "adata.X is a pandas.DataFrame, not a NumPy array or SciPy sparse matrix in memory: load or convert it first, "
            "as with adata.to_memory().",
        ),
        (
            np.ma.masked_equal(COUNTS, 7),
            "adata.X has one NaN or infinite value, nan at cell 'cell-3', gene 'Sst': set them right or remove those "
            "cells or genes.",
        ),
    ],
)
def test_a_matrix_of_another_kind_is_refused(values, sentence):
    with pytest.raises(UserError, match=exactly(sentence)):
        count_checks.to_count_matrix(values, "adata.X", np.array(CELLS), np.array(GENES))


# --------------------------------------------------------------------------------------------------- warnings


def test_genes_with_no_counts_are_told_of_and_kept():
    x = COUNTS.copy()
    x[:, 1] = 0
    message = exactly("adata.X has 1 gene with no counts, 'Gad1': kept, but nothing can be learned from them.")
    with pytest.warns(DataWarning, match=message) as told:
        read = read_counts(make(x), SETUP)
    assert [each.filename for each in told if each.category is DataWarning] == [__file__]
    assert read.counts.shape == (6, 4)
    read_counts(make(x), SETUP, categories={})  # to predict, a few cells need not have every gene


def test_many_genes_bring_a_hint():
    adata = anndata.AnnData(
        np.ones((2, 10_001), dtype=np.float32),
        obs=pd.DataFrame(index=["x", "y"]),
        var=pd.DataFrame(index=[f"gene-{number}" for number in range(10_001)]),
    )
    message = exactly(
        "adata.X has 10001 genes: a choice of highly variable ones, as with scanpy.pp.highly_variable_genes, is faster "
        "and often better; none is left out unless you do."
    )
    with pytest.warns(DataWarning, match=message):
        assert read_counts(adata, SETUP).counts.shape == (2, 10_001)
    read_counts(adata[:, 1:], SETUP)


# ------------------------------------------------------------------------------------------------- real files


@pytest.mark.parametrize(
    ("name", "shape", "batches"),
    [
        ("zeisel_cortex_subset", (1464, 1000), {"0": 1464}),
        ("starmap_mpfc_spatial", (3190, 166), {"BZ5": 1049, "BZ9": 1053, "BZ14": 1088}),
    ],
)
def test_real_files_read_whole(name, shape, batches):
    path = DATA / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"{path} is not there: set PYRO_VMM_DATA to the folder that holds it")
    adata = anndata.read_h5ad(path)
    before = snapshot(adata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        read = read_counts(adata, CountSetup(batch_key="batch"))
    assert_same_snapshot(before, snapshot(adata))
    assert read.counts.shape == shape
    assert (read.counts != scipy.sparse.csr_array(adata.X)).nnz == 0
    np.testing.assert_allclose(read.library_size, np.asarray(adata.X.sum(axis=1)).ravel())
    sizes = {name: int((read.batch == code).sum()) for code, name in enumerate(read.batch_categories)}
    assert sizes == batches
    logged = adata.copy()
    logged.X = logged.X.log1p()
    with pytest.raises(UserError, match=r"^adata\.X has \d+ non-whole values, the first 1\."):
        read_counts(logged, CountSetup(batch_key="batch"))
