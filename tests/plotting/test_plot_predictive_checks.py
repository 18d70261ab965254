import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pyro_vmm.errors import UserError
from pyro_vmm.plotting import predictive_histogram, predictive_p_values, predictive_scatter
from pyro_vmm.plotting.palette import PRIMARY, SECONDARY
from pyro_vmm.ppc import PredictiveCheck, StatisticCheck


def check(observed, spread=0.1, group=None, name="zeros", averages=True):
    observed = np.array(observed, float)
    replicated = 1.0 + spread * np.random.default_rng(0).normal(size=(100, len(observed)))
    entries = tuple(str(place) for place in range(len(observed)))
    return StatisticCheck(name, group, 50, entries, observed, replicated, averages)


def caption(ax):
    return ax.texts[-1].get_text().replace("\n", " ")


def test_histogram_counts_every_replicate_and_marks_the_data():
    ax = Figure().subplots()
    one = check([3.0])
    assert predictive_histogram(one, ax=ax) is ax
    assert sum(bar.get_height() for bar in ax.patches) == 100
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [3.0, 3.0])
    assert ax.get_title(loc="left") == "zeros: replicates are too low"
    assert caption(ax) == "0.0 % of 100 replicates are at or above the data; 50 observations"
    np.testing.assert_allclose(predictive_histogram(check([2.0, 4.0])).lines[0].get_xdata(), 3.0)


def test_scatter_has_a_point_an_entry_and_marks_those_outside():
    ax = Figure().subplots()
    drawn = check([1.0, 0.98, 5.0])
    assert predictive_scatter(drawn, ax=ax) is ax
    inside, outside, line = ax.lines
    np.testing.assert_array_equal(inside.get_xdata(), [1.0, 0.98])
    np.testing.assert_array_equal(outside.get_xdata(), [5.0])
    np.testing.assert_allclose(outside.get_ydata(), drawn.replicated[:, 2].mean())
    assert [to_hex(points.get_color()) for points in (inside, outside)] == [PRIMARY, SECONDARY]
    np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_aspect() == 1
    assert ax.get_title(loc="left") == "zeros: 33.3 % of 3 entries outside"


def test_scatter_is_logarithmic_where_values_differ_by_orders_of_magnitude():
    assert predictive_scatter(check([1.0, 5.0])).get_xscale() == "linear"
    assert predictive_scatter(check([1.0, 500.0])).get_xscale() == "log"
    assert predictive_scatter(check([0.0, 500.0])).get_xscale() == "linear"


def test_undefined_entries_are_left_out():
    ax = predictive_scatter(check([np.nan, 1.0, 1.0]))
    assert sum(len(points.get_xdata()) for points in ax.lines[:2]) == 2


def test_p_values_stand_in_rows_of_groups_and_columns_of_statistics():
    checks = tuple(
        check(observed, group=group, name=name, averages=name != "shares")
        for name, values in {"mean": (1.0, 9.0), "shares": (1.0, 1.0)}.items()
        for group, observed in zip((None, "b"), ([value, value] for value in values), strict=True)
    )
    result = PredictiveCheck("posterior", 100, 0, checks)
    ax = Figure().subplots()
    assert predictive_p_values(result, ax=ax) is ax
    values = np.ma.filled(ax.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(values, [[result["mean"].p_value, np.nan], [0.0, np.nan]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all", "b"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["mean", "shares"]
    assert ax.get_title(loc="left") == "1 of 2 p-values outside the central 95 %"


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UserError, match="draw its entries with predictive_scatter"):
        predictive_histogram(check([1.0, 1.0], averages=False))
    with pytest.raises(UserError, match="is one number: draw it with predictive_histogram"):
        predictive_scatter(check([1.0]))
    with pytest.raises(UserError, match="undefined for every entry"):
        predictive_scatter(check([np.nan, np.nan]))
