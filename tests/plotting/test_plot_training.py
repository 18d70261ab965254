import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pyro_vmm.errors import UserError
from pyro_vmm.plotting import elbo_against_clusters, training_curves
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


def test_clusters_are_drawn_where_they_were_counted():
    counted = np.where(np.arange(200) % 10, np.nan, 11.0)
    _, lower = training_curves(_history(components_in_use=np.full(200, 100), clusters_in_use=counted))
    assert lower.get_title(loc="left") == "100 components in use at the end"
    assert "11 clusters" in " ".join(text.get_text() for text in lower.texts)
    assert [len(line.get_xdata()) for line in lower.lines] == [200, 20]


def test_components_of_version_0_1_are_drawn_from_zero_and_the_last_count_is_the_title():
    _, lower = training_curves(_history(clusters_in_use=np.linspace(100, 14, 200).round()))
    assert lower.get_ylim()[0] == 0
    assert lower.get_title(loc="left") == "14 components in use at the end"


@pytest.mark.parametrize("rows", [0, 1])
def test_short_histories(rows):
    upper, lower = training_curves(_history(clusters_in_use=np.ones(200)).iloc[:rows])
    assert len(upper.lines) == rows
    assert lower.get_title(loc="left") == (
        "1 component in use at the end" if rows else "Components in use were not recorded"
    )


def test_a_history_without_elbo_is_the_callers_mistake():
    with pytest.raises(UserError, match="'elbo'"):
        training_curves(pd.DataFrame({"step": [1]}))


def _of_cells(**more):
    """A history as SingleCellVMM keeps it: of the same training as ``_history``, losses instead of ELBOs."""
    table = _history(validation_elbo=np.linspace(-140, -120, 200), clusters_in_use=np.full(200, 7), **more)
    losses = {"elbo_train": -table["elbo"], "elbo_validation": -table["validation_elbo"]}
    return table, {name: v.to_frame(name) for name, v in losses.items()} | {
        name: table[[name]] for name in ("step", "clusters_in_use")
    }


def test_the_history_of_cells_gives_the_picture_of_the_same_history_of_arrays():
    table, of_cells = _of_cells()
    for given, expected in zip(training_curves(of_cells), training_curves(table), strict=True):
        assert given.get_title(loc="left") == expected.get_title(loc="left")
        for line, other in zip(given.lines, expected.lines, strict=True):
            np.testing.assert_allclose(line.get_xydata(), other.get_xydata())
    assert set(of_cells["elbo_train"].columns) == {"elbo_train"}, "what is given is left alone"


def test_training_that_was_gone_on_with_goes_on_along_the_axis():
    _, of_cells = _of_cells()
    twice = {name: pd.concat([frame, frame, frame]) for name, frame in of_cells.items()}
    upper, _ = training_curves(twice)
    np.testing.assert_array_equal(upper.lines[0].get_xdata(), np.arange(1, 601) * 10)


def test_it_says_that_components_may_yet_be_joined():
    _, lower = training_curves(_history(clusters_in_use=np.ones(200)))
    assert lower.get_ylabel() == "components in use"
    assert "before joining: clusters may be fewer" in lower.texts[0].get_text()


def test_no_history_yet_is_the_callers_mistake():
    with pytest.raises(UserError, match="history lacks"):
        training_curves({})


def test_the_elbo_against_components_takes_the_history_of_cells_too():
    table, of_cells = _of_cells()
    expected = elbo_against_clusters(table)
    for given in (of_cells, {"cells": of_cells}):
        ax = elbo_against_clusters(given)
        np.testing.assert_allclose(ax.lines[0].get_xydata(), expected.lines[0].get_xydata())
