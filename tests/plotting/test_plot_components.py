import numpy as np
import pytest
from matplotlib.figure import Figure

from pyro_vmm.errors import UserError
from pyro_vmm.plotting import component_gallery, component_profiles
from pyro_vmm.plotting.mosaic import as_images, mosaic


def _components(count, columns=4):
    """Centres whose every pixel is the component's number, likewise typical observations and samples."""
    level = np.arange(count, dtype=float)
    images = np.broadcast_to(level[:, None, None], (count, 6, 5)).copy()
    weights = np.random.default_rng(0).permutation(count) + 1.0
    return images, images[:, None].repeat(columns, 1), images[:, None].repeat(2, 1), weights / weights.sum()


def _row_names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_one_row_a_component_in_order_of_weight():
    centres, typical, samples, _ = _components(3)
    figure = component_gallery(centres, typical, samples, [0.123, 0.8, 0.0001], [40, 7, 99])
    assert _row_names(figure.axes[0]) == ["#7  80.0 %", "#40  12.3 %", "#99  <0.1 %"]
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "centre",
        "most typical observations",
        "generated samples",
    ]
    for ax, columns in zip(figure.axes, (1, 4, 2), strict=True):
        picture = ax.images[0].get_array().filled(np.nan)
        rows = picture[[2, 9, 16]]
        assert [set(row[np.isfinite(row)]) for row in rows] == [{1.0}, {0.0}, {2.0}]
        assert np.isfinite(rows[0]).sum() == 5 * columns


def test_a_row_name_stands_at_the_middle_of_its_row():
    centres, typical, samples, weights = _components(3)
    ax = component_gallery(centres, typical, samples, weights, [0, 1, 2]).axes[0]
    column = ax.images[0].get_array().filled(np.nan)[:, 0]
    rows = np.split(np.flatnonzero(np.isfinite(column)), 3)
    np.testing.assert_allclose(ax.get_yticks(), [row.mean() for row in rows])


def test_rows_carry_the_colour_that_their_component_has_elsewhere():
    centres = _components(2)[0]
    ax = component_gallery(centres, None, None, [0.3, 0.7], [5, 8], colours={5: "#112233", 8: "#445566"}).axes[0]
    swatches = {round(float(line.get_ydata()[0]), 1): line.get_color() for line in ax.lines}
    assert [swatches[key] for key in sorted(swatches)] == ["#445566", "#112233"]


def test_all_groups_share_one_grey_scale():
    centres, typical, samples, weights = _components(5)
    figure = component_gallery(centres * 0.1, typical, samples - 3, weights, np.arange(5))
    assert {ax.images[0].get_clim() for ax in figure.axes} == {(-3.0, 4.0)}


def test_the_caption_says_how_many_components_are_hidden_and_what_they_weigh():
    centres, typical, samples, weights = _components(30)
    figure = component_gallery(centres, typical, samples, weights, np.arange(30))
    assert len(_row_names(figure.axes[0])) == 25
    hidden = 100 * np.sort(weights)[:5].sum()
    assert figure.get_supxlabel() == f"Not shown: 5 lighter clusters, together {hidden:.1f} % of the weight"


def test_nothing_is_said_where_nothing_is_hidden():
    centres, typical, samples, weights = _components(25)
    assert component_gallery(centres, typical, samples, weights, np.arange(25)).get_supxlabel() == ""


def test_groups_can_be_left_out_and_figures_given():
    centres, _, _, weights = _components(2)
    figure = Figure()
    assert component_gallery(centres, None, np.empty((2, 0, 6, 5)), weights, [0, 1], figure=figure) is figure
    assert len(figure.axes) == 1


def test_inputs_stay_as_they_were():
    arrays = (*_components(3), np.array([5, 1, 2]))
    before = [array.copy() for array in arrays]
    component_gallery(*arrays)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_missing_typical_observations_stay_blank():
    centres, typical, samples, _ = _components(2)
    typical[1, 3] = np.nan
    figure = component_gallery(centres, typical, samples, [0.6, 0.4], [0, 1])
    picture = figure.axes[1].images[0].get_array()
    assert picture.mask[-1, -5:].all()
    assert not picture.mask[0, -5:].any()


@pytest.mark.parametrize("count", [0, 1])
def test_none_or_one_component(count):
    figure = component_gallery(*_components(count), np.arange(count))
    assert figure.get_suptitle() == ("1 cluster, 100.0 % of the weight" if count else "No clusters")


def test_counts_that_disagree_are_the_callers_mistake():
    centres, typical, samples, weights = _components(3)
    with pytest.raises(UserError, match="one entry a cluster"):
        component_gallery(centres, typical, samples, weights[:2], [0, 1])


def test_flat_images_and_channels_are_given_their_axes():
    flat = np.arange(2 * 12.0).reshape(2, 12)
    np.testing.assert_array_equal(as_images(flat, (3, 4), 1)[1, 2], [20, 21, 22, 23])
    assert as_images(flat, (1, 3, 4), 1).shape == (2, 3, 4)
    assert as_images(flat, (3, 4, 1), 1).shape == (2, 3, 4)
    first = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(as_images(first, None, 1)[1, 2, 3], first[1, :, 2, 3])
    np.testing.assert_array_equal(as_images(first.reshape(2, -1), (3, 4, 5), 1)[0, 1, 1], first[0, :, 1, 1])
    assert as_images(np.zeros((2, 4, 5, 3)), None, 1).shape == (2, 4, 5, 3)


@pytest.mark.parametrize("shape", [(5, 5), (7,), (2, 3, 2)])
def test_numbers_that_fill_no_image_are_the_callers_mistake(shape):
    with pytest.raises(UserError, match="image"):
        as_images(np.zeros((2, 12)), shape, 1)


def test_mosaic_puts_each_image_at_its_row_and_column():
    images = np.arange(6.0).reshape(2, 3, 1, 1) * np.ones((1, 1, 2, 4))
    page = mosaic(images, gap=1)
    assert page.shape == (5, 14)
    np.testing.assert_array_equal(page[::3, ::5], [[0, 1, 2], [3, 4, 5]])
    assert np.isnan(page[2]).all()
    assert np.isnan(page[:, [4, 9]]).all()


def test_colour_images_are_drawn_on_white_with_their_range_stretched_to_the_screens():
    centres = np.stack([np.full((3, 4, 4), -1.0), np.full((3, 4, 4), 1.0)])
    picture = component_gallery(centres, None, None, [0.7, 0.3], [0, 1]).axes[0].images[0].get_array()
    assert picture.shape == (9, 4, 3)
    np.testing.assert_array_equal(picture[[0, 4, 8], 0, 0], [0, 1, 1])


def test_profiles_stand_in_order_of_weight_in_units_of_the_spread_between_components():
    centres = np.array([[1.0, 100.0, 5.0], [3.0, 100.0, 1.0]])
    ax = component_profiles(centres, [0.2, 0.8], [11, 4], feature_names=["a", "b", "c"])
    assert _row_names(ax) == ["#4  80.0 %", "#11  20.0 %"]
    drawn = dict(zip([t.get_text() for t in ax.get_xticklabels()], np.asarray(ax.images[0].get_array()).T, strict=True))
    np.testing.assert_allclose(drawn["a"], [1, -1])
    np.testing.assert_allclose(drawn["b"], [0, 0])
    np.testing.assert_allclose(drawn["c"], [-1, 1])


def test_profiles_keep_the_features_that_differ_most_and_admit_what_is_hidden():
    centres = np.random.default_rng(0).normal(size=(30, 60)) * 0.01
    centres[:, [7, 50]] *= 1000
    weights = np.full(30, 1 / 30)
    ax = component_profiles(centres, weights, np.arange(30), max_features=2)
    assert {label.get_text() for label in ax.get_xticklabels()} == {"7", "50"}
    caption = ax.texts[0].get_text().replace("\n", " ")
    assert "the 2 of 60 features that differ most" in caption
    assert "not shown: 5 lighter clusters, together 16.7 % of the weight" in caption


def test_features_stand_under_the_component_in_which_they_are_highest():
    ax = component_profiles(np.eye(4)[:, [2, 0, 3, 1]], [0.1, 0.2, 0.3, 0.4], np.arange(4))
    assert (np.asarray(ax.images[0].get_array()).argmax(axis=0) == np.arange(4)).all()


def test_profiles_of_one_component_claim_no_contrast():
    ax = component_profiles([[1.0, 2.0]], [1.0], [3])
    assert (np.asarray(ax.images[0].get_array()) == 0).all()
    assert not component_profiles(np.empty((0, 2)), [], []).images


def test_profiles_with_the_wrong_number_of_names_are_the_callers_mistake():
    with pytest.raises(UserError, match="feature_names has 1 names"):
        component_profiles(np.zeros((2, 3)), [0.5, 0.5], [0, 1], feature_names=["a"])


def test_pseudo_inputs_stand_before_the_centres_of_their_components():
    inputs = np.arange(3.0)[:, None, None] + np.zeros((3, 4, 4))
    centres = 10 + inputs
    figure = component_gallery(centres, None, None, [0.2, 0.5, 0.3], [7, 8, 9], pseudo_inputs=inputs)
    first, second = figure.axes[:2]
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("input", "centre")
    for ax, start in ((first, 0), (second, 10)):
        picture = np.asarray(ax.images[0].get_array().filled(np.nan))
        assert [picture[row, 0] for row in (0, 5, 10)] == [start + 1, start + 2, start]


def test_profiles_say_what_they_are():
    title = component_profiles(np.eye(2), [0.5, 0.5], [0, 1], what="Pseudo-inputs").get_title(loc="left")
    assert title == "Pseudo-inputs of 2 clusters"
