import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pyro_vmm.errors import UserError
from pyro_vmm.plotting import elbo_against_clusters, elbo_surgery_bars
from pyro_vmm.scoring.elbo_surgery import ElboSurgery

SURGERY = ElboSurgery(9.0, 4.0, 5.0, -300.0, -302.0, -290.0, 100, 50).as_dict()
OTHER = ElboSurgery(8.0, 6.0, 2.0, -310.0, -312.0, -299.0, 100, 50).as_dict()


def test_bars_are_the_divergences_and_points_the_log_probabilities_with_the_elbo_among_them():
    given = tuple(Figure().subplots(2, 1))
    upper, lower = elbo_surgery_bars({"one": SURGERY, "other": OTHER}, axes=given)
    assert (upper, lower) == given
    assert [bar.get_width() for bar in upper.patches] == [9, 4, 5, 8, 6, 2]
    assert [list(line.get_xdata()) for line in lower.lines] == [[-300, -309, -302, -290], [-310, -318, -312, -299]]
    rows = [label.get_text() for label in upper.get_yticklabels()]
    assert rows == ["average KL", "marginal KL", "mutual information"]
    assert [label.get_text() for label in lower.get_yticklabels()][1] == "ELBO"
    for bar, row in zip(upper.patches, [0, 1, 2] * 2, strict=True):
        assert abs(bar.get_y() + bar.get_height() / 2 - row) < 0.5
    assert upper.get_xlim()[0] <= 0
    assert [text.get_text() for text in lower.get_legend().get_texts()] == ["one", "other"]


def test_the_title_of_one_surgery_says_how_much_is_mutual_information():
    upper, lower = elbo_surgery_bars({"fit": SURGERY})
    assert upper.get_title(loc="left") == "Average KL 9 nats, 56 % of it mutual information"
    assert lower.get_legend() is None


def test_surgeries_that_cannot_be_drawn():
    with pytest.raises(UserError, match="at least one"):
        elbo_surgery_bars({})
    with pytest.raises(UserError, match="'fit' lacks 'marginal_kl'"):
        elbo_surgery_bars({"fit": {"average_kl": 1.0}})


def history(clusters, elbo, validation=None):
    told = {"clusters_in_use": clusters, "elbo": elbo}
    return pd.DataFrame(told if validation is None else told | {"validation_elbo": validation})


def test_the_marker_stands_at_the_state_that_the_fit_kept():
    ax = Figure().subplots()
    fit = history([40, 20, 12, 10], [-9.0, -7, -6, -5], [-9.5, -7.5, -8, np.nan])
    assert elbo_against_clusters(fit, ax=ax) is ax
    way, marker = ax.lines
    np.testing.assert_array_equal(way.get_xydata(), [[40, -9.5], [20, -7.5], [12, -8]])
    np.testing.assert_array_equal(marker.get_xydata(), [[20, -7.5]])
    assert ax.get_title(loc="left") == "ELBO −7.5 with 20 components in use"
    without = elbo_against_clusters(history([40, 20, 12], [-9.0, -7, -8]))
    np.testing.assert_array_equal(without.lines[1].get_xydata(), [[12, -8]])
    assert without.get_ylabel().startswith("training ELBO")


def test_several_fits_are_named_and_all_their_ends_are_in_view():
    fits = {f"seed {k}": history([90, 9 + k], [-900.0, -9 - k]) for k in range(5)}
    ax = elbo_against_clusters(fits)
    ends = [line.get_xydata()[0] for line in ax.lines[1::2]]
    np.testing.assert_array_equal(ends, [[9 + k, -9 - k] for k in range(5)])
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert all(left < x < right and bottom < y < top for x, y in ends)
    assert bottom > -100
    assert {text.get_text() for text in ax.texts} > set(fits)
    assert ax.get_title(loc="left") == "5 fits, from 9 to 13 components in use"


def test_one_fit_without_validation_has_all_drawn_by_their_training_elbo():
    ax = elbo_against_clusters({"a": history([3], [-5.0], [-6.0]), "b": history([4], [-5.5])})
    assert ax.get_ylabel().startswith("training ELBO")
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[3, -5]])


def test_histories_that_cannot_be_drawn():
    with pytest.raises(UserError, match="lacks the column 'components_in_use'"):
        elbo_against_clusters(pd.DataFrame({"elbo": [1.0]}))
    with pytest.raises(UserError, match="no finite ELBO"):
        elbo_against_clusters(history([3], [np.nan]))
    with pytest.raises(UserError, match="at least one"):
        elbo_against_clusters({})
