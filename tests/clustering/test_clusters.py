import json
from dataclasses import replace

import numpy as np
import pytest

from pyro_vmm import UserError
from pyro_vmm.clustering import Clusters, Merging


@pytest.fixture
def cells() -> tuple[np.ndarray, np.ndarray]:
    """Responsibilities and latents: components 1 and 3 halve one Gaussian, 0 and 2 stand alone, 4 owns nothing."""
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(300, 2))
    latents[:40] += (20.0, 0.0)
    latents[40:140] -= (20.0, 0.0)
    rows = np.zeros((300, 5))
    rows[:40, 0], rows[40:140, 2] = 1.0, 1.0
    rows[140:, 1] = 1.0 / (1.0 + np.exp(-4.0 * latents[140:, 0]))
    rows[140:, 3] = 1.0 - rows[140:, 1]
    return rows, latents


WEIGHTS = np.array([0.1, 0.3, 0.35, 0.2, 0.05])


def test_components_that_halve_one_gaussian_are_one_cluster(cells: tuple[np.ndarray, np.ndarray]) -> None:
    responsibilities, latents = cells
    clusters = Clusters.of(responsibilities, latents, WEIGHTS, "evidence")
    assert clusters.number == 3
    arranged = clusters.arrange(responsibilities)
    np.testing.assert_allclose(arranged.sum(1), 1.0)
    assert np.bincount(arranged.argmax(1)).tolist() == [160, 100, 40]
    assert (arranged[:, 3:] == 0).all()
    np.testing.assert_allclose(clusters.weights.sum(), 1.0)
    assert clusters.weights[0] >= 0.5
    assert sorted(clusters.order.tolist()) == [0, 1, 2, 3, 4]
    assert clusters.merge_tree.utilised == (0, 1, 2)
    assert [clusters.members(column).tolist() for column in range(3)] == [[1, 3], [2], [0]]
    assert sorted(clusters.members(column).tolist() for column in (3, 4)) == [[3], [4]]
    assert (clusters.merge_tree.costs > 0).all()


def test_a_group_that_is_no_gaussian_is_one_cluster_and_a_small_one_beside_it_another() -> None:
    """10,000 observations with heavy tails, which take three Gaussians of one centre, and 60 apart from them."""
    rng = np.random.default_rng(0)
    spreads = np.array([1.0, 2.0, 4.0, 0.5])
    component = np.repeat([0, 1, 2, 3], [5000, 3000, 2000, 60])
    centres = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [9.0, 0.0]])
    latents = centres[component] + spreads[component, None] * rng.normal(size=(len(component), 2))
    distances = np.square(latents[:, None] - centres).sum(-1)
    density = np.bincount(component) * np.exp(-0.5 * distances / spreads**2) / spreads**2
    responsibilities = density / density.sum(1, keepdims=True)
    weights = responsibilities.mean(0)

    def found(merging: Merging, evidence_weight: float | None = None) -> list[int]:
        clusters = Clusters.of(responsibilities, latents, weights, merging, evidence_weight)
        return np.bincount(clusters.arrange(responsibilities).argmax(1)).tolist()

    _, small = found("misclassification")
    assert 50 < small < 80
    assert len(found("valleys")) == 3  # the tails are a cluster of their own
    assert found("misclassification", 100.0) == [10_060]


def test_a_component_that_is_nobodys_likeliest_leaves_the_clusters_as_they_are() -> None:
    """Two groups far apart, each the likeliest of one component by a little; a third component is second everywhere."""
    latents = np.random.default_rng(0).normal(size=(200, 2)) + np.repeat([[0.0, 0.0], [30.0, 0.0]], 100, axis=0)
    responsibilities = np.repeat([[0.45, 0.15, 0.4], [0.15, 0.45, 0.4]], 100, axis=0)
    clusters = Clusters.of(responsibilities, latents, np.full(3, 1 / 3), "evidence")
    assert clusters.number == 2
    labels = clusters.arrange(responsibilities).argmax(1)
    assert len(np.unique(labels[:100])) == len(np.unique(labels[100:])) == 1
    assert labels[0] != labels[-1]


def test_a_duplicate_that_is_nobodys_likeliest_is_part_of_its_cluster() -> None:
    """Component 2 halves component 0 and owns nothing; component 3 explains less than an observation."""
    latents = np.random.default_rng(0).normal(size=(200, 2)) + np.repeat([[0.0, 0.0], [30.0, 0.0]], 100, axis=0)
    responsibilities = np.repeat([[0.51, 0.02, 0.469, 0.001], [0.01, 0.98, 0.009, 0.001]], 100, axis=0)
    clusters = Clusters.of(responsibilities, latents, np.array([0.3, 0.3, 0.3, 0.1]), "evidence")
    assert clusters.joined.tolist() == [0, 1, 0, 3]
    arranged = clusters.arrange(responsibilities)
    np.testing.assert_allclose(arranged[[0, -1], :2], [[0.979, 0.02], [0.019, 0.98]])
    np.testing.assert_allclose(clusters.weights, [0.6, 0.3, 0.1, 0.0])
    assert clusters.number == 2
    assert [clusters.members(column).tolist() for column in range(4)] == [[0, 2], [1], [3], [2]]
    assert clusters.merge_tree.utilised == (0, 1)
    alone = Clusters.of(responsibilities, latents, np.array([0.3, 0.3, 0.3, 0.1]), "none")
    assert alone.joined.tolist() == [0, 1, 2, 3]


def test_without_merging_every_component_stands_alone(cells: tuple[np.ndarray, np.ndarray]) -> None:
    responsibilities, latents = cells
    clusters = Clusters.of(responsibilities, latents, WEIGHTS, "none")
    assert clusters.joined.tolist() == [0, 1, 2, 3, 4]
    assert clusters.number == 4
    arranged = clusters.arrange(responsibilities)
    np.testing.assert_allclose(arranged, responsibilities[:, clusters.order], rtol=1e-12)
    np.testing.assert_allclose(clusters.weights, WEIGHTS[clusters.order])
    assert clusters.merge_tree.utilised == (0, 1, 2, 3)


def test_they_come_back_from_json(cells: tuple[np.ndarray, np.ndarray]) -> None:
    responsibilities, latents = cells
    clusters = Clusters.of(responsibilities, latents, WEIGHTS, "evidence")
    again = Clusters.from_dict(json.loads(json.dumps(clusters.to_dict())))
    np.testing.assert_array_equal(again.arrange(responsibilities), clusters.arrange(responsibilities))
    assert (again.number, again.merge_tree) == (clusters.number, clusters.merge_tree)
    np.testing.assert_array_equal(again.weights, clusters.weights)


def test_probabilities_never_exceed_one(cells: tuple[np.ndarray, np.ndarray]) -> None:
    """A softmax in float32, and sums of its columns, miss one by a rounding error of either sign."""
    responsibilities, latents = cells
    clusters = Clusters.of(responsibilities, latents, WEIGHTS, "evidence")
    generator = np.random.default_rng(1)
    scores = np.exp(8.0 * generator.normal(size=(5000, 5))).astype(np.float32)
    rounded = (scores / scores.sum(1, keepdims=True)).astype(np.float64)
    assert rounded.sum(1).max() > 1.0
    for number in (None, 1, 2, 3, 4):
        probabilities = clusters.arrange(rounded, number)
        assert probabilities.min() >= 0.0
        assert probabilities.max() <= 1.0
        np.testing.assert_allclose(probabilities.sum(1), 1.0, rtol=0, atol=1e-15)


def test_a_cluster_of_several_components_is_shown_by_the_heaviest(cells: tuple[np.ndarray, np.ndarray]) -> None:
    responsibilities, latents = cells
    clusters = Clusters.of(responsibilities, latents, WEIGHTS, "evidence")
    assert clusters.members(0).tolist() == [1, 3]
    for weights, first in ((WEIGHTS, 1), (WEIGHTS[[0, 3, 2, 1, 4]], 3)):
        shown = clusters.shown(weights).tolist()
        assert shown[:3] == [first, 2, 0]
        assert sorted(shown) == [0, 1, 2, 3, 4], "every component occurs once"


@pytest.mark.parametrize("merging", ["evidence", "valleys", "misclassification", "none"])
def test_more_clusters_undo_joins_one_at_a_time(cells: tuple[np.ndarray, np.ndarray], merging: Merging) -> None:
    responsibilities, latents = cells
    clusters = Clusters.of(responsibilities, latents, WEIGHTS, merging)
    again = Clusters.from_dict(json.loads(json.dumps(clusters.to_dict())))
    coarser = np.zeros(300, dtype=int)
    for number in (1, 2, 3, 4):  # four components own an observation
        probabilities = clusters.arrange(responsibilities, number)
        np.testing.assert_array_equal(again.arrange(responsibilities, number), probabilities)
        assert probabilities.shape == (300, number)
        labels = probabilities.argmax(1)
        assert len(np.unique(labels)) == number
        assert len(np.unique(np.stack((labels, coarser)), axis=1).T) == number, "a cluster is part of a coarser one"
        coarser = labels
    with pytest.raises(
        UserError, match=r"num_clusters is 5, but the mixture uses 4 components: give a number in 1\.\.4"
    ):
        clusters.arrange(responsibilities, 5)


def test_joins_that_were_not_stored_cannot_be_undone(cells: tuple[np.ndarray, np.ndarray]) -> None:
    responsibilities, latents = cells
    stored = replace(Clusters.of(responsibilities, latents, WEIGHTS, "evidence"), component_tree=None).to_dict()
    del stored["component_tree"]  # as version 0.1 wrote it
    clusters = Clusters.from_dict(stored)
    assert clusters.arrange(responsibilities, 2).shape == (300, 2)
    with pytest.raises(UserError, match=r"num_clusters is 4, and the model has 3 clusters.*in 1\.\.3, or call rejoin"):
        clusters.arrange(responsibilities, 4)


def test_a_cluster_that_loses_its_observations_when_others_are_joined_stays_in_the_tree() -> None:
    """Components 1 and 2 are one by misclassification; summed, they take all observations of component 0."""
    generator = np.random.default_rng(0)
    latents = np.concatenate([generator.normal(size=(100, 2)), generator.normal(size=(100, 2)) + 30.0])
    first = np.repeat([[0.4, 0.35, 0.25, 0.0], [0.0, 0.6, 0.4, 0.0], [0.0, 0.4, 0.6, 0.0]], [20, 40, 40], axis=0)
    responsibilities = np.concatenate([first, np.tile([0.0, 0.0, 0.0, 1.0], (100, 1))])
    clusters = Clusters.of(responsibilities, latents, responsibilities.mean(0), "misclassification")
    assert clusters.number == 2
    for number in (1, 2, 3, 4):
        assert clusters.arrange(responsibilities, number).sum() == pytest.approx(200)
    np.testing.assert_array_equal(
        clusters.arrange(responsibilities, 2).argmax(1), clusters.arrange(responsibilities).argmax(1)
    )
    Clusters.from_dict(json.loads(json.dumps(clusters.to_dict())))
