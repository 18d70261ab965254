import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from pyro_vmm.data import load_input, validate_array
from pyro_vmm.data.rounding import is_coarse, merged_values
from pyro_vmm.data.standardization import moments
from pyro_vmm.errors import UserError

RANDOM = np.random.default_rng(0).normal(size=(200, 2))
CLOSE = RANDOM + 1e9
WITH_A_SENTINEL = CLOSE.copy()
WITH_A_SENTINEL[7] = 0.0


@pytest.mark.parametrize(
    "x",
    [
        CLOSE,
        CLOSE.astype(np.int64),
        np.array([[16_777_216], [16_777_217], [16_777_219]]),
        RANDOM * 1e-60,
        RANDOM * 1e60,
        WITH_A_SENTINEL,
        np.hstack([RANDOM, CLOSE]),
    ],
    ids=["offset", "integers", "beyond 2**24", "tiny", "huge", "sentinel", "one column of several"],
)
def test_values_far_from_zero_and_close_together_are_kept_in_float64(x: np.ndarray) -> None:
    assert is_coarse(x)
    values = validate_array(x, dtype=None)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, x)


@pytest.mark.parametrize(
    "x",
    [
        RANDOM,
        RANDOM * 1e6 + 1e6,
        RANDOM.astype(np.float32) + np.float32(1e9),
        np.array([[1999.0], [2000.0]]),  # held exactly
        np.zeros((5, 2)),
        np.full((5, 2), 0.1),
        0.1 + np.array([[0.0], [1e-17], [2e-17]]),  # rounding errors
        np.array([[1.0, 2.0]]),
        np.array([[np.nan], [1.0]]),
    ],
)
def test_other_values_are_float32_as_ever(x: np.ndarray) -> None:
    assert not is_coarse(x)
    assert merged_values(x) is None


@pytest.mark.parametrize(
    "container",
    [pd.DataFrame, scipy.sparse.csr_matrix, scipy.sparse.coo_array, torch.tensor, np.ma.MaskedArray, np.ndarray.tolist],
)
def test_every_container_keeps_its_digits(container) -> None:
    values = validate_array(container(CLOSE), dtype=None)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, CLOSE)
    assert validate_array(container(CLOSE)).dtype == np.float32


def test_the_values_that_become_one_are_counted() -> None:
    found = merged_values(np.hstack([RANDOM, CLOSE]))
    assert found is not None
    assert (found.feature, found.distinct, found.num_features) == (2, 200, 2)
    assert found.left == len(np.unique(CLOSE[:, 0].astype(np.float32)))


def test_tables_and_arrays_on_disk_keep_their_digits(tmp_path) -> None:
    pd.DataFrame(CLOSE, columns=["a", "b"]).to_csv(tmp_path / "x.csv", index=False)
    np.save(tmp_path / "x.npy", CLOSE)
    np.savez(tmp_path / "x.npz", X=CLOSE)
    for name in ("x.csv", "x.npy", "x.npz"):
        np.testing.assert_allclose(load_input(tmp_path / name).x, CLOSE, rtol=1e-15)


def test_moments_are_exact_where_the_values_are() -> None:
    mean, scale = moments(CLOSE)
    np.testing.assert_allclose(mean - 1e9, RANDOM.mean(0), atol=1e-6)
    np.testing.assert_allclose(scale, RANDOM.std(0), rtol=1e-6)
    constant = np.hstack([CLOSE, np.full((200, 1), 0.1)])
    assert moments(constant)[1][2] == 1.0


def test_squares_beyond_float64_are_refused() -> None:
    with pytest.raises(UserError, match=r"column 1 whose squares are too large for float64: rescale"):
        moments(np.hstack([CLOSE[:, :1], RANDOM[:, :1] * 1e200]))
