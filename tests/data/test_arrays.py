import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from pyro_vmm.data import arrays, check_range, validate_array
from pyro_vmm.errors import UserError

TABLE = np.array([[0.0, 1.5], [2.0, 0.0], [-3.0, 4.0]])


@pytest.mark.parametrize(
    "x",
    [
        TABLE,
        TABLE.astype(np.float16),
        TABLE.astype(">f8"),
        np.asfortranarray(TABLE),
        TABLE.tolist(),
        pd.DataFrame(TABLE, columns=["a", "b"]),
        pd.DataFrame(TABLE).astype("Float64"),
        pd.DataFrame({"a": [0, 2, -3], "b": [1.5, 0.0, 4.0]}),
        scipy.sparse.csr_matrix(TABLE),
        scipy.sparse.coo_array(TABLE),
        torch.tensor(TABLE, requires_grad=True),
        torch.tensor(TABLE).bfloat16(),
        torch.tensor(TABLE).to_sparse(),
        np.ma.MaskedArray(TABLE),
    ],
)
def test_every_container_gives_the_same_float32_table(x):
    values = validate_array(x)
    assert type(values) is np.ndarray
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    np.testing.assert_array_equal(values, TABLE.astype(np.float32))


@pytest.mark.parametrize("x", [[[True, False], [False, True]], pd.DataFrame({"a": [True, False], "b": [0.0, 1.0]})])
def test_booleans_become_zeros_and_ones(x):
    np.testing.assert_array_equal(validate_array(x), np.eye(2, dtype=np.float32))


def test_integer_counts_keep_their_values():
    np.testing.assert_array_equal(validate_array(np.array([[0, 255], [7, 2**24]])), [[0, 255], [7, 2**24]])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(5), r"one dimension.*reshape\(-1, 1\)"),
        (pd.Series([1.0, 2.0]), "one dimension"),
        (np.zeros((3, 2, 2)), r"3 dimensions.*reshape\(len\(X\), -1\)"),
        (np.float64(1.0), "0 dimensions"),
        (np.zeros((3, 0)), "no features"),
        (pd.DataFrame(index=range(3)), "no features"),
        (np.zeros((0, 3)), "empty"),
        (np.zeros((1, 3)), "1 observation, but at least 2"),
        ([], "one dimension"),
        ([[1.0, 2.0], [3.0]], "equal length"),
        (TABLE.astype(complex), "complex"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": [1j, 2j]}), "'b'"),
        (scipy.sparse.csr_matrix(TABLE.astype(complex)), "complex"),
        (TABLE.astype(object), "dtype object"),
        ([[1.0, None], [2.0, 3.0]], "dtype object"),
        ([["a", "b"], ["c", "d"]], "not numeric"),
        (np.zeros((3, 2), dtype="M8[s]"), "not numeric"),
        (
            pd.DataFrame({"age": [1, 2], "name": ["x", "y"], "day": pd.to_datetime(["2020-01-01"] * 2)}),
            "'name', 'day'",
        ),
        (np.ma.MaskedArray(TABLE, mask=TABLE > 3), "1 masked"),
        ({"a": 1}, "dtype object"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(x, message):
    with pytest.raises(UserError, match=message):
        validate_array(x)


def test_missing_and_infinite_values_are_counted_and_the_first_is_located():
    x = TABLE.copy()
    x[1, 1], x[2, 0], x[2, 1] = np.nan, np.inf, np.nan
    with pytest.raises(UserError, match=r"counts has 2 missing \(NaN\) and 1 infinite.*observation 1 .*column 1:"):
        validate_array(x, name="counts")
    frame = pd.DataFrame(x, columns=["height", "weight"], index=["anna", "ben", "cleo"])
    with pytest.raises(UserError, match=r"observation 1 .*named 'ben', column 'weight'"):
        validate_array(frame)
    with pytest.raises(UserError, match=r"1 missing.*observation 1"):
        validate_array(pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}))
    with pytest.raises(UserError, match=r"2 missing.* 1 infinite"):
        validate_array(scipy.sparse.csr_matrix(x))


def test_values_beyond_float32_are_refused_and_not_made_infinite():
    for x in (np.array([[1.0], [1e39]]), scipy.sparse.csr_matrix([[1.0], [1e39]])):
        with pytest.raises(UserError, match=r"1 values too large for float32.*observation 1"):
            validate_array(x)


def test_sparse_input_is_not_expanded_beyond_the_bound(monkeypatch):
    monkeypatch.setattr(arrays, "MAXIMUM_DENSE_BYTES", 4 * TABLE.size)
    validate_array(scipy.sparse.csr_matrix(TABLE))
    wide = scipy.sparse.csr_matrix((3, 3))
    for x in (wide, torch.zeros(3, 3).to_sparse()):
        with pytest.raises(UserError, match="sparse and would need"):
            validate_array(x)


def test_minimum_observations_can_be_lowered_for_prediction():
    assert validate_array([[1.0, 2.0]], minimum_observations=1).shape == (1, 2)


def test_range_holds_its_ends():
    check_range(np.array([[0.0, 1.0]]), 0.0, 1.0, "bernoulli")
    check_range(np.array([[0.0, 1e30]]), 0.0, np.inf, "poisson")


def test_range_names_likelihood_range_place_and_mend():
    x = np.array([[0.0, 0.5], [0.5, 16.0], [-2.0, 0.0]])
    with pytest.raises(UserError) as raised:
        check_range(x, 0.0, 1.0, "bernoulli")
    message = str(raised.value)
    for part in (
        "likelihood='bernoulli'",
        "[-2, 16]",
        "observation 1 ",
        "feature 1",
        "is 16",
        "scale to [0, 1] or choose likelihood='normal'",
    ):
        assert part in message
    with pytest.raises(UserError, match=r"likelihood='nb' needs values in \[0, inf\).*observation 2"):
        check_range(x, 0.0, np.inf, "nb")


@pytest.mark.parametrize(("high", "mend"), [(2.0, "correct these values"), (np.inf, "give raw counts")])
def test_of_counts_that_cannot_be_neither_scale_nor_likelihood_is_the_mend(high, mend):
    with pytest.raises(UserError, match=mend) as raised:
        check_range(np.array([[-1.0, 1.0]]), 0.0, high, "Genotypes", whole_numbers=True)
    assert "normal'" not in str(raised.value)
    assert "scale to" not in str(raised.value)


def test_range_refuses_what_is_not_a_number():
    with pytest.raises(UserError, match="observation 0"):
        check_range(np.array([[np.nan]]), 0.0, 1.0, "bernoulli")
