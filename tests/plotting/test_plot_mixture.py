import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pyro_vmm.clustering import MergeStep, MergeTree
from pyro_vmm.errors import UserError
from pyro_vmm.plotting import merge_tree, mixture_weights, responsibility_entropy
from pyro_vmm.plotting.entropy import entropy_in_nats
from pyro_vmm.plotting.palette import FAINT, MUTED, PRIMARY


def _caption(ax):
    return ax.texts[-1].get_text().replace("\n", " ")


def test_bars_descend_and_unused_ones_are_grey():
    weights = np.array([0.1, 0.5, 0.15, 0.25])
    ax = Figure().subplots()
    assert mixture_weights(weights, [True, False, True, True], ax=ax) is ax
    np.testing.assert_array_equal([bar.get_height() for bar in ax.patches], [0.5, 0.25, 0.15, 0.1])
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [FAINT, PRIMARY, PRIMARY, PRIMARY]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["3", "2", "0"]
    np.testing.assert_array_equal(weights, [0.1, 0.5, 0.15, 0.25])


def test_running_total_is_the_sum_of_the_bars_so_far():
    ax = mixture_weights([0.1, 0.6, 0.3], [True] * 3)
    total = ax.figure.axes[1].lines[0]
    np.testing.assert_allclose(total.get_ydata(), [0.6, 0.9, 1.0])


def test_title_and_caption_tell_use_and_truncation():
    weights = np.r_[np.full(3, 0.3), np.full(97, 0.1 / 97)]
    ax = mixture_weights(weights, np.arange(100) < 3)
    assert ax.get_title(loc="left") == "3 clusters in use of 100 components"
    assert "in use (blue) 90.0 % of the weight, unused (grey) 10.0 %" in _caption(ax)
    assert "of which 70 components with 7.2 % are not drawn; truncation K = 100" in _caption(ax)
    assert len(ax.patches) == 30


@pytest.mark.parametrize("last", [39, 99])
def test_no_component_in_use_is_ever_left_out(last):
    weights = np.linspace(2, 1, 100) / 150
    used = np.zeros(100, dtype=bool)
    used[[0, last]] = True
    ax = mixture_weights(weights, used)
    assert sum(to_hex(bar.get_facecolor()) == PRIMARY for bar in ax.patches) == 2


def test_weights_and_use_must_agree_in_shape():
    with pytest.raises(UserError, match="must both be"):
        mixture_weights([0.5, 0.5], [True])


def test_entropy_is_zero_for_certainty_and_log_k_for_ignorance():
    np.testing.assert_allclose(entropy_in_nats(np.array([[0, 1, 0], [1 / 3] * 3])), [0, np.log(3)], atol=1e-12)


def test_entropy_does_not_depend_on_the_block_an_observation_is_in():
    r = np.random.default_rng(0).dirichlet(np.ones(3), size=70_000).astype(np.float32)
    np.testing.assert_array_equal(entropy_in_nats(r)[65_000:], entropy_in_nats(r[65_000:]))


def test_histogram_counts_every_observation_and_marks_the_maximum_over_clusters_in_use():
    r = np.zeros((8, 100))
    r[:6, 2] = 1
    r[6:, 5], r[6:, 2] = 0.6, 0.4
    ax = Figure().subplots()
    assert responsibility_entropy(r, ax=ax) is ax
    assert sum(bar.get_height() for bar in ax.patches) == 8
    np.testing.assert_allclose(ax.lines[0].get_xdata(), np.log(2))
    title = ax.get_title(loc="left").replace("\n", " ")
    assert title == "75.0 % of observations have a cluster of probability above 0.9"


def test_entropy_above_the_mark_still_falls_into_a_bar():
    r = np.full((5, 10), 0.1)
    r[:, 0] += 1e-9  # one cluster in use, and yet nothing is certain
    assert sum(bar.get_height() for bar in responsibility_entropy(r).patches) == 5


def test_entropy_of_one_cluster_and_of_no_observations():
    ax = responsibility_entropy(np.ones((4, 1)))
    assert ax.patches[0].get_height() == 4
    assert responsibility_entropy(np.empty((0, 3))).get_title(loc="left") == "No observations"


MERGES = [(1, 4, 0.1), (0, 7, 0.2), (4, 9, 0.3), (0, 1, 0.9)]


def _brackets(ax):
    return ax.collections[0].get_segments()


def test_every_join_is_a_bracket_at_its_cost_standing_on_its_parts():
    ax = Figure().subplots()
    assert merge_tree(MERGES, ax=ax) is ax
    place = {int(label.get_text()): x for x, label in enumerate(ax.get_xticklabels())}
    assert set(place) == {0, 1, 4, 7, 9}
    brackets = {round(float(bracket[1, 1]), 6): bracket for bracket in _brackets(ax)}
    assert set(brackets) == {0.1, 0.2, 0.3, 0.9}
    np.testing.assert_allclose(brackets[0.1][[0, 3]], [[place[1], 0], [place[4], 0]])
    np.testing.assert_allclose(brackets[0.3][[0, 3]], [[(place[1] + place[4]) / 2, 0.1], [place[9], 0]])


def test_brackets_do_not_cross():
    generator = np.random.default_rng(3)
    alive, merges = list(range(40)), []
    while len(alive) > 1:
        left, right = generator.choice(len(alive), 2, replace=False)
        merges.append((alive[left], alive[right], float(len(merges))))
        del alive[right]
    brackets = np.array(_brackets(merge_tree(merges)))
    assert len(brackets) == 39
    start, end, height = brackets[:, 0, 0], brackets[:, 3, 0], brackets[:, 1, 1]
    for leg in (0, 3):
        x, foot = brackets[:, leg, 0, None], brackets[:, leg, 1, None]
        assert not ((start < x) & (x < end) & (foot < height) & (height < height[:, None])).any()


def test_a_cut_colours_the_groups_of_that_time_and_leaves_later_joins_grey():
    ax = merge_tree(MERGES, num_clusters=2)
    colour = {
        round(float(bracket[1, 1]), 6): to_hex(rgba)
        for bracket, rgba in zip(_brackets(ax), ax.collections[0].get_colors(), strict=True)
    }
    assert colour[0.9] == MUTED
    assert colour[0.1] == colour[0.3] != colour[0.2]
    assert MUTED not in (colour[0.1], colour[0.2])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 0.6)
    assert ax.get_title(loc="left") == "5 clusters joined into 2 groups"


def test_a_join_cheaper_than_an_earlier_one_is_drawn_no_lower():
    heights = [bracket[1, 1] for bracket in _brackets(merge_tree([(0, 1, 0.5), (2, 3, 0.4), (0, 2, 0.45)]))]
    np.testing.assert_allclose(heights, 0.5)


def test_a_merge_tree_is_drawn_as_its_steps_and_gains_in_evidence_at_zero():
    steps = (MergeStep(0, 2, -7.5, 2), MergeStep(0, 1, 20.0, 1))
    tree = MergeTree("evidence", (0, 1, 2), (5.0, 4.0, 3.0), steps)
    ax = merge_tree(tree)
    assert {tuple(bracket[:, 1]) for bracket in np.array(_brackets(ax))} == {(0, 0, 0, 0), (0, 20, 20, 0)}
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylabel() == "cost of joining (nats)"
    assert "first join at cost −7.5, last at 20" in _caption(ax)
    assert merge_tree(tree, num_clusters=2).get_title(loc="left") == "3 clusters joined into 2 groups"
    overlap = MergeTree("overlap", (0, 1), (5.0, 4.0), (MergeStep(0, 1, 0.5, 1),))
    assert merge_tree(overlap).get_ylabel() == "cost of joining"
    assert merge_tree(MergeTree("evidence", (0,), (5.0,), ())).get_title(loc="left") == "Nothing to merge"


def test_trees_that_never_meet_stand_side_by_side():
    ax = merge_tree([(0, 1, 0.1), (2, 3, 0.2)])
    assert ax.get_title(loc="left") == "4 clusters joined into 2 groups"
    assert len(_brackets(ax)) == 2


def test_no_merges_and_impossible_ones():
    assert merge_tree([]).get_title(loc="left") == "Nothing to merge"
    with pytest.raises(UserError, match="already in one group"):
        merge_tree([(0, 1, 0.1), (1, 2, 0.2), (0, 2, 0.3)])
    with pytest.raises(UserError, match="already in one group"):
        merge_tree([(0, 0, 0.1)])
    with pytest.raises(UserError, match="choose one from 1 to 5"):
        merge_tree(MERGES, num_clusters=6)
