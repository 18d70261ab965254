"""The marginal likelihood by which clusters of latents are one Gaussian or two."""

import numpy as np
import pytest
from scipy import integrate, stats

from pyro_vmm.clustering import merge_tree
from pyro_vmm.clustering.evidence import Moments, NormalWishart
from pyro_vmm.errors import UserError


def one_hot(labels: np.ndarray, number: int | None = None) -> np.ndarray:
    return np.eye(labels.max() + 1 if number is None else number)[labels]


def fine_clusters(z: np.ndarray, groups: np.ndarray, pieces: int) -> np.ndarray:
    """Each true group cut into pieces, as a fine mixture has it: by the nearest of some of its own members."""
    labels = np.zeros(len(z), dtype=np.int64)
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        nearest = np.square(z[mine][:, None] - z[mine[:pieces]]).sum(-1).argmin(1)
        labels[mine] = group * pieces + nearest
    return labels


def test_one_dimension_is_the_integral_over_mean_and_precision() -> None:
    z = np.array([[-1.0], [0.2], [0.5], [1.9], [3.0], [3.3]])
    prior = NormalWishart(z, np.array([0, 0, 0, 1, 1, 1]), 2)
    members = prior.moments[[0]]
    kappa, nu = prior.mean_strength, prior.degrees_of_freedom
    n, total, squares = float(members.count[0]), float(members.total[0, 0]), float(members.products[0, 0, 0])

    def integrand(mean: float, precision: float) -> float:
        log_likelihood = 0.5 * n * np.log(precision / (2 * np.pi)) - 0.5 * precision * (
            squares - 2 * mean * total + n * mean**2
        )
        log_prior = stats.norm.logpdf(mean, 0.0, 1.0 / np.sqrt(kappa * precision)) + stats.wishart.logpdf(
            precision, nu, 1.0
        )
        return float(np.exp(log_likelihood + log_prior))

    value, _ = integrate.dblquad(integrand, 1e-9, 80.0, -40.0, 40.0, epsabs=1e-12, epsrel=1e-7)
    expected = np.log(value) + np.log(2.0)  # and log Gamma(3)
    assert prior.log_evidence(members)[0] == pytest.approx(expected, abs=1e-4)


def test_a_chain_of_predictive_densities_gives_the_same() -> None:
    """In three dimensions, against the product of Student-t predictive densities (Murphy 2007, section 9)."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3)) + 1.0
    prior = NormalWishart(z, np.arange(40) % 4, 4)
    w = np.linalg.cholesky(np.eye(3))
    points = rng.normal(size=(9, 3)) @ w + 0.5
    kappa, nu, mean, psi = prior.mean_strength, prior.degrees_of_freedom, np.zeros(3), np.eye(3)
    log_prob = 0.0
    for point in points:
        freedom = nu - 2.0
        log_prob += stats.multivariate_t.logpdf(point, mean, psi * (kappa + 1) / (kappa * freedom), df=freedom)
        psi = psi + kappa / (kappa + 1) * np.outer(point - mean, point - mean)
        mean = (kappa * mean + point) / (kappa + 1)
        kappa, nu = kappa + 1, nu + 1
    ours = prior.log_evidence(Moments.of(points, np.zeros(9, dtype=np.int64), 1))[0]
    assert ours - np.log(np.prod(np.arange(1, 9))) == pytest.approx(log_prob, abs=1e-8)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pieces", [1, 4, 10])
def test_pieces_of_gaussians_are_joined_and_gaussians_are_not(seed: int, pieces: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(6, size=1500)
    # Anisotropic groups of unlike shapes, in units of their own.
    shapes = rng.normal(size=(6, 4, 4)) * 0.3 + np.eye(4)
    z = 5.0 * rng.normal(size=(6, 4))[groups] * 2.0 + np.einsum(
        "nde,ne->nd", shapes[groups], rng.normal(size=(1500, 4))
    )
    z = z @ np.diag([1e-3, 1.0, 50.0, 1.0]) + 7.0
    labels = fine_clusters(z / [1e-3, 1.0, 50.0, 1.0], groups, pieces)
    tree = merge_tree(one_hot(labels), criterion="evidence", latents=z)
    found = tree.joined_below(0.0)[labels]
    assert len(np.unique(found)) == 6
    assert len(np.unique(np.stack([found, groups]), axis=1).T) == 6


def test_costs_are_differences_of_log_evidence() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(5, size=200)
    z = rng.normal(size=(200, 3)) + labels[:, None] % 2
    tree = merge_tree(one_hot(labels), criterion="evidence", latents=z)
    prior = NormalWishart(z, labels, 5)

    def total(assigned: np.ndarray) -> float:
        groups = np.unique(assigned)
        parts = [[int(k) for k in np.unique(labels[assigned == group])] for group in groups]
        sums = [
            Moments(*(getattr(prior.moments, name)[part].sum(0)[None] for name in ("count", "total", "products")))
            for part in parts
        ]
        return float(sum(prior.log_evidence(one)[0] for one in sums))

    names = np.arange(5)
    for step in tree.merges:
        joined = np.where(names == step.absorbed, step.kept, names)
        assert step.cost == pytest.approx(total(names[labels]) - total(joined[labels]), abs=1e-8)
        names = joined


def test_scale_rotation_and_order_of_the_latents_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(8, size=400)
    z = rng.normal(size=(400, 3)) + 2.0 * rng.normal(size=(8, 3))[labels]
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    first = merge_tree(one_hot(labels), criterion="evidence", latents=z)
    scaled = merge_tree(one_hot(labels), criterion="evidence", latents=z * [0.01, 1.0, 300.0] - 5.0)
    np.testing.assert_allclose(scaled.costs, first.costs, rtol=1e-4, atol=1e-4)
    turned = merge_tree(one_hot(labels), criterion="evidence", latents=z @ turn)
    np.testing.assert_allclose(turned.costs, first.costs, rtol=1e-3, atol=1e-2)
    shuffled = rng.permutation(400)
    again = merge_tree(one_hot(labels[shuffled]), criterion="evidence", latents=z[shuffled])
    np.testing.assert_allclose(again.costs, first.costs, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize(
    "case", ["a dimension without variance", "clusters of one", "more dimensions than rows", "one row"]
)
def test_degenerate_latents_give_finite_costs(case: str) -> None:
    rng = np.random.default_rng(3)
    labels, z = np.arange(30) % 3, rng.normal(size=(30, 4))
    if case == "a dimension without variance":
        z[:, 2] = 4.0
    elif case == "clusters of one":
        labels = np.arange(30)
    elif case == "more dimensions than rows":
        z = rng.normal(size=(30, 50))
    else:
        labels, z = labels[:1], z[:1]
    tree = merge_tree(one_hot(labels), criterion="evidence", latents=z)
    assert len(tree.merges) == len(np.unique(labels)) - 1
    assert np.isfinite(tree.costs).all()


@pytest.mark.parametrize(
    ("latents", "sentence"),
    [
        (None, "give latents="),
        (np.zeros((3, 2)), r"latents have shape \[3, 2\]: give \[4, D\]"),
        (np.full((4, 2), np.nan), "latents are not finite"),
    ],
)
def test_latents_that_do_not_fit_are_refused(latents: np.ndarray | None, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        merge_tree(np.eye(4), criterion="evidence", latents=latents)


def test_a_weight_counts_as_copies_do() -> None:
    """All observations twice at half the weight is what they are once."""
    rng = np.random.default_rng(4)
    labels = rng.integers(6, size=300)
    z = rng.normal(size=(300, 3)) + labels[:, None] // 2
    once = merge_tree(one_hot(labels), criterion="evidence", latents=z, evidence_weight=300)
    twice = merge_tree(
        one_hot(np.tile(labels, 2)), criterion="evidence", latents=np.tile(z, (2, 1)), evidence_weight=300
    )
    np.testing.assert_allclose(twice.costs, once.costs, rtol=1e-9, atol=1e-7)
    more = merge_tree(
        one_hot(np.tile(labels, 2)), criterion="evidence", latents=np.tile(z, (2, 1)), evidence_weight=600
    )
    assert len(np.unique(more.joined_below(0.0))) >= len(np.unique(once.joined_below(0.0)))
    assert abs(more.costs[-1]) > 1.5 * abs(once.costs[-1])


def test_a_skewed_class_is_one_cluster_however_many_observations() -> None:
    """Two log-normal classes: all 20,000 observations show that they are no Gaussians, 2,000 do not insist."""
    rng = np.random.default_rng(5)
    groups = rng.integers(2, size=20_000)
    z = np.exp(0.3 * rng.normal(size=(20_000, 4))) + 8.0 * groups[:, None]
    labels = fine_clusters(z, groups, 8)
    tree = merge_tree(one_hot(labels), criterion="evidence", latents=z, evidence_weight=np.inf)
    assert len(np.unique(tree.joined_below(0.0))) > 2
    coarse = merge_tree(one_hot(labels), criterion="evidence", latents=z)
    found = coarse.joined_below(0.0)[labels]
    assert len(np.unique(found)) == 2
    assert len(np.unique(np.stack([found, groups]), axis=1).T) == 2


def test_a_cluster_that_counts_for_less_than_one_observation_is_none() -> None:
    rng = np.random.default_rng(6)
    z = rng.normal(size=(4003, 2))
    z[4000:] += (30.0, 0.0)
    labels = (np.arange(4003) >= 4000).astype(np.int64)
    joins = [
        len(
            np.unique(merge_tree(one_hot(labels), criterion="evidence", latents=z, evidence_weight=w).joined_below(0.0))
        )
        for w in (1000, np.inf)
    ]
    assert joins == [1, 2]


def test_observations_count_as_two_hundred_a_dimension_or_two_thousand_at_most() -> None:
    """Whichever is more: 2,000 up to ten dimensions."""
    for dim, weight, other in ((5, 2000.0, 1000.0), (20, 4000.0, 2000.0)):
        z = np.random.default_rng(0).normal(size=(6000, dim))
        labels = (z[:, 0] > 0.0).astype(int) + 2 * (z[:, 1] > 1.0)
        costs = {
            given: [
                step.cost for step in merge_tree(one_hot(labels), criterion="evidence", latents=z, **options).merges
            ]
            for given, options in ((None, {}), (weight, {"evidence_weight": weight}), (0, {"evidence_weight": other}))
        }
        assert costs[None] == costs[weight] != costs[0]


def test_a_weight_that_is_not_positive_is_refused() -> None:
    with pytest.raises(UserError, match="evidence_weight is 0"):
        merge_tree(np.eye(4), criterion="evidence", latents=np.eye(4), evidence_weight=0)
