"""Batches and labels among neighbours: apart, mixed, and lost."""

import numpy as np
import pytest

from pyro_vmm import UserError
from pyro_vmm.diagnosis.batch_effect import batch_effect
from pyro_vmm.diagnosis.label_neighbours import label_neighbours
from pyro_vmm.diagnosis.neighbours import nearest_neighbours, same_kind

RNG = np.random.default_rng(0)
GROUPS = RNG.integers(3, size=600)
CENTRES = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
LATENTS = CENTRES[GROUPS] + RNG.normal(size=(600, 2))
BATCHES = (RNG.random(600) < 0.3).astype(np.int64)
NAMES = ("first", "second")


def test_shuffled_kinds_are_expected_as_often_as_they_are_found() -> None:
    observed, expected, excess = same_kind(BATCHES, nearest_neighbours(LATENTS))
    share = BATCHES.mean()
    assert expected == pytest.approx(share**2 + (1 - share) ** 2, abs=0.003)
    assert observed == pytest.approx(expected, abs=0.03)
    assert abs(excess) < 0.05
    assert same_kind(BATCHES, nearest_neighbours(LATENTS + 100.0 * BATCHES[:, None]))[2] == 1.0
    assert same_kind(np.zeros(600, np.int64), nearest_neighbours(LATENTS))[2] == 0.0


def test_nobody_is_their_own_neighbour() -> None:
    neighbours = nearest_neighbours(LATENTS)
    assert neighbours.shape == (600, 15)
    assert not (neighbours == np.arange(600)[:, None]).any()
    assert nearest_neighbours(LATENTS[:4]).shape == (4, 3)


def test_mixed_batches_are_left_alone_however_uneven() -> None:
    finding = batch_effect(LATENTS, BATCHES, NAMES, GROUPS, 600)
    assert finding.severity == "fine"
    assert "(all 600 cells)" in finding.sentence
    assert "clusters" not in finding.sentence


def test_batches_apart_are_told_with_the_clusters_that_are_one_batch() -> None:
    shift = np.where(GROUPS == 1, 6.0, 0.0) * BATCHES
    clusters = np.where((GROUPS == 1) & (BATCHES == 1), 3, GROUPS)
    latents = LATENTS + np.stack([shift, 0 * shift], 1)
    partly = batch_effect(latents, BATCHES, NAMES, clusters, 5000)
    assert partly.severity == "warning"
    assert "600 of 5,000 cells drawn at random with seed 0" in partly.sentence
    assert "3 (second)" in partly.sentence
    # The first batch has 70 % of all cells: a cluster of it is named only where that is news.
    assert "1 (first)" not in partly.sentence or BATCHES.mean() >= 0.3
    slight = batch_effect(LATENTS + 0.8 * BATCHES[:, None], BATCHES, NAMES, GROUPS, 600)
    assert slight.severity == "notice"
    assert slight.value < partly.value


def test_labels_kept_and_lost() -> None:
    labels = np.array(["a", "b", "c"], dtype=object)[GROUPS]
    kept = label_neighbours(LATENTS, labels, 600)
    assert kept.severity == "fine"
    assert kept.value > 0.95
    shuffled = RNG.permutation(labels)
    assert label_neighbours(LATENTS, shuffled, 600).severity == "warning"
    half = np.where(RNG.random(600) < 0.35, shuffled, labels)
    assert label_neighbours(LATENTS, half, 600).severity == "notice"


def test_the_label_lost_most_is_named_and_missing_ones_left_out() -> None:
    labels = np.array(["a", "b", "c"], dtype=object)[GROUPS]
    rare = GROUPS == 2
    labels[rare] = RNG.choice(["c", "d"], rare.sum(), p=[0.9, 0.1])
    labels[:50] = None
    finding = label_neighbours(LATENTS, labels, 600)
    assert "least so for 'd'" in finding.sentence
    assert "550 of 600" in finding.sentence
    with pytest.raises(UserError, match="1 distinct"):
        label_neighbours(LATENTS, np.full(600, "a"), 600)
