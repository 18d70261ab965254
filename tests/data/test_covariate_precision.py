"""Covariates of cells are centred before they are cut to float32, and what that cut still merges is said."""

import warnings
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.data import CountSetup, DataWarning, read_counts
from pyro_vmm.modalities.count_covariates import CovariateEncoding
from pyro_vmm.single_cell import simulate_cells

STEPS = np.arange(60.0)


def cells(**columns: Any) -> anndata.AnnData:
    adata = simulate_cells(60, 10, seed=1)
    for name, values in columns.items():
        adata.obs[name] = values
    return adata


def encoded(values: Any) -> np.ndarray:
    read = read_counts(cells(t=values), CountSetup(continuous_covariate_keys=["t"]))
    return CovariateEncoding.of(read, observed_library=True).tensors(read)["continuous"].numpy()[:, 0]


@pytest.mark.parametrize("offset", [1e9, 1.7e9, -1e12, 1e15])
def test_an_offset_changes_nothing(offset: float) -> None:
    centred = (STEPS - STEPS.mean()) / STEPS.std()
    np.testing.assert_allclose(encoded(STEPS + offset), centred, atol=1e-6)
    np.testing.assert_allclose(encoded((STEPS + offset).astype(np.int64)), centred, atol=1e-6)


def test_ordinary_covariates_are_rounded_as_in_version_0_1() -> None:
    for values in (np.random.default_rng(0).random(60), np.random.default_rng(1).normal(5.0, 1.0, 60), STEPS):
        rounded = values.astype(np.float32).astype(np.float64)
        before = ((rounded - rounded.mean(0)) / rounded.std(0)).astype(np.float32)
        np.testing.assert_array_equal(encoded(values), before)


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, 0.0])
def test_a_constant_becomes_zero_and_other_values_of_it_stay_finite(value: float) -> None:
    np.testing.assert_array_equal(encoded(np.full(60, value)), np.zeros(60))
    read = read_counts(cells(t=np.full(60, value)), CountSetup(continuous_covariate_keys=["t"]))
    assert CovariateEncoding.of(read, observed_library=True).continuous_scale == (1.0,)


def test_queries_are_centred_alike() -> None:
    adata = cells(t=STEPS + 1e9)
    SingleCellVMM.setup_anndata(adata, continuous_covariate_keys=["t"])
    model = SingleCellVMM(adata, n_latent=2, num_components=3, n_hidden=8)
    model.train(max_epochs=1, batch_size=20)
    some = [5, 40, 41]
    np.testing.assert_array_equal(
        model._cells(adata[some], None).covariates["continuous"], model._cells(None, some).covariates["continuous"]
    )
    assert len(np.unique(model._cells(None, None).covariates["continuous"])) == 60


NANOSECONDS = 1_700_000_000_000_000_000 + np.arange(60)


@pytest.mark.parametrize(
    ("values", "left", "advice"),
    [
        pytest.param(np.append(STEPS[:59], 1e12), 2, "adata.obs['t'].rank()", id="an outlier"),
        pytest.param(NANOSECONDS, 1, "adata.obs['t'] - adata.obs['t'].min()", id="beyond float64"),
        pytest.param(1e-300 * STEPS, 1, "adata.obs['t'].rank()", id="squares beyond float64"),
    ],
)
def test_values_merged_nevertheless_bring_a_warning_whose_advice_works(values: Any, left: int, advice: str) -> None:
    adata = cells(t=values)
    with pytest.warns(DataWarning) as seen:
        read_counts(adata, CountSetup(continuous_covariate_keys=["t"]))
    assert len(seen) == 1
    assert f"adata.obs['t'] (continuous_covariate_keys) has 60 distinct values, of which only {left} stay" in str(
        seen[0].message
    )
    assert str(seen[0].message).endswith(advice + ".")
    adata.obs["t"] = eval(advice)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_counts(adata, CountSetup(continuous_covariate_keys=["t"]))


def test_random_numbers_bring_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoded(np.random.default_rng(0).lognormal(3.0, 2.0, 60))


def test_size_factors_too_small_for_float32_are_refused_with_advice_that_works() -> None:
    adata = cells(t=1e-50 * (STEPS + 1.0))
    with pytest.raises(
        UserError, match=r"has 60 too small values, .*: only their ratios count, so divide all by their mean"
    ):
        read_counts(adata, CountSetup(size_factor_key="t"))
    adata.obs["t"] = adata.obs["t"] / adata.obs["t"].mean()
    read = read_counts(adata, CountSetup(size_factor_key="t"))
    np.testing.assert_allclose(read.size_factor, (STEPS + 1.0) / 30.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (
            pd.Timestamp("2024-01-01") + pd.to_timedelta(STEPS, "s"),
            "(adata.obs['t'] - adata.obs['t'].min()).dt.total_seconds()",
        ),
        (pd.to_timedelta(STEPS, "s"), "adata.obs['t'].dt.total_seconds()"),
    ],
)
def test_dates_come_with_a_conversion_that_works(values: Any, advice: str) -> None:
    adata = cells(t=values)
    with pytest.raises(UserError) as caught:
        read_counts(adata, CountSetup(continuous_covariate_keys=["t"]))
    assert f"convert it, as with {advice}, or give it in categorical_covariate_keys." in str(caught.value)
    np.testing.assert_allclose(encoded(eval(advice)), (STEPS - STEPS.mean()) / STEPS.std(), atol=1e-6)
