"""What is said of clusters: each question asked of clusters that went wrong that way, and of sound ones."""

import re

import numpy as np
import pytest

from pyro_vmm.clustering import merge_tree
from pyro_vmm.diagnosis.absorbed_groups import absorbed_groups
from pyro_vmm.diagnosis.one_cluster import one_cluster
from pyro_vmm.diagnosis.overlapping_clusters import overlapping_clusters, shared_observations
from pyro_vmm.diagnosis.questions import of_clusters
from pyro_vmm.diagnosis.small_clusters import small_clusters
from pyro_vmm.diagnosis.truncation import truncation


def responsibilities(*pairs: tuple[int, int], number: int = 4, members: int = 50) -> np.ndarray:
    """Sure responsibilities of clusters of the same size, but even ones for each pair of clusters named."""
    r = np.repeat(np.eye(number), members, axis=0)
    for one, other in pairs:
        both = slice(one * members, (one + 1) * members)
        r[both, one], r[both, other] = 0.55, 0.45
        both = slice(other * members, (other + 1) * members)
        r[both, one], r[both, other] = 0.45, 0.55
    return r


def test_one_cluster_is_told_unless_nothing_else_was_asked_for() -> None:
    finding = one_cluster([500], 10)
    assert finding.severity == "warning"
    assert "All 500 observations are in one cluster" in finding.sentence
    assert finding.advice
    assert one_cluster([500], 1).severity == "fine"
    assert one_cluster([960, 40, 0], 10).severity == "notice"
    sound = one_cluster([900, 100], 10)
    assert sound.severity == "fine"
    assert sound.value == 0.9


@pytest.mark.parametrize("criterion", ["overlap", "misclassification"])
def test_overlapping_pairs_are_named_with_their_cost_and_the_number_left(criterion) -> None:
    tree = merge_tree(responsibilities((1, 3)), criterion=criterion)
    finding = overlapping_clusters(tree)
    assert finding.severity == "notice"
    assert f"1 and 3 (cost {tree.merges[0].cost:.2f})" in finding.sentence
    assert "num_clusters=3" in finding.advice
    assert finding.value == 1
    assert overlapping_clusters(merge_tree(responsibilities((1, 3), (0, 2)), criterion=criterion)).severity == "warning"


@pytest.mark.parametrize("criterion", ["overlap", "misclassification"])
def test_separate_clusters_are_left_alone_but_the_next_merge_is_named(criterion) -> None:
    r = 0.98 * responsibilities() + 0.005
    finding = overlapping_clusters(merge_tree(r, criterion=criterion))
    assert finding.severity == "fine"
    assert re.search(r"next to join would be \d and \d \(cost 0\.9\d\)", finding.sentence)
    assert overlapping_clusters(merge_tree(np.ones((5, 1)), criterion=criterion)).severity == "fine"


@pytest.mark.parametrize("criterion", ["overlap", "misclassification"])
def test_both_criteria_say_the_same_of_two_gaussians(criterion) -> None:
    noise = np.random.default_rng(0).normal(size=20_000)
    for distance, severity in ((2.3, "warning"), (2.8, "fine")):
        place = noise + np.repeat([-distance / 2, distance / 2], 10_000)
        first = 1 / (1 + np.exp(distance * place))
        tree = merge_tree(np.stack([first, 1 - first], 1), criterion=criterion)
        assert overlapping_clusters(tree).severity == severity


def test_what_clusters_share_is_told_whatever_joined_them() -> None:
    sound = shared_observations(0.98 * responsibilities() + 0.005)
    assert (sound.name, sound.severity, sound.advice) == ("shared observations", "fine", "")
    finding = shared_observations(responsibilities((1, 3)))
    assert finding.severity == "notice"
    assert "Of 4 clusters 3 can be told apart; next to join would be 1 and 3" in finding.sentence
    assert "misclassification" in finding.advice
    assert finding.value == 1
    assert shared_observations(np.ones((5, 1))).severity == "fine"


def test_by_evidence_halves_of_a_gaussian_are_told_and_gaussians_apart_are_not() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(600, 2)) + np.repeat([[0.0, 0.0], [20.0, 0.0], [40.0, 0.0]], 200, axis=0)
    apart = np.repeat(np.arange(3), 200)
    sound = overlapping_clusters(merge_tree(np.eye(3)[apart], criterion="evidence", latents=z))
    assert sound.severity == "fine"
    assert "nats)" in sound.sentence
    halved = np.where((apart == 0) & (z[:, 0] > 0), 3, apart)
    finding = overlapping_clusters(merge_tree(np.eye(4)[halved], criterion="evidence", latents=z))
    assert finding.severity == "notice"
    assert "Of 4 clusters 3 can be told apart; next to join would be 0 and 3" in finding.sentence
    assert "one Gaussian describes" in finding.sentence


def test_small_clusters_are_named_with_their_sizes() -> None:
    finding = small_clusters([300, 50, 20, 9, 3])
    assert finding.severity == "notice"
    assert "2 of 5 clusters have fewer than 10 observations: 3 (9), 4 (3)." in finding.sentence
    assert finding.value == 2
    assert small_clusters([300, 3, 2]).severity == "warning"
    sound = small_clusters([300, 50, 10, 0])
    assert sound.severity == "fine"
    assert "The smallest of 3 clusters has 10 observations" in sound.sentence


def test_truncation_binds_when_there_are_as_many_clusters_as_components() -> None:
    assert truncation(20, 20).severity == "warning"
    assert "num_components=40" in truncation(20, 20).advice
    assert truncation(19, 20).severity == "notice"
    assert truncation(18, 20).severity == "fine"
    assert truncation(1, 1).severity == "fine"


def test_components_that_are_joined_or_empty_leave_room() -> None:
    told = {
        finding.name: finding for finding in of_clusters([40, 30, 0, 20], merge_tree(responsibilities(number=3)), 5)
    }
    assert told["truncation"].sentence == "The 5 components make 3 clusters."
    assert told["truncation"].severity == "fine"


def two_groups_and_a_rare_one(few: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents ``[N, 6]`` and components ``[N]``: two large groups of two components each, and a rare one beside the first."""
    rng = np.random.default_rng(0)
    sizes = [600, 600, few]
    centres = np.array([[0.0] * 6, [9.0] + [0.0] * 5, [0.0, 8.0] + [0.0] * 4])
    latents = np.repeat(centres, sizes, axis=0) + rng.normal(size=(sum(sizes), 6))
    halves = (latents[:, 2] > 0).astype(int)
    return latents, np.where(np.repeat([0, 1, 2], sizes) == 2, 4, 2 * np.repeat([0, 1, 2], sizes) + halves)


def test_a_rare_group_within_a_cluster_is_named_with_its_size() -> None:
    latents, components = two_groups_and_a_rare_one(few=25)
    absorbed = absorbed_groups(latents, components, np.array([0, 0, 1, 1, 0])[components], len(latents))
    assert absorbed.severity == "warning"
    assert "25 in cluster 0" in absorbed.sentence
    assert "merging='contact'" in absorbed.advice
    both = absorbed_groups(latents, components, np.zeros(len(latents), dtype=int), len(latents))
    assert both.value == 2
    assert re.search(r"600 in cluster 0, 25 in cluster 0", both.sentence)


def test_clusters_that_hold_one_population_each_are_fine() -> None:
    latents, components = two_groups_and_a_rare_one(few=25)
    for clusters in ([0, 0, 1, 1, 2], [0, 1, 2, 3, 4]):
        assert absorbed_groups(latents, components, np.array(clusters)[components], len(latents)).severity == "fine"
    few = two_groups_and_a_rare_one(few=8)
    assert absorbed_groups(few[0], few[1], np.array([0, 0, 1, 1, 0])[few[1]], len(few[0])).severity == "fine"
    one = np.zeros(40, dtype=int)
    assert absorbed_groups(np.random.default_rng(1).normal(size=(40, 2)), one, one, 40).severity == "fine"
