"""Whether the density has a valley between two clusters of latents."""

import itertools

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from pyro_vmm.clustering import Clusters, merge_tree
from pyro_vmm.clustering.valleys import gain_of_two_modes, valley


def log_likelihood(counts: np.ndarray, heights: np.ndarray) -> float:
    present = counts > 0
    return float((counts[present] * np.log(heights[present])).sum())


def with_one_mode(counts: np.ndarray) -> float:
    """By scikit-learn's isotonic regression, for a mode between any two bins."""
    best = -np.inf
    for mode in range(len(counts) + 1):
        parts = []
        for part, rising in ((counts[:mode], True), (counts[mode:], False)):
            if len(part):
                parts.append(IsotonicRegression(increasing=rising).fit_transform(np.arange(len(part)), part))
        best = max(best, log_likelihood(counts, np.concatenate(parts)))
    return best


@pytest.mark.parametrize("seed", range(5))
def test_the_gain_is_that_of_isotonic_regression(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.uniform(0.0, 9.0, size=12))
    two = max(with_one_mode(counts[:cut]) + with_one_mode(counts[cut:]) for cut in range(1, 12))
    assert gain_of_two_modes(counts) == pytest.approx(two - with_one_mode(counts), abs=1e-9)


def test_one_mode_leaves_nothing_to_gain_and_two_do() -> None:
    assert gain_of_two_modes(np.array([1, 4, 9, 12, 3, 0])) == pytest.approx(0.0, abs=1e-12)
    assert gain_of_two_modes(np.array([10, 0, 10])) == pytest.approx(10 * np.log(2))  # 5, 5, 10 at best


def cut_in_two(seed: int, number: int, dim: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Two Gaussians so many standard deviations apart, cut in the middle between their centres."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(number, dim))
    z[:, 0] += distance * (rng.random(number) < 0.5)
    first = z[:, 0] < distance / 2
    return z[first], z[~first]


@pytest.mark.parametrize(("number", "dim"), [(100, 2), (300, 10), (300, 40), (5000, 10)])
def test_halves_of_one_gaussian_have_none(number: int, dim: int) -> None:
    # Over 20 seeds: a rule that were wrong once in twenty would pass this one time in three at most.
    worth = [valley(*cut_in_two(seed, number, dim, 0.0), 2000.0) for seed in range(20)]
    assert max(worth) < 0.0


def test_halves_by_a_direction_fitted_to_them_have_none() -> None:
    """Where k-means has cut pure noise in 40 dimensions, the fitted direction would show a valley in what it was fitted to."""
    from sklearn.cluster import KMeans

    for seed in range(10):
        z = np.random.default_rng(seed).normal(size=(100, 40))
        first = KMeans(2, n_init=1, random_state=seed).fit_predict(z) == 0
        assert valley(z[first], z[~first]) < 0.0


@pytest.mark.parametrize(("number", "distance"), [(300, 4.5), (2000, 3.5), (20_000, 3.2)])
def test_gaussians_apart_have_one(number: int, distance: float) -> None:
    worth = [valley(*cut_in_two(seed, number, 10, distance), 2000.0) for seed in range(10)]
    assert min(worth) > 0.0


def test_more_than_the_greatest_number_count_as_that_many() -> None:
    sides = cut_in_two(0, 4000, 3, 4.0)
    gained = valley(*sides) + np.log(4000)
    assert valley(*sides, 1000.0) == pytest.approx(gained / 4 - np.log(1000))


def test_where_nothing_can_be_seen_there_is_none() -> None:
    z = np.random.default_rng(0).normal(size=(60, 3))
    assert valley(z[:10], z[10:20]) == -np.inf  # no histogram of so few
    assert valley(z[:1], z[1:]) == -np.inf
    assert valley(np.zeros((50, 3)), np.zeros((50, 3))) == -np.inf
    skewed = np.exp(np.random.default_rng(1).normal(size=(2000, 1)))
    assert valley(skewed[skewed[:, 0] < 3], skewed[skewed[:, 0] >= 3]) < 0.0  # a tail is no mode


@pytest.fixture
def ten_groups() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Responsibilities of four pieces a group, latents in 20 dimensions and groups: centres 4.5 apart along the axes' corners."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 800)
    z = rng.normal(size=(8000, 20)) + 4.5 / np.sqrt(2.0) * np.eye(20)[groups]
    pieces = groups * 4 + 2 * (z[:, 18] > 0) + (z[:, 19] > 0)
    return np.eye(40)[pieces], z, groups


def test_groups_that_pass_for_one_gaussian_stay_apart(ten_groups: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    responsibilities, z, groups = ten_groups
    by_evidence = merge_tree(responsibilities, criterion="evidence", latents=z).joined_below(0.0)
    assert len(np.unique(by_evidence)) < 10
    tree = merge_tree(responsibilities, criterion="valleys", latents=z)
    found = tree.joined_below(0.0)[responsibilities.argmax(1)]
    assert len(np.unique(found)) == 10
    assert all(len(np.unique(found[groups == group])) == 1 for group in range(10))
    # The tree goes on, at a loss at first, down to one cluster.
    assert [step.num_clusters for step in tree.merges] == list(range(39, 0, -1))
    assert tree.merges[-10].cost < 0.0 < tree.merges[-9].cost
    assert Clusters.of(responsibilities, z, np.full(40, 1 / 40), "valleys").number == 10


def test_without_valleys_the_tree_is_that_of_evidence() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(600, 4))
    pieces = np.eye(6)[np.searchsorted([-1.0, -0.5, 0.0, 0.5, 1.0], z[:, 0])]
    trees = [merge_tree(pieces, criterion=name, latents=z).merges for name in ("evidence", "valleys")]
    assert trees[0] == trees[1]


def test_order_scale_and_rotation_of_the_latents_hardly_matter() -> None:
    """Which rows are one half depends on their order, so costs differ a little and clusters do not."""
    rng = np.random.default_rng(4)
    groups = rng.integers(6, size=3000)
    z = rng.normal(size=(3000, 5)) + 6.0 * np.eye(6)[:, :5][groups]
    labels = groups * 2 + (z[:, 4] > 0)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    shuffled = rng.permutation(3000)
    found = []
    for rows, latents in (
        (np.arange(3000), z),
        (np.arange(3000), (z @ turn) * 300.0 - 7.0),
        (shuffled, z[shuffled] * [1e-3, 1.0, 50.0, 1.0, 1.0]),
    ):
        tree = merge_tree(np.eye(12)[labels[rows]], criterion="valleys", latents=latents)
        found.append(tree.joined_below(0.0))
    assert len(np.unique(found[0])) == 6
    for first, second in itertools.pairwise(found):
        np.testing.assert_array_equal(first, second)
