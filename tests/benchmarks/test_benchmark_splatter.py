"""The simulated counts have the moments that the generator states."""

import numpy as np
import pytest

from benchmarks.datasets import labels, observations
from benchmarks.splatter import splatter_cells


def test_variance_falls_with_the_mean_as_stated() -> None:
    """Over library sizes a gene's variance is ``m + c (0.01 E[mu^2] + 0.2 E[mu^1.5] + m) + E[mu^2] - m^2``, mean c = 60 / 58."""
    cells, _ = splatter_cells([20_000], 300, changed=0.0, library_size=1500.0, seed=0)
    counts = cells.X.toarray().astype(np.float64)
    m = counts.mean(0)
    seen = m > 2.0
    assert seen.sum() > 50
    m, variance = m[seen], counts.var(0)[seen]
    # E[L^k] = median^k exp(k^2 0.3^2 / 2), and mu is proportional to the library size L.
    second, three_halves = np.square(m) * np.exp(0.09), m**1.5 * np.exp(0.3 * 0.3 * (2.25 - 1.5) / 2)
    c = (variance - m - (second - np.square(m))) / (0.01 * second + 0.2 * three_halves + m)
    assert c.mean() == pytest.approx(60 / 58, rel=0.06)
    assert c.std() == pytest.approx(60 / 58 * np.sqrt(2 / 56), rel=0.35)


def test_library_sizes_and_group_sizes_are_those_asked_for() -> None:
    cells, group = splatter_cells([1500, 450, 50], 1000, library_size=3000.0, seed=1)
    assert np.bincount(group).tolist() == [1500, 450, 50]
    assert np.asarray(cells.X.sum(1)).mean() == pytest.approx(3000.0 * np.exp(0.045), rel=0.03)


def test_a_share_of_the_genes_differs_between_groups_and_none_in_one_population() -> None:
    def differing(changed: float) -> float:
        cells, group = splatter_cells(
            [3000, 3000], 500, changed=[0.0, changed], change_loc=2.0, change_scale=0.0, library_size=10_000.0, seed=2
        )
        totals = np.stack([np.asarray(cells[group == each].X.sum(0)).ravel() for each in (0, 1)]) + 1.0
        seen = totals.max(0) > 1000  # a gene of few counts differs by chance
        assert seen.sum() > 300
        ratio = np.log(totals[1] / totals[0])[seen]
        return float((np.abs(ratio - np.median(ratio)) > 1.0).mean())

    assert differing(0.0) == 0.0
    assert differing(0.2) == pytest.approx(0.2, abs=0.05)


def test_batches_shift_genes_and_are_no_labels() -> None:
    source = {"kind": "splatter", "sizes": (200, 100), "num_genes": 50, "num_batches": 3, "batch_scale": 0.5}
    cells = observations(source, seed=3)
    assert list(cells.obs) == ["batch"]
    assert cells.obs["batch"].nunique() == 3
    assert np.bincount(labels(source, seed=3)).tolist() == [200, 100]
    assert (observations(source, seed=3).X != cells.X).nnz == 0
    assert (observations(source, seed=4).X != cells.X).nnz > 0
