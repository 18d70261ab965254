import numpy as np
import pytest
from matplotlib.figure import Figure

from pyro_vmm.errors import UserError
from pyro_vmm.plotting import cluster_label_table
from pyro_vmm.plotting.label_table import label_counts


def _ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_columns_are_shares_of_each_cluster_under_its_majority_label():
    clusters = np.array([30, 30, 30, 30, 2, 2, 5])
    labels = np.array(["a", "a", "a", "b", "b", "b", "a"])
    ax = Figure().subplots()
    assert cluster_label_table(clusters, labels, ax=ax) is ax
    assert _ticks(ax.xaxis) == ["5", "30", "2"]
    assert _ticks(ax.yaxis) == ["a", "b"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[1, 0.75, 0], [0, 0.25, 1]])
    assert ax.get_title(loc="left").replace("\n", " ") == "85.7 % of observations carry their cluster's majority label"


def test_a_perfect_clustering_is_a_staircase():
    clusters = np.random.default_rng(0).integers(0, 40, 2000)
    table = label_counts(clusters, (clusters * 7) % 10).to_numpy()
    assert (np.diff(table.argmax(axis=0)) >= 0).all()
    assert ((table > 0).sum(axis=0) == 1).all()


def test_observations_without_a_label_are_left_out():
    ax = cluster_label_table([0, 0, 1, 1], np.array(["a", None, "b", np.nan], dtype=object))
    np.testing.assert_array_equal(ax.images[0].get_array(), np.eye(2))


def test_a_hundred_clusters_have_a_colour_bar_instead_of_numbers():
    clusters = np.arange(1000) % 100
    ax = cluster_label_table(clusters, clusters % 10)
    assert len(_ticks(ax.xaxis)) == 100
    assert len(ax.figure.axes) == 2
    assert len(ax.texts) == 1  # the caption


def test_nothing_labelled_and_lengths_that_disagree():
    assert cluster_label_table([], []).get_title(loc="left") == "No labelled observations"
    assert cluster_label_table([1], [None]).get_title(loc="left") == "No labelled observations"
    with pytest.raises(UserError, match="must both be"):
        cluster_label_table([1, 2], ["a"])


def test_a_hundred_labels_keep_the_page_short_and_every_name():
    labels = np.arange(100).repeat(3)
    ax = cluster_label_table(labels % 5, labels)
    assert len(ax.get_yticklabels()) == 100
    assert ax.figure.get_figheight() < 16
    assert len(ax.figure.axes) == 2  # a scale instead of numbers
