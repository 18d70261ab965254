"""``VMM.diagnose`` and ``VMM.stability`` on fits: one that went well, and some made to go wrong in one way each."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError

from pyro_vmm import VMM, UserError
from pyro_vmm.diagnosis import Diagnosis

OPTIONS: dict[str, Any] = {
    "latent_dim": 2,
    "num_components": 10,
    "likelihood": "normal",
    "hidden": (32,),
    "learning_rate": 1e-2,
    "prior_learning_rate": 1e-2,
    "batch_size": 64,
    "max_epochs": 12,
    "standardize": True,
    "device": "cpu",
    "random_state": 0,
}
X = make_blobs(300, n_features=6, centers=3, cluster_std=0.5, random_state=1)[0]


def fit(x: np.ndarray = X, **options: Any) -> VMM:
    return VMM(**OPTIONS | options).fit(x)


@pytest.fixture(scope="module")
def short() -> VMM:
    return fit()


@pytest.fixture(scope="module")
def healthy() -> Diagnosis:
    return fit(max_epochs=60, prior_weight=20.0).diagnose(X)


def test_a_fit_that_went_well_is_called_healthy(healthy: Diagnosis) -> None:
    assert healthy.healthy, str(healthy)
    assert len(healthy.findings) == 13
    # Ill fits of the tests below have at least a notice of these.
    for name in (
        "one cluster",
        "shared observations",
        "absorbed groups",
        "truncation",
        "posterior collapse",
        "information in the embedding",
        "reconstruction",
    ):
        assert healthy[name].severity == "fine", str(healthy)


def test_everything_in_one_cluster() -> None:
    found = fit(num_components=3, prior_weight=1.0).diagnose()
    assert found["one cluster"].severity == "warning"


def test_duplicated_components_and_crumbs() -> None:
    model = fit(prior="gaussian-mixture", prior_inference="mle", num_components=40, max_epochs=8, merging="none")
    found = model.diagnose()
    assert found["overlapping clusters"].severity in ("notice", "warning")
    assert found["small clusters"].severity in ("notice", "warning")
    left = int(found["overlapping clusters"].advice.split("num_clusters=")[1].split(")")[0])
    assert left < model.n_clusters_
    assert model.predict(X, num_clusters=left).max() == left - 1


def test_pieces_of_one_group_share_observations() -> None:
    one_group = np.random.default_rng(0).normal(size=(300, 6))
    found = fit(one_group, prior="gaussian-mixture", prior_inference="mle", max_epochs=30, merging="none").diagnose(
        one_group
    )
    assert found["shared observations"].severity == "warning", str(found)
    assert "rejoin(merging='misclassification')" in found["shared observations"].advice


def test_a_truncation_that_binds() -> None:
    found = fit(prior="gaussian-mixture", num_components=2, random_state=1).diagnose()
    assert found["truncation"].severity == "warning"


def test_a_training_that_was_too_short(short: VMM) -> None:
    found = short.diagnose(X)
    assert found["convergence"].severity == "warning"
    assert "best at epoch 12 of 12 and still rising" in found["convergence"].sentence


def test_noise_collapses_the_posterior_and_leaves_nothing_to_know() -> None:
    noise = np.random.default_rng(0).normal(size=(300, 6))
    found = fit(noise, prior="standard-normal", latent_dim=4, max_epochs=30).diagnose(noise)
    assert found["information in the embedding"].severity == "warning"
    assert found["reconstruction"].severity == "warning"
    assert found["posterior collapse"].severity == "warning"
    assert "KL from the prior" in found["posterior collapse"].sentence


def test_a_few_observations_of_many_features_are_learned_by_heart() -> None:
    x = np.random.default_rng(0).normal(size=(60, 300))
    model = fit(x, prior="standard-normal", max_epochs=40, hidden=(128,), latent_dim=10, batch_size=16)
    assert model.diagnose()["over-fitting"].severity == "warning"


def test_without_observations_it_says_what_was_not_looked_at(short: VMM, healthy: Diagnosis) -> None:
    names = {finding.name for finding in short.diagnose().findings}
    assert short.diagnose()["embedding"].severity == "notice"
    of_observations = {
        "shared observations",
        "absorbed groups",
        "posterior collapse",
        "information in the embedding",
        "reconstruction",
        "guide quality",
    }
    assert {finding.name for finding in healthy.findings} == (names - {"embedding"}) | of_observations


def test_the_same_fit_has_the_same_findings_and_keeps_them_on_disk(short: VMM, tmp_path: Path) -> None:
    short.save(tmp_path)
    for again, found in zip(VMM.load(tmp_path).diagnose(X).findings, short.diagnose(X).findings, strict=True):
        # The history comes back from decimals.
        assert again == replace(found, value=pytest.approx(found.value, rel=1e-9, nan_ok=True))


def test_stability_refits_with_other_seeds_and_leaves_the_fit_alone() -> None:
    model = fit(max_epochs=3)
    weights, labels = model.weights_.copy(), model.labels_.copy()
    found = model.stability(X, num_seeds=3)
    np.testing.assert_array_equal(model.weights_, weights)
    np.testing.assert_array_equal(model.labels_, labels)
    assert found.seeds == (0, 1, 2)
    assert found.clusters_per_run[0] == model.n_clusters_
    assert found.clusters_per_run[2] == fit(max_epochs=3, random_state=2).n_clusters_
    assert found.rand_index[0, 1] < 1.0, "another seed is another fit"
    assert "3 runs found" in model.diagnose()["stability between seeds"].sentence
    model.fit(X)
    with pytest.raises(KeyError):
        model.diagnose()["stability between seeds"]


def test_mistakes(short: VMM) -> None:
    with pytest.raises(NotFittedError):
        VMM(**OPTIONS).diagnose()
    with pytest.raises(NotFittedError):
        VMM(**OPTIONS).stability(X)
    with pytest.raises(UserError, match="9 observations"):
        short.diagnose(X[:9])
    with pytest.raises(UserError, match="num_seeds is 1"):
        short.stability(X, num_seeds=1)
