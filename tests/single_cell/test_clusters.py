import json

import numpy as np
import pytest

from pyro_vmm.single_cell.clusters import Clusters


@pytest.fixture
def responsibilities() -> np.ndarray:
    """Components 1 and 3 cannot be told apart; 0 and 2 stand alone; 4 owns nothing."""
    rng = np.random.default_rng(0)
    rows = np.zeros((300, 5))
    rows[:40, 0], rows[40:140, 2] = 1.0, 1.0
    rows[140:, 1] = rng.uniform(0.2, 0.8, 160)
    rows[140:, 3] = 1.0 - rows[140:, 1]
    return rows


WEIGHTS = np.array([0.1, 0.3, 0.35, 0.2, 0.05])


def test_components_that_cannot_be_told_apart_are_one_cluster(responsibilities: np.ndarray) -> None:
    clusters = Clusters.of(responsibilities, WEIGHTS, 0.1)
    assert clusters.number == 3
    arranged = clusters.arrange(responsibilities)
    np.testing.assert_allclose(arranged.sum(1), 1.0)
    assert np.bincount(arranged.argmax(1)).tolist() == [160, 100, 40]
    assert (arranged[:, 3:] == 0).all()
    np.testing.assert_allclose(clusters.weights[:3].sum(), 1.0)
    assert clusters.weights[0] >= 0.5
    assert sorted(clusters.order.tolist()) == [0, 1, 2, 3, 4]


def test_without_a_cut_off_every_component_stands_alone(responsibilities: np.ndarray) -> None:
    clusters = Clusters.of(responsibilities, WEIGHTS, None)
    assert clusters.joined.tolist() == [0, 1, 2, 3, 4]
    assert clusters.number == 4
    arranged = clusters.arrange(responsibilities)
    np.testing.assert_array_equal(arranged, responsibilities[:, clusters.order])
    np.testing.assert_allclose(clusters.weights, WEIGHTS[clusters.order])


def test_they_come_back_from_json(responsibilities: np.ndarray) -> None:
    clusters = Clusters.of(responsibilities, WEIGHTS, 0.1)
    again = Clusters.from_dict(json.loads(json.dumps(clusters.to_dict())))
    np.testing.assert_array_equal(again.arrange(responsibilities), clusters.arrange(responsibilities))
    assert (again.number, again.merge_tree) == (clusters.number, clusters.merge_tree)
    np.testing.assert_array_equal(again.weights, clusters.weights)
