import numpy as np

from pyro_vmm.plotting.palette import FAINT, cluster_colours, perceived


def _rgb(colours):
    return np.array([[int(c[start : start + 2], 16) / 255 for start in (1, 3, 5)] for c in colours])


def test_lab_of_white_and_of_pure_red_agree_with_the_published_values():
    lab = perceived(np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))[0]
    np.testing.assert_allclose(lab, [[100, 0, 0], [53.24, 80.09, 67.20]], atol=0.05)


def test_no_kind_of_dichromat_sees_greys_tinted():
    lab = perceived(np.array([[0.2, 0.2, 0.2], [0.7, 0.7, 0.7]]))
    assert np.abs(lab[:, :, 1:]).max() < 0.1


def test_twenty_colours_stay_apart_in_every_kind_of_colour_vision():
    lab = perceived(_rgb(cluster_colours(range(20)).values()))
    distance = np.linalg.norm(lab[:, :, None] - lab[:, None, :], axis=-1) + 1e3 * np.eye(20)
    assert distance[0].min() > 15
    assert distance[1:].min() > 8


def test_a_hundred_clusters_have_a_hundred_colours_none_of_them_the_grey_of_the_unused():
    colours = set(cluster_colours(range(100)).values())
    assert len(colours) == 100
    assert FAINT not in colours


def test_colours_follow_the_order_of_importance_not_the_number_of_the_cluster():
    assert cluster_colours([87, 3])[87] == cluster_colours([0, 1])[0]


def test_more_clusters_than_colours_reuse_them():
    assert len(cluster_colours(range(300))) == 300
