"""Values far from zero and close together: what float32 would make equal stays apart."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score

from pyro_vmm import VMM, ppc
from pyro_vmm.command_line.main import main
from pyro_vmm.data import DataWarning

OFFSET = 1e9
SMALL: dict[str, Any] = {
    "latent_dim": 2,
    "num_components": 5,
    "likelihood": "normal",
    "hidden": (16,),
    "batch_size": 64,
    "learning_rate": 1e-2,
    "max_epochs": 10,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def groups() -> tuple[np.ndarray, np.ndarray]:
    """Two groups 20 standard deviations apart, ``[200, 2]``, and their labels."""
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(0, 1, (100, 2)), random.normal(20, 1, (100, 2))])
    return x, np.repeat([0, 1], 100)


@pytest.fixture(scope="module")
def fitted(groups: tuple[np.ndarray, np.ndarray]) -> VMM:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return VMM(**SMALL, standardize=True).fit(groups[0] + OFFSET)


def test_an_offset_changes_nothing_once_standardized(fitted: VMM, groups: tuple[np.ndarray, np.ndarray]) -> None:
    x, labels = groups
    without = VMM(**SMALL, standardize=True).fit(x)
    far = x + OFFSET
    assert adjusted_rand_score(labels, fitted.predict(far)) == 1.0
    np.testing.assert_allclose(fitted.transform(far), without.transform(x), atol=1e-3)
    np.testing.assert_allclose(fitted.score_samples(far, 10), without.score_samples(x, 10), atol=1e-2)
    np.testing.assert_allclose(fitted.score(far), without.score(x), atol=1e-2)
    np.testing.assert_allclose(fitted.decoded_centres() - OFFSET, without.decoded_centres(), atol=1e-2)
    pseudo_inputs, near = fitted.pseudo_inputs(), without.pseudo_inputs()
    assert pseudo_inputs is not None
    assert near is not None
    np.testing.assert_allclose(pseudo_inputs - OFFSET, near, atol=1e-2)


def test_a_few_rows_are_centred_as_all_were(fitted: VMM, groups: tuple[np.ndarray, np.ndarray]) -> None:
    far = groups[0] + OFFSET
    np.testing.assert_allclose(fitted.transform(far[:1]), fitted.transform(far)[:1], atol=1e-6)
    with_an_outlier = np.vstack([far[:3], [[0.0, 0.0]]])
    np.testing.assert_allclose(fitted.transform(with_an_outlier)[:3], fitted.transform(far)[:3], atol=1e-6)


@pytest.mark.parametrize("kind", [torch.from_numpy, np.ma.MaskedArray, pd.DataFrame, csr_array])
def test_one_row_of_any_kind_is_centred_as_an_array(
    fitted: VMM, groups: tuple[np.ndarray, np.ndarray], kind: Callable[[np.ndarray], Any]
) -> None:
    row = groups[0][:1] + OFFSET
    np.testing.assert_array_equal(fitted.transform(kind(row)), fitted.transform(row))


def test_samples_keep_their_digits(fitted: VMM) -> None:
    draws = fitted.sample(50)
    assert draws.dtype == np.float64
    assert len(np.unique(draws)) == draws.size


def test_a_stored_fit_answers_as_it_did(fitted: VMM, groups: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    far = groups[0] + OFFSET
    fitted.save(tmp_path / "model")
    loaded = VMM.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.feature_mean_, fitted.feature_mean_)
    assert loaded.feature_mean_.dtype == np.float64
    np.testing.assert_array_equal(loaded.transform(far), fitted.transform(far))


def test_predictive_checks_are_in_full_precision(fitted: VMM, groups: tuple[np.ndarray, np.ndarray]) -> None:
    far = groups[0] + OFFSET
    checked = ppc.check(fitted, far, statistics=[ppc.Statistic("range", np.ptp)], num_replicates=3)
    assert checked["range"].observed == pytest.approx(np.ptp(far), abs=1e-6)


def test_without_standardizing_a_warning_says_what_is_lost_and_what_helps(
    groups: tuple[np.ndarray, np.ndarray],
) -> None:
    table = pd.DataFrame(groups[0] + OFFSET, columns=["east", "north"])
    table["height"] = groups[0][:, 0]
    with pytest.warns(DataWarning, match=r"200 different values in column 'east'.* keeps 1 of them.*standardize=True"):
        model = VMM(**SMALL | {"max_epochs": 1}).fit(table)
    with pytest.warns(DataWarning, match="column 'east'"):
        model.predict(table)


def test_far_outliers_are_named_where_standardizing_does_not_help(groups: tuple[np.ndarray, np.ndarray]) -> None:
    x = groups[0] + OFFSET
    x[5] = 0.0  # a code for missing values
    with pytest.warns(DataWarning, match=r"column 0.*too far from the others: remove or correct them"):
        VMM(**SMALL | {"max_epochs": 1}, standardize=True).fit(x)


def test_the_command_keeps_digits(groups: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    pd.DataFrame(groups[0] + OFFSET, columns=["a", "b"]).to_csv(tmp_path / "x.csv", index=False)
    options = "--latent-dim 2 --num-components 5 --max-epochs 10 --batch-size 64 --learning-rate 1e-2 --quiet"
    assert main(["fit", str(tmp_path / "x.csv"), "--output", str(tmp_path / "fit"), *options.split()]) == 0
    found = pd.read_csv(tmp_path / "fit" / "clusters.csv")["cluster"]
    assert adjusted_rand_score(groups[1], found) == 1.0
