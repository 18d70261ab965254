"""Agreement of runs, and the consensus, on runs whose agreement is known."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from pyro_vmm import UserError
from pyro_vmm.diagnosis import stability
from pyro_vmm.diagnosis.consensus import _cut, _elected, _linkage, contingency, rand_index
from pyro_vmm.diagnosis.unstable import unstable

TRUTH = np.repeat([0, 1, 2], [120, 100, 80])


def noisy(share: float, seed: int, truth: np.ndarray = TRUTH) -> np.ndarray:
    """The truth under other numbers, with this share of observations put anywhere."""
    rng = np.random.default_rng(seed)
    number = truth.max() + 1
    clusters = rng.permutation(number)[truth]
    moved = rng.random(len(truth)) < share
    clusters[moved] = rng.integers(number, size=moved.sum())
    return clusters


def test_the_rand_index_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for one, other in ((rng.integers(4, size=90), rng.integers(7, size=90)), (TRUTH, noisy(0.3, 1))):
        assert rand_index(contingency(one, other)) == pytest.approx(adjusted_rand_score(one, other))
    constant = np.zeros(20, np.int64)
    assert rand_index(contingency(constant, constant)) == 1.0
    weights = rng.integers(1, 5, size=90)
    one, other = rng.integers(4, size=90), rng.integers(3, size=90)
    repeated = adjusted_rand_score(np.repeat(one, weights), np.repeat(other, weights))
    assert rand_index(contingency(one, other, weights)) == pytest.approx(repeated)


def test_runs_that_agree_but_for_their_numbers() -> None:
    found = stability([noisy(0.0, seed) for seed in range(4)])
    np.testing.assert_array_equal(found.rand_index, 1.0)
    np.testing.assert_array_equal(found.consensus, TRUTH)
    np.testing.assert_array_equal(found.together, 1.0)
    np.testing.assert_array_equal(found.vote, 1.0)
    np.testing.assert_array_equal(found.to_frame()["size"], [120, 100, 80])
    np.testing.assert_array_equal(found.to_frame()["recovered"], 1.0)
    assert unstable(found).severity == "fine"
    assert "4 runs found 3, 3, 3, 3 clusters" in str(found)


def test_the_consensus_is_nearer_to_the_truth_than_any_run() -> None:
    runs = [noisy(0.25, seed) for seed in range(7)]
    found = stability(runs)
    assert adjusted_rand_score(TRUTH, found.consensus) > 0.95
    assert adjusted_rand_score(TRUTH, found.consensus) > max(adjusted_rand_score(TRUTH, run) for run in runs) + 0.1
    assert unstable(found).severity == "warning"
    assert unstable(stability([noisy(0.08, seed) for seed in range(7)])).severity == "notice"


def test_an_observation_that_runs_put_elsewhere_is_told_from_one_that_stays() -> None:
    runs = np.stack([TRUTH] * 4)
    runs[1:3, 0] = 2
    found = stability(list(runs))
    assert found.together[0] < 0.6
    assert found.vote[0] == 0.5
    assert found.together[1:].min() > 0.95


def test_two_clusters_that_half_of_the_runs_join_stay_together_but_are_not_recovered() -> None:
    joined = np.where(TRUTH == 2, 1, TRUTH)
    found = stability([TRUTH, joined, TRUTH, joined, TRUTH])
    frame = found.to_frame()
    np.testing.assert_array_equal(frame["together"], 1.0)
    # Jaccard of a cluster with the union of the two: its share of the union, in two of five runs.
    np.testing.assert_allclose(frame["recovered"], [1.0, (3 + 2 * 100 / 180) / 5, (3 + 2 * 80 / 180) / 5])


def test_the_number_of_consensus_clusters_is_that_of_most_runs() -> None:
    split = np.where(np.arange(300) < 60, 3, TRUTH)
    assert stability([TRUTH, split, TRUTH, TRUTH]).num_clusters == 3
    assert stability([split, split, TRUTH, split]).num_clusters == 4


def test_patterns_stand_for_the_observations_that_share_them() -> None:
    codes = np.stack([noisy(0.3, seed) for seed in range(3)], 1) + np.array([0, 3, 6])
    patterns, counts = np.unique(codes, axis=0, return_counts=True)
    assert len(patterns) < 30
    each = _linkage(codes, np.ones(300, np.int64), 9)
    np.testing.assert_allclose(_linkage(patterns, counts, 9), each, atol=1e-12)


def test_no_other_number_of_clusters_agrees_better_with_the_runs() -> None:
    fine = np.arange(300) // 50
    runs = [noisy(0.1, seed) for seed in range(3)] + [noisy(0.1, seed, fine) for seed in (9, 10, 11)]
    columns = np.stack(runs, 1) + np.array([0, 3, 6, 9, 15, 21])
    linkage = _linkage(columns, np.ones(300, np.int64), 27)
    choices = [_elected(columns, _cut(linkage, clusters))[0] for clusters in range(3, 7)]
    agreement = [np.mean([adjusted_rand_score(run, choice) for run in runs]) for choice in choices]
    found = stability(runs).consensus
    mean = np.mean([adjusted_rand_score(run, found) for run in runs])
    assert mean == pytest.approx(max(agreement))
    assert mean > agreement[-1] + 1e-6, "or else the last would do"


def test_together_is_the_mean_co_association_with_the_other_members() -> None:
    runs = [noisy(0.3, seed) for seed in range(5)]
    found = stability(runs)
    same = np.mean([run[:, None] == run for run in runs], axis=0)  # N x N, which the function never makes
    for row in (0, 50, 130, 290):
        members = np.flatnonzero(found.consensus == found.consensus[row])
        assert found.together[row] == pytest.approx(same[row, members[members != row]].mean())


def test_chance_agrees_no_more_than_chance() -> None:
    rng = np.random.default_rng(0)
    found = stability([rng.integers(3, size=300) for _ in range(5)])
    assert abs(found.mean_rand_index) < 0.02
    assert found.cluster_recovered.max() < 0.6


def test_many_observations_need_no_square_of_memory() -> None:
    truth = np.arange(100_000) % 20
    found = stability([noisy(0.1, seed, truth) for seed in range(3)])
    assert found.num_clusters == 20
    assert adjusted_rand_score(truth, found.consensus) > 0.9


def test_one_cluster_everywhere_is_one_consensus_cluster() -> None:
    found = stability([np.zeros(10), np.zeros(10)])
    assert found.num_clusters == 1
    assert found.mean_rand_index == 1.0


def test_mistakes() -> None:
    with pytest.raises(UserError, match="at least two"):
        stability([TRUTH])
    with pytest.raises(UserError, match=r"\[300\], \[10\]"):
        stability([TRUTH, TRUTH[:10]])
    with pytest.raises(UserError, match="1 seeds"):
        stability([TRUTH, TRUTH], seeds=[3])
