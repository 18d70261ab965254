"""Which observations stand for a cluster."""

import numpy as np
import pytest

from pyro_vmm import UserError
from pyro_vmm.clustering import typical_observations


def test_the_nearest_to_the_mean_in_the_spread_of_the_cluster_come_first() -> None:
    # Nine times as wide along the first axis: (3, 0) is nearer than (0, 1) to the mean of them all, the origin.
    latent = np.array([[0.0, 1.0], [0.0, -1.0], [9.0, 0.0], [-9.0, 0.0], [3.0, 0.0], [-3.0, 0.0], [50.0, 50.0]])
    x, clusters = 10.0 * latent, np.array([4, 4, 4, 4, 4, 4, 1])
    found = typical_observations(x, latent, clusters, [1, 4], count=2)
    assert found.shape == (2, 2, 2)
    np.testing.assert_array_equal(found[1], [[30.0, 0.0], [-30.0, 0.0]])
    np.testing.assert_array_equal(found[0, 0], [500.0, 500.0])
    assert np.isnan(found[0, 1]).all(), "a cluster of one has no second"


def test_a_cluster_without_members_stays_blank() -> None:
    assert np.isnan(typical_observations(np.ones((2, 3)), np.ones((2, 1)), [0, 0], [7])).all()


def test_images_keep_their_shape_and_lengths_must_agree() -> None:
    assert typical_observations(np.ones((2, 4, 5)), np.ones((2, 1)), [0, 0], [0], count=1).shape == (1, 1, 4, 5)
    with pytest.raises(UserError, match="x has 3 rows, latent 2 and clusters 2"):
        typical_observations(np.ones((3, 4)), np.ones((2, 1)), [0, 0], [0])
