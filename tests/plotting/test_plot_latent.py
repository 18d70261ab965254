import sys
import types

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pyro_vmm.errors import UserError
from pyro_vmm.plotting import latent_space
from pyro_vmm.plotting.label_placement import spread_labels
from pyro_vmm.plotting.palette import cluster_colours
from pyro_vmm.plotting.projection import project_to_plane


def _blobs(ids, dimension=3, each=40, seed=0):
    """Latents [N, D] around well separated centres, and clusters [N]."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(len(ids), dimension)) * 10
    z = centres.repeat(each, axis=0) + generator.normal(size=(len(ids) * each, dimension))
    return z, np.repeat(ids, each)


def _numbers(ax, clusters):
    known = {str(cluster) for cluster in np.unique(clusters)}
    return {text.get_text(): text for text in ax.texts if text.get_text() in known}


def test_axes_given_are_the_axes_returned_and_inputs_stay_as_they_were():
    z, clusters = _blobs([3, 8])
    before = z.copy(), clusters.copy()
    ax = Figure().subplots()
    assert latent_space(z, clusters, method="pca", ax=ax) is ax
    np.testing.assert_array_equal(z, before[0])
    np.testing.assert_array_equal(clusters, before[1])


def test_every_point_has_its_own_clusters_colour_in_shuffled_order():
    z, clusters = _blobs([3, 8, 90], dimension=2)
    points = latent_space(z, clusters).collections[0]
    colour_of = cluster_colours([3, 8, 90])
    where = {tuple(point): cluster for point, cluster in zip(z, clusters, strict=True)}
    drawn = [where[tuple(point)] for point in points.get_offsets()]
    assert [to_hex(colour) for colour in points.get_facecolors()] == [colour_of[cluster] for cluster in drawn]
    assert sorted(drawn) == sorted(clusters)
    assert np.count_nonzero(np.diff(drawn)) > 40  # three blocks would change colour twice
    assert points.get_rasterized()


def test_colours_can_be_given():
    z, clusters = _blobs([4], dimension=2)
    points = latent_space(z, clusters, colours={4: "#123456"}).collections[0]
    assert {to_hex(colour) for colour in points.get_facecolors()} == {"#123456"}


def test_numbers_stand_at_the_medians_of_separate_clusters():
    z, clusters = _blobs([1, 5, 17], dimension=2)
    numbers = _numbers(latent_space(z, clusters), clusters)
    for cluster in (1, 5, 17):
        median = np.median(z[clusters == cluster], axis=0)
        np.testing.assert_allclose(numbers[str(cluster)].get_position(), median, atol=0.05)


def test_a_hundred_clusters_all_have_their_number():
    z, clusters = _blobs(list(range(100)), each=5)
    assert len(_numbers(latent_space(z, clusters, method="pca"), clusters)) == 100


def test_title_counts_clusters_in_use_of_the_truncation():
    z, clusters = _blobs([2, 70])
    assert latent_space(z, clusters, method="pca", num_components=100).get_title(loc="left") == (
        "2 clusters in use of 100 components"
    )


def test_a_subsample_is_admitted_in_the_caption():
    z, clusters = _blobs([0, 1], each=500)
    ax = latent_space(z, clusters, method="pca", max_points=300)
    assert len(ax.collections[0].get_offsets()) == 300
    assert "1,000 observations, 300 of them drawn" in ax.texts[0].get_text()


def test_points_shrink_and_fade_as_their_number_grows():
    few, many = (latent_space(np.zeros((n, 2)), np.zeros(n, dtype=int)).collections[0] for n in (500, 200_000))
    assert many.get_sizes()[0] < few.get_sizes()[0] / 20
    assert many.get_alpha() < few.get_alpha()


def test_principal_components_keep_the_variance_they_claim():
    generator = np.random.default_rng(1)
    turn, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    z = generator.normal(size=(5000, 3)) * [3.0, 2.0, 0.1] @ turn + 7
    plane = project_to_plane(z, "pca")
    share = np.array([9, 4]) / 13.01
    np.testing.assert_allclose(plane.points.var(axis=0) / z.var(axis=0).sum(), share, atol=0.02)
    np.testing.assert_allclose(np.corrcoef(plane.points.T)[0, 1], 0, atol=1e-8)
    claimed = [int(name.split("(")[1].split()[0]) / 100 for name in plane.axis_names]
    np.testing.assert_allclose(claimed, plane.points.var(axis=0) / z.var(axis=0).sum(), atol=0.005)


def test_principal_components_do_not_depend_on_the_order_of_observations():
    z, _ = _blobs([0, 1], dimension=4)
    np.testing.assert_allclose(project_to_plane(z[::-1], "pca").points[::-1], project_to_plane(z, "pca").points)


def test_principal_components_point_where_their_largest_loading_is_positive():
    z = np.outer(np.linspace(-1, 1, 50), [0.2, -3.0, 0.1])
    for mirrored in (z, -z):
        first = project_to_plane(mirrored, "pca").points[:, 0]
        assert np.corrcoef(first, mirrored[:, 1])[0, 1] > 0.99


def test_two_dimensions_are_drawn_as_they_are():
    z, _ = _blobs([0], dimension=2)
    plane = project_to_plane(z)
    np.testing.assert_array_equal(plane.points, z)
    assert plane.axis_names == ("latent dimension 1", "latent dimension 2")


def test_one_dimension_is_one_row_a_cluster_in_order_of_medians():
    z = np.array([5.0, 5.1, -2.0, -2.2, 1.0])[:, None]
    clusters = np.array([4, 4, 9, 9, 6])
    ax = latent_space(z, clusters)
    points = np.asarray(ax.collections[0].get_offsets())
    rows = {x: y for x, y in points}
    assert {x: round(y) for x, y in rows.items()} == {5.0: 2, 5.1: 2, -2.0: 0, -2.2: 0, 1.0: 1}
    assert ax.get_xlabel() == "latent dimension 1"


def test_umap_is_taken_where_it_is_installed(monkeypatch):
    class Umap:
        def __init__(self, n_components, random_state, n_jobs):
            assert (n_components, random_state, n_jobs) == (2, 5, 1)

        def fit_transform(self, latent):
            return latent[:, 1:3]

    module = types.ModuleType("umap")
    module.UMAP = Umap
    module.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "umap", module)
    z, clusters = _blobs([0, 1], dimension=4)
    for method in ("auto", "umap"):
        ax = latent_space(z, clusters, method=method, seed=5)
        assert ax.get_xlabel() == "UMAP 1"
    assert latent_space(z, clusters, method="pca").get_xlabel().startswith("PC 1")


def test_umap_missing_is_told_when_asked_for_and_replaced_when_not(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    z, clusters = _blobs([0, 1])
    assert latent_space(z, clusters).get_xlabel().startswith("PC 1")
    with pytest.raises(UserError, match="umap-learn"):
        latent_space(z, clusters, method="umap")


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_no_observations_make_an_empty_picture(dimension):
    ax = latent_space(np.empty((0, dimension)), np.empty(0, dtype=int))
    assert ax.get_title(loc="left") == "No observations"


@pytest.mark.parametrize(
    ("latent", "clusters", "message"),
    [
        (np.zeros(3), np.zeros(3), "latent has shape"),
        (np.zeros((3, 2)), np.zeros(2), "clusters has shape"),
        (np.full((3, 2), np.nan), np.zeros(3), "not finite"),
    ],
)
def test_mistakes_are_told(latent, clusters, message):
    with pytest.raises(UserError, match=message):
        latent_space(latent, clusters)


def test_labels_that_do_not_overlap_stay_and_labels_that_do_move_apart():
    far = np.array([[0.0, 0.0], [100.0, 0.0]])
    np.testing.assert_allclose(spread_labels(far, np.full((2, 2), 10.0)), far, atol=0.2)
    crowd = np.random.default_rng(0).uniform(0, 40, size=(30, 2))
    size = np.array([12.0, 8.0])
    placed = spread_labels(np.r_[crowd, crowd[:2]], np.tile(size, (32, 1)))
    apart = np.abs(placed[:, None] - placed[None])
    clash = (apart < size - 0.5).all(axis=-1) & ~np.eye(32, dtype=bool)
    assert not clash.any()
