import numpy as np
import pytest

from pyro_vmm import ppc
from pyro_vmm.errors import UserError
from pyro_vmm.ppc.statistics import chosen, evaluate

X = np.random.default_rng(0).poisson(1.5, size=(50, 4)).astype(np.float32)


def of(statistic, x=X, block=7, members=None):
    """The statistic of ``x`` given in blocks of rows."""
    members = np.ones((1, len(x)), dtype=bool) if members is None else members
    blocks = (x[start : start + block] for start in range(0, len(x), block))
    (values,) = evaluate(chosen(statistic), blocks, members)
    return values


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", X.mean(0)),
        ("variance", X.var(0)),
        ("zeros", (X == 0).mean(0)),
        ("cv", X.std(0) / X.mean(0)),
        ("library_size", [X.sum(1).mean()]),
        ("library_size_sd", [X.sum(1).std()]),
        ("intensity", [X.mean()]),
    ],
)
def test_named_statistics_are_what_numpy_says(name, expected):
    np.testing.assert_allclose(of(name)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("offset", [1e6, -1e9])
def test_spread_is_found_far_from_zero(offset):
    x = np.random.default_rng(0).normal(size=(50, 3)).round(2)
    x[0] += 5.0  # an outlier in the first block
    far = x + offset
    np.testing.assert_allclose(of("variance", far)[0], far.var(0), rtol=1e-6)
    np.testing.assert_allclose(of("cv", far)[0], far.std(0) / far.mean(0), rtol=1e-6)
    np.testing.assert_allclose(of("library_size_sd", far)[0], [far.sum(1).std()], rtol=1e-6)


def test_every_named_statistic_carries_its_name():
    assert all(statistic.name == name for name, statistic in ppc.NAMED.items())


def test_intensity_histogram_counts_every_pixel_once():
    x = np.array([[0.0, 0.05, 0.25], [0.5, 0.99, 1.0], [-3.0, 7.0, 0.3]], np.float32)
    shares = of(ppc.intensity_histogram(4), x, block=2)[0]
    np.testing.assert_allclose(shares, np.array([3, 2, 1, 3]) / 9)
    wide = ppc.intensity_histogram(2, low=-4, high=8)
    np.testing.assert_allclose(of(wide, x)[0], [8 / 9, 1 / 9])
    assert wide.entries == ("-4 to 2", "2 to 8")


def test_groups_see_their_own_rows_only():
    members = np.arange(50)[None, :] % 3 == np.arange(3)[:, None]
    for statistic in ("variance", "library_size_sd", ppc.Statistic("largest", lambda x: x.max(0))):
        values = of(statistic, members=members)
        for group in range(3):
            np.testing.assert_allclose(values[group], of(statistic, X[group::3])[0], rtol=1e-12)


def test_a_function_sees_the_whole_replicate_once_and_in_order():
    seen = []

    def first_row(x):
        seen.append(x.copy())
        return x[0]

    np.testing.assert_array_equal(of(first_row)[0], X[0])
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], X)


def test_no_replicate_is_held_as_a_whole_unless_a_function_asks(monkeypatch):
    joined = []
    monkeypatch.setattr("pyro_vmm.ppc.statistics.np.concatenate", lambda blocks: joined.append(blocks))
    of("variance")
    assert not joined


def test_cv_of_a_feature_without_counts_is_undefined():
    x = X.copy()
    x[:, 2] = 0
    np.testing.assert_array_equal(np.isnan(of("cv", x)[0]), [False, False, True, False])


@pytest.mark.parametrize(
    ("statistics", "sentence"),
    [
        ("skewness", "'skewness' is not known: choose among mean, variance"),
        ((), "no statistic to check"),
        (("mean", 3), "3 is no statistic"),
        (("mean", "mean"), "Two statistics are called 'mean'"),
        ((lambda x: 1, lambda x: 2), "Two statistics are called '<lambda>'"),
    ],
)
def test_what_is_no_statistic_is_refused(statistics, sentence):
    with pytest.raises(UserError, match=sentence):
        chosen(statistics)


@pytest.mark.parametrize(
    ("statistic", "sentence"),
    [
        (ppc.Statistic("words", lambda x: "many"), "'words' gives no numbers"),
        (ppc.Statistic("square", lambda x: x.T @ x), r"'square' gives arrays of shape \[4, 4\]"),
        (ppc.Statistic("nothing", lambda x: []), "'nothing' gives arrays of shape"),
        (ppc.MeanStatistic("sums", lambda rows: rows.sum(0)), "of_rows of the statistic 'sums' gives shape"),
    ],
)
def test_what_gives_no_vector_is_refused(statistic, sentence):
    with pytest.raises(UserError, match=sentence):
        of(statistic)


@pytest.mark.parametrize("options", [{"bins": 0}, {"low": 1.0, "high": 1.0}])
def test_a_histogram_without_bins_is_refused(options):
    with pytest.raises(UserError, match="make no histogram"):
        ppc.intensity_histogram(**options)
