import sys
import types

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pyro_vmm.errors import UserError
from pyro_vmm.plotting import latent_by_category, latent_by_value, latent_space, project_to_plane
from pyro_vmm.plotting.figures import png_of
from pyro_vmm.plotting.palette import FAINT, cluster_colours

BATCHES = np.array(["a", "b", "b", "b", None, "c", "c"], dtype=object)
Z = np.random.default_rng(0).normal(size=(7, 2))


def drawn(ax):
    """Colour of each point, by where it stands."""
    points = ax.collections[0]
    return {
        tuple(place): to_hex(colour)
        for place, colour in zip(points.get_offsets(), points.get_facecolors(), strict=True)
    }


def key(ax):
    legend = ax.get_legend()
    return {
        text.get_text(): to_hex(handle.get_color())
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }


def test_points_and_key_share_the_colours_of_the_categories_largest_first():
    ax = latent_by_category(Z, BATCHES, ax=Figure().subplots())
    colours = cluster_colours(range(3))
    of_category = {"b": colours[0], "c": colours[1], "a": colours[2], None: FAINT}
    assert drawn(ax) == {tuple(z): of_category[batch] for z, batch in zip(Z, BATCHES, strict=True)}
    assert key(ax) == {"b  3": colours[0], "c  2": colours[1], "a  1": colours[2], "none  1": FAINT}
    assert ax.get_title(loc="left") == "3 batches"
    assert ax.collections[0].get_rasterized()


def test_the_key_of_a_hundred_labels_names_fifty_and_says_so():
    labels = np.repeat(np.arange(100), np.arange(1, 101))
    ax = latent_by_category(np.random.default_rng(0).normal(size=(len(labels), 2)), labels, name="label")
    assert len(key(ax)) == 50
    assert "99  100" in key(ax)
    assert "50  51" in key(ax)
    assert "the key leaves out 50 smaller ones" in ax.texts[0].get_text().replace("\n", " ")
    assert len(set(drawn(ax).values())) == 100


def test_names_of_the_data_are_no_mathematics_and_may_hold_any_letter():
    names = np.array([r"$\frac{", "_hidden", "细胞", "a\nb", "l" * 99, "$x", "$$"])
    ax = latent_by_category(Z, names)
    told = [text.get_text().strip().replace(r"\$", "$").split("  ")[0] for text in ax.get_legend().get_texts()]
    assert set(told) == {r"$\frac{", "_hidden", "细胞", "a b", "l" * 27 + "…", "$x", "$$"}
    assert png_of(ax.get_figure()).startswith(b"\x89PNG")


def test_values_have_the_colour_of_the_scale_beside_them():
    values = np.array([0.0, 0.25, 0.5, 0.75, 1.0, np.nan, 0.9])
    ax = latent_by_value(Z, values, limits=(0, 1))
    points = ax.collections[0]
    where = {tuple(z): value for z, value in zip(Z, values, strict=True)}
    shown = [where[tuple(place)] for place in points.get_offsets()]
    np.testing.assert_array_equal(points.get_array().filled(np.nan), shown)
    assert points.get_clim() == (0, 1)
    assert len(ax.figure.axes) == 2
    assert ax.get_title(loc="left") == "Median probability 0.625"
    assert "33.3 % below 0.5, the middle of the scale" in ax.texts[0].get_text()
    points.update_scalarmappable()
    colour = drawn(ax)[tuple(Z[5])]
    assert colour == FAINT


def test_one_projection_serves_every_picture():
    z = np.random.default_rng(1).normal(size=(60, 5))
    plane = project_to_plane(z, "pca")
    clusters = np.arange(60) % 3
    pictures = [latent_space(plane, clusters), latent_by_category(plane, clusters), latent_by_value(plane, clusters)]
    for ax in pictures:
        places = {tuple(place) for place in ax.collections[0].get_offsets()}
        assert places == {tuple(point) for point in plane.points}
        assert ax.get_xlabel() == plane.axis_names[0]
    whole = latent_space(z, clusters, method="pca").collections[0].get_offsets()
    np.testing.assert_array_equal(whole, pictures[0].collections[0].get_offsets())


def test_a_million_observations_are_thinned_and_admitted():
    z = np.random.default_rng(0).normal(size=(1_000_000, 3)).astype(np.float32)
    ax = latent_by_value(z, z[:, 0], name="value")
    assert len(ax.collections[0].get_offsets()) == 250_000
    assert ax.get_xlabel().startswith("PC 1")
    assert "1,000,000 observations, 250,000 of them drawn" in ax.texts[0].get_text().replace("\n", " ")


@pytest.mark.parametrize("draw", [latent_by_category, latent_by_value])
def test_lengths_must_agree_and_nothing_is_an_empty_picture(draw):
    with pytest.raises(UserError, match="one for each of the 7 observations"):
        draw(Z, np.zeros(6))
    assert draw(np.empty((0, 3)), np.empty(0)).get_title(loc="left") == "No observations"
    assert draw(Z[:, :1], np.arange(7.0)).get_xlabel() == "latent dimension 1"


def fake_mde(monkeypatch):
    """A stand-in for pymde that draws from the global generators as it does."""

    class Problem:
        def __init__(self, data, embedding_dim, verbose):
            assert embedding_dim == 2
            assert verbose is False
            self.data = data

        def embed(self):
            return self.data[:, 1:3] + torch.rand(1) + np.random.rand()  # noqa: NPY002

    def seed(number):
        torch.manual_seed(number)
        np.random.seed(number)  # noqa: NPY002

    module = types.ModuleType("pymde")
    module.preserve_neighbors, module.seed = Problem, seed
    module.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "pymde", module)


def test_mde_is_taken_where_it_is_installed_and_umap_is_not(monkeypatch):
    fake_mde(monkeypatch)
    z = np.random.default_rng(0).normal(size=(20, 4))
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = project_to_plane(z, "mde", seed=3), project_to_plane(z, "mde", seed=3)
    np.testing.assert_array_equal(first.points, again.points)
    assert first.axis_names == ("MDE 1", "MDE 2")
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    found = {"pymde"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in found else None)
    assert project_to_plane(z).axis_names[0] == "MDE 1"
    monkeypatch.setattr("pyro_vmm.plotting.projection.MOST_FOR_NEIGHBOURS", 19)
    assert project_to_plane(z).axis_names[0].startswith("PC 1")
    found.clear()
    with pytest.raises(UserError, match="needs the package pymde"):
        project_to_plane(z, "mde")
    with pytest.raises(UserError, match="'tsne' is unknown"):
        project_to_plane(z, "tsne")


@pytest.mark.parametrize("draw", [latent_space, latent_by_category, latent_by_value])
def test_a_name_of_ones_own_stands_before_the_finding(draw):
    values = np.zeros(7, dtype=int)
    finding = draw(Z, values).get_title(loc="left")
    assert draw(Z, values, title="before").get_title(loc="left") == f"before: {finding}"
