"""Reliability of responsibilities, where the truth is known."""

import numpy as np
import pytest

from pyro_vmm import UserError
from pyro_vmm.diagnosis import reliability

RNG = np.random.default_rng(0)
TRUE = RNG.dirichlet([0.4] * 4, size=20_000)
GROUPS = np.array(["a", "b", "c", "d"])[(TRUE.cumsum(1) < RNG.random((20_000, 1))).sum(1)]


def sharpened(power: float) -> np.ndarray:
    powered = TRUE**power
    return powered / powered.sum(1, keepdims=True)


def test_true_probabilities_are_calibrated() -> None:
    found = reliability(GROUPS, TRUE)
    assert found.expected_calibration_error < 0.015
    assert abs(found.over_confidence) < 0.01
    table = found.to_frame()
    assert table["observations"].sum() == 20_000
    well_filled = table[table["observations"] > 1000]
    np.testing.assert_allclose(well_filled["confidence"], well_filled["accuracy"], atol=0.04)


def test_sharper_ones_are_over_sure_and_flatter_ones_too_vague() -> None:
    sure, vague = reliability(GROUPS, sharpened(3.0)), reliability(GROUPS, sharpened(0.4))
    assert sure.over_confidence > 0.1
    assert vague.over_confidence < -0.1
    # Arg-max and thus accuracy are the same; the error is all on one side.
    assert sure.expected_calibration_error == pytest.approx(sure.over_confidence, abs=0.005)
    assert "over-sure by" in str(sure)
    assert "too vague by" in str(vague)


def test_clusters_in_any_order_and_number_stand_for_their_groups() -> None:
    halves = np.repeat(TRUE[:, [2, 0, 3, 1]] / 2, 2, axis=1)
    found = reliability(GROUPS, halves)
    names = found.groups[found.matched]
    np.testing.assert_array_equal(names, ["c", "c", "a", "a", "d", "d", "b", "b"])
    np.testing.assert_allclose(found.counts, reliability(GROUPS, TRUE).counts)
    assert found.expected_calibration_error == pytest.approx(reliability(GROUPS, TRUE).expected_calibration_error)


def test_one_to_one_a_cluster_left_over_is_always_wrong() -> None:
    groups = np.repeat([0, 1], 50)
    clusters = np.eye(3)[np.r_[np.zeros(30, int), np.full(20, 2), np.ones(50, int)]]
    assert reliability(groups, clusters).accuracy[-1] == 1.0
    found = reliability(groups, clusters, matching="hungarian")
    np.testing.assert_array_equal(found.matched, [0, 1, -1])
    assert found.accuracy[-1] == pytest.approx(0.8)
    assert found.expected_calibration_error == pytest.approx(0.2)


def test_a_table_by_hand() -> None:
    r = np.array([[0.95, 0.05], [0.95, 0.05], [0.9, 0.1], [0.45, 0.55], [0.45, 0.55], [0.25, 0.75], [0.25, 0.75]])
    found = reliability([0, 0, 0, 1, 0, 1, 1], r)
    np.testing.assert_array_equal(found.counts, [0, 0, 0, 0, 0, 2, 0, 2, 1, 2])
    np.testing.assert_allclose(found.confidence[[5, 7, 8, 9]], [0.55, 0.75, 0.9, 0.95])
    np.testing.assert_allclose(found.accuracy[[5, 7, 8, 9]], [0.5, 1.0, 1.0, 1.0])
    assert np.isnan(found.accuracy[0])
    assert found.expected_calibration_error == pytest.approx((2 * 0.05 + 2 * 0.25 + 0.1 + 2 * 0.05) / 7)
    assert found.over_confidence == pytest.approx((2 * 0.05 - 2 * 0.25 - 0.1 - 2 * 0.05) / 7)


def test_mistakes() -> None:
    with pytest.raises(UserError, match="same"):
        reliability([0, 1], TRUE)
    with pytest.raises(UserError, match="missing"):
        reliability([None, "a"], TRUE[:2])
    with pytest.raises(UserError, match="matching='best'"):
        reliability([0, 1], TRUE[:2], matching="best")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="num_bins"):
        reliability([0, 1], TRUE[:2], num_bins=0)
