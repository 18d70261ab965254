"""What is said of a training: histories that ended too early or learned by heart, and sound ones."""

import numpy as np
import pandas as pd
import pytest

from pyro_vmm.diagnosis.convergence import convergence, falling_clusters
from pyro_vmm.diagnosis.over_fitting import over_fitting


def history(validation: np.ndarray, training: np.ndarray | None = None, clusters=5.0) -> pd.DataFrame:
    training = validation if training is None else training
    return pd.DataFrame(
        {"elbo": training, "validation_elbo": validation, "components_in_use": clusters + 0.0 * training}
    )


def approach(time_constant: float, epochs: int = 40, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """An ELBO that rises by 100 nats, exponentially, to -50."""
    rise = -50 - 100 * np.exp(-np.arange(epochs) / time_constant)
    return rise + noise * np.random.default_rng(seed).normal(size=epochs)


def test_an_elbo_still_rising_at_the_last_epoch_is_told() -> None:
    finding = convergence(history(approach(40)))
    assert finding.severity == "warning"
    assert "best at epoch 40 of 40 and still rising: by" in finding.sentence
    assert "max_epochs" in finding.advice
    assert convergence(history(approach(9))).severity == "notice"


def test_a_level_elbo_is_left_alone_nearly_wherever_noise_puts_its_best() -> None:
    said = [convergence(history(approach(4, noise=0.5, seed=seed))).severity for seed in range(60)]
    assert "warning" not in said
    assert said.count("notice") <= 3


def test_noise_is_not_taken_for_a_rise() -> None:
    level = np.r_[-60.0, np.tile([-50.0, -52.0], 20), -49.9]
    assert level.argmax() == len(level) - 1
    assert convergence(history(level)).severity == "fine"


def test_a_training_that_patience_ended_is_left_alone() -> None:
    rise = approach(10, 30)
    finding = convergence(history(np.r_[rise, np.full(8, rise[-1] - 1)]))
    assert finding.severity == "fine"
    assert "best at epoch 30 of 38" in finding.sentence


def test_without_held_out_observations_the_training_elbo_is_looked_at() -> None:
    missing = np.full(40, np.nan)
    assert "The training ELBO" in convergence(history(missing, approach(40))).sentence
    assert convergence(history(missing, approach(40))).severity == "warning"
    finding = over_fitting(history(missing, approach(40)))
    assert finding is not None
    assert finding.severity == "notice"
    assert "cannot be seen" in finding.sentence


def test_a_few_epochs_are_too_few() -> None:
    assert convergence(history(approach(1, 3))).severity == "warning"
    assert falling_clusters(history(approach(1, 3))) is None
    assert over_fitting(history(approach(1, 3))) is None


def test_clusters_still_dying_are_told() -> None:
    level = approach(4)
    falling = falling_clusters(history(level, clusters=np.r_[np.full(20, 60.0), np.arange(60, 20, -2)]))
    assert falling is not None
    assert falling.severity == "notice"
    assert "from 40 to 22" in falling.sentence
    coming_and_going = 5.0 + np.tile([0.0, 1.0], 20)
    for clusters in (5.0, coming_and_going, np.r_[np.arange(80, 50, -1), np.full(10, 50.0)], np.arange(40.0)):
        finding = falling_clusters(history(level, clusters=clusters))
        assert finding is not None
        assert finding.severity == "fine"


def test_what_components_make_is_told_with_their_number() -> None:
    """A level number of components says little of the clusters that a user gets."""
    table = history(approach(4), clusters=100.0)
    table["clusters_in_use"] = np.where(np.arange(40) % 10 == 9, 11.0, np.nan)
    finding = falling_clusters(table)
    assert finding is not None
    assert "Components in use went from 100 to 100" in finding.sentence
    assert "Joined, they made 11 clusters" in finding.sentence
    stored = table.drop(columns="clusters_in_use").rename(columns={"components_in_use": "clusters_in_use"})
    found = falling_clusters(stored)  # as version 0.1 called them
    assert found is not None
    assert found.sentence.startswith("Components in use went from 100 to 100")
    assert "Joined" not in found.sentence


def test_learning_by_heart_is_told_by_the_rise_that_held_out_observations_did_not_share() -> None:
    training = approach(10)
    early = np.concatenate([training[:6], training[5] - 5.0 * np.arange(1, 35)])
    finding = over_fitting(history(early, training))
    assert finding is not None
    assert finding.severity == "fine", "the state kept is of the best epoch, until which both rose alike"
    half = training[0] + 0.3 * (training - training[0])
    finding = over_fitting(history(half, training))
    assert finding is not None
    assert finding.severity == "warning"
    assert finding.value == pytest.approx(0.7, abs=0.06)
    fallen = over_fitting(history(-50.0 - np.arange(40.0), training))
    assert fallen is not None
    assert fallen.severity == "warning"
    assert "best at epoch 1 of 40" in fallen.sentence


def test_the_first_epoch_rises_more_in_training_only_because_it_is_a_mean_over_the_epoch() -> None:
    fine_grained = approach(30, 400)
    validation = fine_grained[9::10]
    finding = over_fitting(history(validation, fine_grained.reshape(40, 10).mean(1)))
    assert finding is not None
    # Rises taken from the same rows of the two columns would differ by 0.14.
    assert abs(finding.value) < 0.04


def test_held_out_observations_that_are_harder_are_not_over_fitting() -> None:
    finding = over_fitting(history(approach(10) - 80.0, approach(10)))
    assert finding is not None
    assert finding.severity == "fine"
    assert abs(finding.value) < 0.1
