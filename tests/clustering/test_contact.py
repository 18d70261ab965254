"""Contact of clusters: what touches is one population, whatever its shape; what is few counts in full."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pyro_vmm.clustering import merge_tree
from pyro_vmm.clustering.contact import contact
from pyro_vmm.clustering.criteria.contact import APART


def cut(latents: NDArray[np.float64], share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A plane parts the observations."""
    first = latents[:, 0] < np.quantile(latents[:, 0], share)
    return latents[first], latents[~first]


def bent(rng: np.random.Generator, number: int, dim: int) -> NDArray[np.float64]:
    noise = rng.normal(size=(number, dim))
    return noise + 0.35 * (np.square(noise @ rng.normal(size=(dim, dim)) / np.sqrt(dim)) - 1.0)


def pieces(latents: NDArray[np.float64], number: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Responsibilities ``[N, number]`` of components at random members."""
    centres = latents[rng.choice(len(latents), number, replace=False)]
    nearest = np.square(latents[:, None] - centres).sum(-1).argmin(1)
    return np.eye(number)[nearest]


def clusters(latents: NDArray[np.float64], responsibilities: NDArray[np.float64]) -> NDArray[np.int64]:
    tree = merge_tree(responsibilities, criterion="contact", latents=latents)
    return np.unique(tree.joined_below(APART)[responsibilities.argmax(1)], return_inverse=True)[1]


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
@pytest.mark.parametrize(("number", "dim"), [(1000, 2), (1000, 10), (6000, 10)])
def test_two_parts_of_a_gaussian_have_a_contact_of_one(number: int, dim: int, share: float) -> None:
    latents = np.random.default_rng(1).normal(size=(number, dim))
    assert contact(*cut(latents, share)) == pytest.approx(1.0, abs=0.5)


def test_it_does_not_depend_on_the_order_of_the_two() -> None:
    first, second = cut(np.random.default_rng(2).normal(size=(800, 5)), 0.3)
    assert contact(first, second) == contact(second, first)


@pytest.mark.parametrize("few", [20, 40, 80])
@pytest.mark.parametrize("many", [300, 5000])
def test_distinct_groups_have_none_however_few_one_has(few: int, many: int) -> None:
    rng = np.random.default_rng(3)
    away = np.r_[7.0, np.zeros(9)]
    assert contact(rng.normal(size=(few, 10)) + away, rng.normal(size=(many, 10))) < 0.15


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", ["round", "bent", "heavy"])
def test_the_pieces_of_one_population_are_one_cluster(shape: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    if shape == "bent":
        latents = bent(rng, 2000, 10)
    else:
        latents = rng.normal(size=(2000, 10)) * (
            np.sqrt(5.0 / rng.chisquare(5.0, size=(2000, 1))) if shape == "heavy" else 1
        )
    assert clusters(latents, pieces(latents, 30, rng)).max() == 0


def test_evidence_alone_cuts_what_is_bent() -> None:
    """What the rule is for: else the tests above would not show it."""
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        latents = bent(rng, 2000, 10)
        tree = merge_tree(pieces(latents, 30, rng), criterion="valleys", latents=latents)
        found.append(len(np.unique(tree.joined_below(0.0)[list(tree.utilised)])))
    assert max(found) > 1


def test_a_rare_group_stays_and_the_rest_is_one() -> None:
    rng = np.random.default_rng(4)
    many = rng.normal(size=(5000, 10))
    few = rng.normal(size=(20, 10)) + np.r_[7.0, np.zeros(9)]
    latents = np.concatenate([many, few])
    responsibilities = np.zeros((5020, 31))
    responsibilities[:5000, :30] = pieces(many, 30, rng)
    responsibilities[5000:, 30] = 1.0
    found = clusters(latents, responsibilities)
    assert found.max() == 1
    assert (found[5000:] == found[5000]).all()
    assert (found[:5000] != found[5000]).all()


def test_a_valley_keeps_apart_what_touches() -> None:
    """Many neighbours are in the other cluster, and yet there are two modes."""
    rng = np.random.default_rng(5)
    latents = rng.normal(size=(6000, 10)) + np.where(np.arange(6000) < 3000, 0.0, 3.0)[:, None] * np.eye(10)[0]
    sides = latents[:, 0] > 1.5
    assert contact(latents[sides], latents[~sides]) > 1.0 - APART
    tree = merge_tree(np.eye(2)[sides.astype(int)], criterion="contact", latents=latents)
    assert tree.merges[-1].cost == APART


def test_costs_are_separations() -> None:
    rng = np.random.default_rng(6)
    latents = np.concatenate([rng.normal(size=(500, 5)), rng.normal(size=(500, 5)) + 9.0 * np.eye(5)[0]])
    halves = np.concatenate([pieces(latents[:500], 4, rng), np.zeros((500, 4))]), np.zeros((1000, 4))
    responsibilities = np.concatenate(halves, axis=1)
    responsibilities[500:, 4:] = pieces(latents[500:], 4, rng)
    costs = merge_tree(responsibilities, criterion="contact", latents=latents).costs
    assert (costs[:-1] < APART).all()
    assert costs[-1] == pytest.approx(1.0, abs=0.02)
    assert costs.min() >= 0.0


def test_the_same_latents_give_the_same_tree_in_another_scale() -> None:
    rng = np.random.default_rng(7)
    latents = np.concatenate([bent(rng, 400, 4), bent(rng, 300, 4) + 5.0])
    responsibilities = pieces(latents, 12, rng)
    turned = latents @ np.linalg.qr(rng.normal(size=(4, 4)))[0] * 37.0 + 5.0
    first, second = (merge_tree(responsibilities, criterion="contact", latents=z) for z in (latents, turned))
    np.testing.assert_allclose(first.costs, second.costs, atol=1e-6)


def test_one_component_has_nothing_to_join() -> None:
    tree = merge_tree(np.ones((5, 1)), criterion="contact", latents=np.arange(10.0).reshape(5, 2))
    assert tree.merges == ()


@pytest.mark.parametrize("number", [2, 3, 7])
def test_clusters_of_one_observation_can_be_compared(number: int) -> None:
    latents = np.random.default_rng(8).normal(size=(number, 3))
    tree = merge_tree(np.eye(number), criterion="contact", latents=latents)
    assert len(tree.merges) == number - 1
    assert np.isfinite(tree.costs).all()
