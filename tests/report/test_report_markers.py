import numpy as np
import pytest
import scipy.sparse

from pyro_vmm.modalities.marker_genes import marker_genes
from pyro_vmm.report.cluster_table import Share, most_frequent


@pytest.fixture
def counts():
    """Three clusters of 40 cells, eight genes: 2 marks cluster 0, 5 marks cluster 1, cluster 2 has none of its own."""
    rng = np.random.default_rng(0)
    clusters = np.arange(120) % 3
    x = np.full((120, 8), 50)
    x[:, 7] = 0
    x[clusters == 0, 2] += 100
    x[clusters == 1, 5] += 400
    x[clusters == 2, 7] = rng.permutation(40) < 2  # in too few cells
    return scipy.sparse.csr_array(x), clusters


def test_markers_are_the_genes_that_were_raised(counts):
    first, second, _ = marker_genes([counts[0]], counts[1], 3, number=1)
    assert first.tolist() == [2]
    assert second.tolist() == [5]


def test_genes_in_few_cells_or_below_the_rest_are_no_markers(counts):
    markers = marker_genes([counts[0]], counts[1], 3, number=8)
    assert 7 not in markers[2]
    assert 5 not in markers[0]
    assert 5 not in markers[2]


def test_differences_are_of_mean_log_shares():
    counts = scipy.sparse.csr_array(np.array([[1, 9, 0], [2, 8, 0], [8, 2, 0], [0, 0, 0]]))
    clusters = np.array([0, 0, 1, 1])
    shares = np.log1p(1e4 * np.array([[0.1, 0.9], [0.2, 0.8], [0.8, 0.2], [0, 0]]))
    expected = shares[:2].mean(0) - shares[2:].mean(0)
    assert (expected > 0).all()
    assert marker_genes([counts[:1], counts[1:]], clusters, 2)[0].tolist() == np.argsort(-expected).tolist()
    assert counts.toarray()[0].tolist() == [1, 9, 0]


def test_the_most_frequent_value_and_its_share():
    assert most_frequent(np.array(["a", "b", "b", None], dtype=object)) == Share("b", 2 / 3)
    assert most_frequent(np.array([None, np.nan], dtype=object)) is None
