"""Integration scores: what of them needs no scib-metrics."""

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.decomposition import PCA

from pyro_vmm.scoring.integration import _principal_components


@pytest.mark.parametrize("form", [csr_array, csr_matrix])
def test_cells_before_integration_are_principal_components_of_log_normalised_counts(form):
    counts = np.random.default_rng(0).poisson(3.0, (60, 8)).astype(np.float32)
    found = _principal_components(form(counts))
    dense = np.log1p(1e4 * counts / counts.sum(1, keepdims=True))
    expected = PCA(7).fit_transform(dense)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-3, atol=1e-3)
