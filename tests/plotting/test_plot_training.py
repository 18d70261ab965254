import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pyro_vmm.errors import UserError
from pyro_vmm.plotting import training_curves
from pyro_vmm.plotting.training import robust_limits


def _history(**columns):
    steps = np.arange(1, 201) * 10
    return pd.DataFrame({"step": steps, "elbo": -100 - 50 * np.exp(-steps / 300.0), **columns})


def test_axes_given_are_the_axes_returned():
    given = tuple(Figure().subplots(2, 1))
    assert training_curves(_history(clusters_in_use=np.arange(200)), given) == given


def test_early_outliers_do_not_squash_the_curve_and_are_counted_in_the_caption():
    history = _history()
    history.loc[:2, "elbo"] = [-1e9, -1e7, -1e6]
    upper, _ = training_curves(history)
    bottom, top = upper.get_ylim()
    assert bottom > -300
    assert top > history["elbo"].max()
    assert "3 values off this scale, the furthest −1e+09" in upper.texts[0].get_text()


def test_a_rising_curve_without_outliers_is_shown_whole():
    values = np.linspace(-10, 5, 50)
    bottom, top = robust_limits(values)
    assert bottom < -10
    assert top > 5


def test_a_collapse_at_the_end_is_never_cut_off():
    values = np.r_[np.full(96, -100.0) + np.linspace(0, 1, 96), np.full(12, -1e6)]
    assert robust_limits(values)[0] < -1e6


def test_a_constant_curve_has_room_around_it():
    bottom, top = robust_limits(np.full(5, -3.0))
    assert bottom < -3 < top


def test_values_that_are_not_finite_are_skipped_and_the_title_tells_the_last_validation():
    validation = np.full(200, np.nan)
    validation[[9, 99, 189]] = [-130, -110, -120]
    upper, _ = training_curves(_history(validation_elbo=validation))
    np.testing.assert_array_equal(upper.lines[1].get_ydata(), [-130, -110, -120])
    np.testing.assert_array_equal(upper.lines[1].get_xdata(), [100, 1000, 1900])
    assert upper.get_title(loc="left") == "Validation ELBO −120 at step 1,900"
    assert "best −110 at step 1,000" in upper.texts[0].get_text()


def test_clusters_in_use_are_drawn_from_zero_and_the_last_count_is_the_title():
    _, lower = training_curves(_history(clusters_in_use=np.linspace(100, 14, 200).round()))
    assert lower.get_ylim()[0] == 0
    assert lower.get_title(loc="left") == "14 clusters in use at the end"


@pytest.mark.parametrize("rows", [0, 1])
def test_short_histories(rows):
    upper, lower = training_curves(_history(clusters_in_use=np.ones(200)).iloc[:rows])
    assert len(upper.lines) == rows
    assert lower.get_title(loc="left") == (
        "1 cluster in use at the end" if rows else "Clusters in use were not recorded"
    )


def test_a_history_without_elbo_is_the_callers_mistake():
    with pytest.raises(UserError, match="'elbo'"):
        training_curves(pd.DataFrame({"step": [1]}))
