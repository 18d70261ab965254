import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from pyro_vmm.errors import UserError
from pyro_vmm.scoring import (
    by_present_names,
    cluster_scores,
    hungarian_accuracy,
    many_to_one_accuracy,
    many_to_one_labels,
    purity,
    surest_observation_accuracy,
    surest_observation_labels,
)

# Six observations of two classes in three clusters, small enough to score by hand.
LABELS = np.array(["cat", "cat", "cat", "dog", "dog", "dog"])
CLUSTERS = np.array([0, 0, 1, 1, 2, 2])
PROBABILITY = np.array([0.9, 0.8, 0.6, 0.7, 0.95, 0.99])


def test_a_cluster_takes_the_label_of_its_surest_observation_not_of_its_majority():
    labels = ["a", "a", "a", "b"]
    clusters = [0, 0, 0, 0]
    probability = [0.6, 0.7, 0.8, 0.9]
    assert surest_observation_labels(labels, (clusters, probability)).tolist() == ["b"] * 4
    assert surest_observation_accuracy(labels, (clusters, probability)) == 0.25
    scores = cluster_scores(labels, clusters, probability)
    assert (scores["accuracy_surest_observation"], scores["accuracy_many_to_one"]) == (0.25, 0.75)
    assert next(iter(scores)) == "accuracy_many_to_one"


def test_many_to_one_gives_each_cluster_its_majority_label():
    labels, clusters = ["a", "b", "b", "c", "a", "a"], ["x", "x", "x", "y", "z", "z"]
    assert many_to_one_labels(labels, clusters).tolist() == ["b", "b", "b", "c", "a", "a"]
    assert many_to_one_accuracy(labels, clusters) == purity(labels, clusters) == pytest.approx(5 / 6)


def test_scores_stored_before_are_read_by_the_names_of_now():
    stored = {"accuracy_many_to_one": 0.25, "purity": 0.75, "nmi": 0.5}
    now = {"accuracy_many_to_one": 0.75, "purity": 0.75, "nmi": 0.5, "accuracy_surest_observation": 0.25}
    assert by_present_names(stored) == by_present_names(now) == now
    assert by_present_names({"nmi": 0.5}) == {"nmi": 0.5}


def test_scores_of_a_clustering_done_by_hand():
    scores = cluster_scores(LABELS, CLUSTERS, PROBABILITY)
    assert scores["accuracy_many_to_one"] == pytest.approx(5 / 6)
    assert scores["accuracy_surest_observation"] == pytest.approx(5 / 6)  # cluster 1 is dog (0.7 over 0.6)
    assert scores["accuracy_hungarian"] == pytest.approx(4 / 6)  # 0 -> cat, 2 -> dog, 1 is left over
    assert scores["purity"] == pytest.approx(5 / 6)
    # H(label) = log 2, H(cluster) = log 3, I = log 2 - 1/3 log 2: cluster 1 alone is undecided.
    information = math.log(2) * 2 / 3
    assert scores["nmi"] == pytest.approx(2 * information / (math.log(2) + math.log(3)))
    # Pairs: 2 agree in both (cat-cat in 0, dog-dog in 2) of 6 by label and 3 by cluster among 15.
    assert scores["ari"] == pytest.approx((2 - 6 * 3 / 15) / ((6 + 3) / 2 - 6 * 3 / 15))
    merged = ["cat", "cat", "dog", "dog", "dog", "dog"]
    assert scores["ari_merged"] == pytest.approx(adjusted_rand_score(LABELS, merged))
    assert (scores["clusters"], scores["observations"], scores["classes"]) == (3, 6, 2)


def test_responsibilities_look_for_the_surest_over_all_observations():
    # Observation 2 is the surest of column 1 but prefers column 0: only the pair of (clusters, probability) misses it.
    responsibilities = np.array([[0.90, 0.05, 0.05], [0.33, 0.34, 0.33], [0.55, 0.45, 0.00], [0.0, 0.0, 1.0]])
    labels = np.array([0, 1, 0, 2])
    clusters, probability = responsibilities.argmax(axis=1), responsibilities.max(axis=1)
    assert surest_observation_labels(labels, responsibilities).tolist() == [0, 0, 0, 2]
    assert surest_observation_labels(labels, (clusters, probability)).tolist() == [0, 1, 0, 2]
    assert surest_observation_accuracy(labels, responsibilities) == 0.75


def test_empty_columns_of_responsibilities_change_nothing():
    responsibilities = np.random.default_rng(0).dirichlet([0.3] * 4, size=200)
    labels = np.random.default_rng(1).integers(0, 3, size=200)
    padded = np.insert(responsibilities, [0, 2, 4], 0.0, axis=1)
    assert surest_observation_accuracy(labels, padded) == surest_observation_accuracy(labels, responsibilities)


def test_the_names_of_clusters_and_labels_do_not_matter():
    generator = np.random.default_rng(2)
    labels, clusters = generator.integers(0, 4, size=300), generator.integers(0, 6, size=300)
    probability = generator.uniform(size=300)
    scores = cluster_scores(labels, clusters, probability)
    renamed = cluster_scores(
        pd.Series(labels).map(dict(enumerate("wxyz"))).astype("category"),
        np.array([40, -3, 7, 0, 1, 12])[clusters].tolist(),
        torch.as_tensor(probability),
    )
    assert renamed == pytest.approx(scores, abs=1e-12)


def test_a_perfect_clustering_scores_one_everywhere():
    labels = np.repeat([0, 1, 2], 10)
    scores = cluster_scores(labels, (labels + 1) % 3, np.full(30, 0.9))
    for name in scores.keys() - {"clusters", "observations", "classes"}:
        assert scores[name] == pytest.approx(1.0), name


def test_splitting_a_class_costs_matching_and_agreement_but_not_purity_or_merged_scores():
    labels = np.repeat([0, 1], 20)
    scores = cluster_scores(labels, np.arange(40) // 5, np.full(40, 0.9))
    assert scores["purity"] == scores["accuracy_many_to_one"] == 1.0
    assert scores["accuracy_hungarian"] == pytest.approx(2 * 5 / 40)
    assert scores["ari"] < 0.5 < scores["ari_merged"] == scores["nmi_merged"] == pytest.approx(1.0)


def test_hungarian_matching_with_fewer_clusters_than_labels():
    assert hungarian_accuracy([0, 0, 1, 2, 2, 2], ["a"] * 6) == pytest.approx(3 / 6)


def test_hungarian_matching_gives_up_a_majority_for_the_better_whole():
    # Both clusters hold mostly label 0; one-to-one, cluster 1 has to stand for label 1.
    labels = [0] * 10 + [1] * 0 + [0] * 6 + [1] * 4
    clusters = [0] * 10 + [1] * 10
    assert hungarian_accuracy(labels, clusters) == pytest.approx(14 / 20)
    assert purity(labels, clusters) == pytest.approx(16 / 20)


def test_one_cluster_for_each_observation_is_scored_without_complaint():
    scores = cluster_scores([0, 0, 1, 1], [0, 1, 2, 3], [1.0] * 4)
    assert scores["ami"] == pytest.approx(0.0, abs=1e-12)
    assert scores["purity"] == 1.0


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0.0, 1.0, np.nan]),
        ["a", None, "b"],
        ["a", float("nan"), "b"],
        pd.Series(["a", "b", None], dtype="category"),
        pd.array([1, 2, None], dtype="Int64"),
    ],
)
def test_missing_labels_are_refused(labels):
    for score in (
        lambda: cluster_scores(labels, [0, 1, 1], [0.5] * 3),
        lambda: surest_observation_accuracy(labels, np.eye(3)),
        lambda: many_to_one_accuracy(labels, [0, 1, 1]),
        lambda: hungarian_accuracy(labels, [0, 1, 1]),
        lambda: purity(labels, [0, 1, 1]),
    ):
        with pytest.raises(UserError, match="1 of 3 labels are missing"):
            score()


def test_mismatched_lengths_and_shapes_are_refused():
    for score in (
        lambda: cluster_scores(LABELS, CLUSTERS[:-1], PROBABILITY[:-1]),
        lambda: cluster_scores(LABELS, CLUSTERS, PROBABILITY[:-1]),
        lambda: surest_observation_accuracy(LABELS, np.ones((5, 2))),
        lambda: hungarian_accuracy(LABELS, CLUSTERS[:-1]),
        lambda: purity(LABELS[:-1], CLUSTERS),
    ):
        with pytest.raises(UserError, match="labels but"):
            score()
    for score in (
        lambda: purity(LABELS[:, None], CLUSTERS),
        lambda: purity([], []),
        lambda: surest_observation_accuracy(LABELS, CLUSTERS),
        lambda: surest_observation_accuracy(LABELS, (CLUSTERS, np.ones((6, 1)))),
    ):
        with pytest.raises(UserError, match="shape"):
            score()


def test_probabilities_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match="probability"):
        cluster_scores(LABELS, CLUSTERS, np.where(CLUSTERS == 1, np.nan, PROBABILITY))
    with pytest.raises(UserError, match="responsibilities"):
        surest_observation_accuracy(LABELS, np.full((6, 2), np.nan))
