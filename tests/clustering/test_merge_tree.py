import json
from typing import get_args

import numpy as np
import pytest

from pyro_vmm.clustering import Criterion, MergeTree, Merging, component_order, joined, merge_tree
from pyro_vmm.clustering import criteria as criteria_of_joining
from pyro_vmm.clustering.criteria import PairCosts
from pyro_vmm.clustering.merging import RULES
from pyro_vmm.errors import UserError

CRITERIA = ["overlap", "misclassification"]


def random_responsibilities(num_observations, num_components, seed, concentration=0.2):
    generator = np.random.default_rng(seed)
    return generator.dirichlet(np.full(num_components, concentration), size=num_observations)


def gaussian_responsibilities(x, centres):
    log_density = -0.5 * (x[:, None] - centres) ** 2
    weights = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def similarity_from_the_data(columns, criterion):
    """Similarity of every pair, straight from the definition: columns maps a cluster's name to its [N] values."""
    names = sorted(columns)
    values = np.stack([columns[name] for name in names], axis=1)
    assigned = values.argmax(axis=1)
    pairs = {}
    for a, first in enumerate(names):
        for b, second in enumerate(names):
            if a >= b:
                continue
            r_a, r_b = values[:, a], values[:, b]
            if criterion == "overlap":
                pairs[first, second] = r_a @ r_b / np.sqrt((r_a @ r_a) * (r_b @ r_b))
            else:
                a_called_b = r_a[assigned == b].sum() / r_a.sum()
                b_called_a = r_b[assigned == a].sum() / r_b.sum()
                pairs[first, second] = max(a_called_b, b_called_a)
    return pairs


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("concentration", [0.1, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_every_merge_is_the_most_similar_pair_of_the_summed_responsibilities(criterion, concentration, seed):
    responsibilities = random_responsibilities(300, 9, seed=seed, concentration=concentration)
    tree = merge_tree(responsibilities, criterion=criterion)
    columns = {k: responsibilities[:, k].copy() for k in range(9)}
    assert len(tree.merges) == 8
    for step in tree.merges:
        pairs = similarity_from_the_data(columns, criterion)
        assert (step.kept, step.absorbed) == max(pairs, key=pairs.get)
        assert step.cost == pytest.approx(1.0 - pairs[step.kept, step.absorbed], abs=1e-10)
        columns[step.kept] = columns[step.kept] + columns.pop(step.absorbed)
        assert step.num_clusters == len(columns)
    assert tree.costs.tolist() == [step.cost for step in tree.merges]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_group_described_by_several_gaussians_comes_back_as_one_cluster(criterion):
    generator = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], [600, 300, 100])
    x = generator.normal(np.array([0.0, 20.0, 40.0])[group])
    # Three overlapping components on the first group, two on the second, one on the third, in mixed order.
    component_group = np.array([2, 0, 1, 0, 1, 0])
    centres = np.array([40.0, -0.6, 19.6, 0.0, 20.4, 0.6])
    tree = merge_tree(gaussian_responsibilities(x, centres), criterion=criterion)
    assert tree.cut(3).tolist() == component_group.tolist()
    # Joining groups that share nothing costs all there is; joining parts of one group costs visibly less.
    assert tree.costs[:3].max() < 0.7
    np.testing.assert_allclose(tree.costs[3:], 1.0, atol=1e-6)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_labels_run_by_decreasing_mass(criterion):
    tree = merge_tree(random_responsibilities(500, 12, seed=3), criterion=criterion)
    masses = np.array(tree.masses)
    for num_clusters in range(1, len(tree.utilised) + 1):
        labels = tree.cut(num_clusters)
        assert sorted(set(labels.tolist())) == list(range(num_clusters))
        assert (np.diff(np.bincount(labels, weights=masses)) <= 0).all()


def test_cuts_are_nested():
    tree = merge_tree(random_responsibilities(500, 12, seed=4))
    for num_clusters in range(1, 12):
        fine, coarse = tree.cut(num_clusters + 1), tree.cut(num_clusters)
        assert len({(f, c) for f, c in zip(fine.tolist(), coarse.tolist(), strict=True)}) == num_clusters + 1


def test_merged_responsibilities_are_the_sums_over_the_cut():
    responsibilities = random_responsibilities(200, 7, seed=5)
    tree = merge_tree(responsibilities)
    other = random_responsibilities(50, 7, seed=6)
    merged = tree.merge_responsibilities(other, 3)
    labels = tree.cut(3)
    expected = np.stack([other[:, labels == label].sum(axis=1) for label in range(3)], axis=1)
    np.testing.assert_allclose(merged, expected, rtol=1e-12)
    np.testing.assert_allclose(merged.sum(axis=1), 1.0, rtol=1e-12)
    assert tree.merge_responsibilities(other.astype(np.float32), 3).dtype == np.float32


@pytest.mark.parametrize("criterion", CRITERIA)
def test_unused_components_stay_out_of_the_tree_and_lend_their_mass_to_the_most_similar(criterion):
    generator = np.random.default_rng(7)
    x = np.concatenate([generator.normal(0.0, 1.0, 400), generator.normal(30.0, 1.0, 200)])
    used = gaussian_responsibilities(x, np.array([0.0, 30.0]))
    responsibilities = np.zeros((600, 5))
    responsibilities[:, [1, 3]] = 0.9 * used
    responsibilities[:, 4] = 0.1 * used[:, 1]  # always beaten by component 3, on the same observations
    responsibilities[:, 0] = 0.1 * used[:, 0]  # always beaten by component 1
    # component 2 has no mass at all
    tree = merge_tree(responsibilities, criterion=criterion)
    assert tree.utilised == (1, 3)
    assert [(step.kept, step.absorbed) for step in tree.merges] == [(1, 3)]
    assert tree.cut(2).tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_allclose(tree.merge_responsibilities(responsibilities, 2), used, atol=1e-12)


def test_an_unused_component_joins_where_its_pattern_fits_and_not_where_the_data_are_many():
    rare = np.tile([0.9, 0.1, 0.0], (20, 1))
    common = np.tile([0.0, 0.005, 0.995], (2000, 1))
    tree = merge_tree(np.concatenate([rare, common]))
    # Component 1 has cosine 0.89 with component 0 and 0.45 with component 2, but five times the inner product with 2.
    assert tree.cut(2).tolist() == [1, 1, 0]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_vanishing_columns_give_the_tree_of_the_others(criterion):
    responsibilities = random_responsibilities(300, 6, seed=8)
    padded = np.insert(responsibilities, [0, 3, 6], 0.0, axis=1)
    padded[:, 4] = 1e-310  # subnormal: its square underflows
    original = {0: 1, 1: 2, 2: 3, 3: 5, 4: 6, 5: 7}
    plain, tree = merge_tree(responsibilities, criterion=criterion), merge_tree(padded, criterion=criterion)
    assert tree.utilised == tuple(original.values())
    assert [(m.kept, m.absorbed) for m in tree.merges] == [
        (original[m.kept], original[m.absorbed]) for m in plain.merges
    ]
    np.testing.assert_allclose(tree.costs, plain.costs, atol=1e-12)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_hard_assignments_overlap_nowhere(criterion):
    tree = merge_tree(np.eye(4)[np.arange(40) % 4], criterion=criterion)
    assert tree.costs.tolist() == [1.0, 1.0, 1.0]


def test_one_used_component_is_a_tree_without_merges():
    tree = merge_tree(np.tile([0.2, 0.7, 0.1], (5, 1)))
    assert tree.merges == ()
    assert tree.cut(1).tolist() == [0, 0, 0]
    assert MergeTree.from_dict(tree.to_dict()) == tree


@pytest.mark.parametrize("criterion", CRITERIA)
def test_components_that_describe_the_same_observations_merge_at_no_cost(criterion):
    shared = np.tile([0.5, 0.0, 0.5], (10, 1))
    shared[::2] = [0.5 - 1e-9, 0.0, 0.5 + 1e-9]
    alone = np.tile([0.0, 1.0, 0.0], (10, 1))
    tree = merge_tree(np.concatenate([shared, alone]), criterion=criterion)
    assert (tree.merges[0].kept, tree.merges[0].absorbed) == (0, 2)
    # Half of what one generates is assigned to the other: that is all that hard assignment can confuse.
    assert tree.merges[0].cost == pytest.approx({"overlap": 0.0, "misclassification": 0.5}[criterion], abs=1e-8)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_order_of_observations_does_not_matter(criterion):
    responsibilities = random_responsibilities(400, 8, seed=9)
    shuffled = responsibilities[np.random.default_rng(0).permutation(400)]
    tree, other = merge_tree(responsibilities, criterion=criterion), merge_tree(shuffled, criterion=criterion)
    assert [(m.kept, m.absorbed) for m in tree.merges] == [(m.kept, m.absorbed) for m in other.merges]
    np.testing.assert_allclose(tree.costs, other.costs, atol=1e-12)


def test_single_precision_and_the_blockwise_gram_matrix_give_the_same_costs():
    responsibilities = random_responsibilities(20_000, 10, seed=10, concentration=0.5)
    exact = merge_tree(responsibilities)
    single = merge_tree(responsibilities.astype(np.float32))
    unit = responsibilities / np.sqrt((responsibilities**2).sum(axis=0))
    assert exact.costs[0] == pytest.approx(1.0 - np.triu(unit.T @ unit, k=1).max(), abs=1e-12)
    np.testing.assert_allclose(single.costs, exact.costs, atol=1e-6)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_tree_survives_json(criterion):
    tree = merge_tree(random_responsibilities(100, 6, seed=11), criterion=criterion)
    assert MergeTree.from_dict(json.loads(json.dumps(tree.to_dict()))) == tree


def test_a_damaged_saved_tree_is_refused():
    saved = merge_tree(random_responsibilities(100, 4, seed=12)).to_dict()
    for damage in [
        {"merges": saved["merges"][:-1]},
        {"merges": [*saved["merges"][:-1], saved["merges"][0]]},
        {"representatives": [0, 0, 0, 9]},
        {"masses": saved["masses"][:-1]},
        {"criterion": "labels"},
        {"merges": [{"kept": 0}]},
        {"merges": None},
    ]:
        with pytest.raises(UserError, match="merge tree"):
            MergeTree.from_dict(saved | damage)


@pytest.mark.parametrize("num_clusters", [0, 4, -1, True, 2.0, "2"])
def test_cuts_outside_the_tree_are_refused(num_clusters):
    responsibilities = np.tile(np.eye(5)[:3], (4, 1))  # five components, three of them used
    tree = merge_tree(responsibilities)
    with pytest.raises(UserError, match=r"1\.\.3"):
        tree.cut(num_clusters)
    with pytest.raises(UserError, match=r"1\.\.3"):
        tree.merge_responsibilities(responsibilities, num_clusters)


@pytest.mark.parametrize(
    "responsibilities",
    [
        np.ones(3),
        np.ones((0, 3)),
        np.ones((3, 0)),
        np.array([[0.5, np.nan]]),
        np.array([[1.5, -0.5]]),
        np.array([[3.0, 4.0]]),
        np.log(np.array([[0.4, 0.6]])),
    ],
)
def test_what_is_no_matrix_of_responsibilities_is_refused(responsibilities):
    with pytest.raises(UserError, match="responsibilities"):
        merge_tree(responsibilities)


def test_unknown_criterion_and_wrong_number_of_columns_are_refused():
    responsibilities = random_responsibilities(20, 4, seed=13)
    with pytest.raises(UserError, match="misclassification"):
        merge_tree(responsibilities, criterion="entropy")
    with pytest.raises(UserError, match=r"\[N, 4\]"):
        merge_tree(responsibilities).merge_responsibilities(responsibilities[:, :3], 2)


def test_the_names_that_type_checkers_know_are_those_of_the_tables():
    assert get_args(Criterion) == tuple(criteria_of_joining.CRITERIA)
    assert get_args(Merging) == tuple(RULES)


def test_a_criterion_is_a_class_and_an_entry_in_the_table(monkeypatch):
    class DistanceOfMeans(PairCosts):
        """Distance of the means, each weighted by its number of observations."""

        reads_latents = True

        def __init__(self, components):
            masses = components.summed.sum(0)
            self.sums, self.masses = components.summed.T @ components.latents, masses

        def costs(self):
            means = self.sums / self.masses[:, None]
            return np.linalg.norm(means[:, None] - means, axis=-1)

        def merge(self, kept, absorbed):
            self.sums[kept] += self.sums[absorbed]
            self.masses[kept] += self.masses[absorbed]

    monkeypatch.setitem(criteria_of_joining.CRITERIA, "distance", DistanceOfMeans)
    z = np.array([0.0, 1.0, 5.0, 11.0])[np.arange(40) % 4, None]
    tree = merge_tree(np.eye(4)[np.arange(40) % 4], criterion="distance", latents=z)
    assert [(step.kept, step.absorbed) for step in tree.merges] == [(0, 1), (0, 2), (0, 3)]
    np.testing.assert_allclose(tree.costs, [1.0, 4.5, 9.0])
    assert MergeTree.from_dict(tree.to_dict()) == tree
    with pytest.raises(UserError, match=r"criterion='contact', criterion='distance' compare .*: give latents="):
        merge_tree(np.eye(4), criterion="distance")
    with pytest.raises(UserError, match="evidence, valleys, contact, distance"):
        merge_tree(np.eye(4), criterion="entropy")


@pytest.mark.parametrize("criterion", CRITERIA)
def test_components_joined_below_a_cost_are_those_of_the_merges_before_it(criterion):
    # Two pairs that overlap, the first more than the second, and one component apart.
    x = np.concatenate([np.random.default_rng(0).normal(c, 1.0, 400) for c in (0.0, 1.5, 30.0, 32.5, 90.0)])
    responsibilities = gaussian_responsibilities(x, np.array([0.0, 1.5, 30.0, 32.5, 90.0]))
    tree = merge_tree(responsibilities, criterion=criterion)
    first, second, third = tree.costs[:3]
    assert first < second < third
    assert tree.joined_below(0.0).tolist() == [0, 1, 2, 3, 4]
    assert tree.joined_below((first + second) / 2).tolist() == [0, 0, 2, 3, 4]
    assert tree.joined_below((second + third) / 2).tolist() == [0, 0, 2, 2, 4]
    # A cost of just that stops the joining.
    assert tree.joined_below(first).tolist() == [0, 1, 2, 3, 4]


def test_the_tree_above_a_cost_is_that_of_the_joined_columns():
    x = np.concatenate([np.random.default_rng(0).normal(c, 1.0, 400) for c in (0.0, 1.2, 4.0, 6.0, 10.0)])
    responsibilities = gaussian_responsibilities(x, np.array([0.0, 1.2, 4.0, 6.0, 10.0]))
    tree = merge_tree(responsibilities)
    cost = float(tree.costs[:2].mean())
    order = np.array([4, 2, 0, 3, 1])
    above = tree.above(cost, order)
    sums = joined(responsibilities, tree.joined_below(cost))[:, order]
    again = merge_tree(sums)
    assert above.utilised == again.utilised == (0, 1, 2, 3)
    pairs = [[(step.kept, step.absorbed, step.num_clusters) for step in one.merges] for one in (above, again)]
    assert pairs[0] == pairs[1]
    np.testing.assert_allclose(above.costs, again.costs, atol=1e-12)
    np.testing.assert_allclose(above.masses, sums.sum(0))
    assert MergeTree.from_dict(above.to_dict()) == above
    np.testing.assert_allclose(above.merge_responsibilities(sums, 2), tree.merge_responsibilities(responsibilities, 2))


def test_joined_responsibilities_are_sums_in_the_representatives_column():
    responsibilities = random_responsibilities(50, 4, seed=1)
    sums = joined(responsibilities, np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(sums[:, 0], responsibilities[:, 0] + responsibilities[:, 2])
    np.testing.assert_allclose(sums.sum(1), 1.0)
    assert (sums[:, 2:] == 0).all()


def test_components_are_numbered_by_how_many_observations_they_own():
    responsibilities = np.eye(5)[[3, 3, 3, 1, 1, 4]]
    order = component_order(responsibilities.argmax(1), [0.1, 0.3, 0.2, 0.3, 0.1])
    assert order.tolist() == [3, 1, 4, 2, 0]
