import numpy as np
import pytest
from matplotlib.figure import Figure

from pyro_vmm.diagnosis import reliability as reliability_table
from pyro_vmm.plotting import reliability

SURE = np.array([[0.95, 0.05]] * 6 + [[0.05, 0.95]] * 4 + [[0.7, 0.3]] * 4)
GROUPS = [0] * 6 + [1] * 4 + [0, 0, 1, 1]


def test_a_dot_a_bin_at_its_confidence_and_accuracy():
    table = reliability_table(GROUPS, SURE)
    ax = Figure().subplots()
    assert reliability(table, ax=ax) is ax
    dots = ax.collections[1]
    np.testing.assert_allclose(dots.get_offsets(), [[0.7, 0.5], [0.95, 1.0]])
    sizes = dots.get_sizes()
    assert sizes[1] / sizes[0] == pytest.approx(10 / 4)
    assert [text.get_text() for text in ax.texts[:2]] == ["4", "10"]


def test_errors_are_drawn_from_the_diagonal():
    ax = reliability(reliability_table(GROUPS, SURE))
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose(segments[0], [[0.7, 0.5], [0.7, 0.7]])
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0, 0], [1, 1]])


def test_the_title_says_which_way_it_errs():
    too_sure = reliability_table([0, 1] * 50, np.tile([[0.9, 0.1], [0.8, 0.2]], (50, 1)), matching="hungarian")
    assert reliability(too_sure).get_title(loc="left").startswith("Over-sure by 35.0 %")
    vague = reliability_table([0, 1] * 50, np.tile([[0.6, 0.4], [0.4, 0.6]], (50, 1)))
    ax = reliability(vague)
    assert ax.get_title(loc="left").startswith("Too vague by 40.0 %")
    assert "100 observations in 1 bin" in ax.texts[-1].get_text().replace("\n", " ")
