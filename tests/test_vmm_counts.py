"""The facade and the command line on raw counts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from pyro_vmm import VMM, UserError
from pyro_vmm.command_line.main import main
from pyro_vmm.networks import Log1pInput

OPTIONS: dict[str, Any] = {
    "latent_dim": 2,
    "num_components": 10,
    "likelihood": "nb",
    "hidden": (32,),
    "learning_rate": 5e-3,
    "batch_size": 32,
    "max_epochs": 40,
    "patience": None,
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def counts() -> tuple[np.ndarray, np.ndarray]:
    """Three groups, each with its own means, and more variance than Poisson's."""
    rng = np.random.default_rng(0)
    y, means = rng.integers(3, size=300), np.exp(rng.normal(1.5, 1.5, size=(3, 30)))
    return rng.poisson(rng.gamma(10.0, means[y] / 10.0)).astype(np.float32), y


@pytest.mark.parametrize("likelihood", ["poisson", "nb", "zinb"])
def test_groups_of_counts_are_told_apart(
    likelihood: str, counts: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x, y = counts
    model = VMM(**OPTIONS | {"likelihood": likelihood}).fit(x)
    assert adjusted_rand_score(y, model.predict(x, num_clusters=3)) > 0.9
    torch.manual_seed(0)
    drawn = model.sample(2000)
    assert (drawn == np.rint(drawn)).all()
    assert drawn.min() >= 0
    assert isinstance(model.guide_.encoder, Log1pInput)
    inputs, _ = model.model_.prior.encoded_centres.pseudo_inputs()
    assert (inputs > 0).all()
    model.save(tmp_path)
    np.testing.assert_array_equal(VMM.load(tmp_path).predict_proba(x), model.predict_proba(x))


def test_pseudo_inputs_are_positive_for_counts_and_free_otherwise(counts: tuple[np.ndarray, np.ndarray]) -> None:
    short = OPTIONS | {"max_epochs": 1}
    for options, domain in (
        ({}, "positive"),
        ({"likelihood": "student-t", "standardize": True}, "free"),
        ({"pseudo_input_domain": (0.0, 1e4)}, (0.0, 1e4)),
    ):
        model = VMM(**short | options).fit(counts[0])
        assert model.model_.prior.encoded_centres.pseudo_inputs.domain == domain


@pytest.mark.parametrize("likelihood", ["poisson", "nb", "zinb"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, r"whole numbers.*observation 7 .*feature 2, where the value is 0\.5: give raw counts, not normalised"),
        (
            -1.0,
            r"\[0, inf\).*observation 7 .*feature 2, where the value is -1: give raw counts, not normalised values\.$",
        ),
    ],
)
def test_what_is_no_count_is_refused(
    likelihood: str, value: float, message: str, counts: tuple[np.ndarray, np.ndarray]
) -> None:
    x = counts[0].copy()
    x[7, 2] = value
    with pytest.raises(UserError, match=f"likelihood='{likelihood}' needs.*{message}"):
        VMM(**OPTIONS | {"likelihood": likelihood}).fit(x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"standardize": True}, "standardize=True would turn counts into fractions.*'nb'"),
        ({"pseudo_input_domain": "free"}, "pseudo_input_domain='free' lets pseudo-inputs fall below 0"),
        ({"pseudo_input_domain": (-1.0, 1e4)}, "fall below 0"),
        ({"likelihood_options": {"num_batches": 2}}, "gives num_batches=2, and for these data it is 1: leave it out"),
        (
            {"likelihood_options": {"num_features": 7}},
            "gives num_features=7, and for these data it is 30: leave it out",
        ),
    ],
)
def test_mistakes_in_options(options: dict[str, Any], message: str, counts: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(UserError, match=message):
        VMM(**OPTIONS | options).fit(counts[0])


def test_command_line_fits_counts(counts: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    np.save(tmp_path / "counts.npy", counts[0][:60].astype(np.int32))
    small = ["--num-components", "4", "--latent-dim", "2", "--max-epochs", "1", "--device", "cpu", "--quiet"]
    output = str(tmp_path / "out")
    assert main(["fit", str(tmp_path / "counts.npy"), "--output", output, "--likelihood", "nb", *small]) == 0
    assert VMM.load(output).model_.likelihood.whole_numbers
