"""Sums of which starting values are made."""

import numpy as np
import pytest
from scipy import sparse

from pyro_vmm.modalities.count_starting_values import GeneSums


@pytest.mark.parametrize("rows_at_once", [1, 7, 64, 299])
def test_sums_do_not_depend_on_blocks(rows_at_once):
    """Not even where they exceed what float32 holds exactly."""
    rng = np.random.default_rng(0)
    x = rng.poisson(1.0, (300, 11)) * rng.integers(1, 100_000, (300, 11))
    x[:, 0] += 1
    counts = sparse.csr_array(x.astype(np.float32))
    whole = GeneSums.of([counts])
    assert whole.totals.max() > 2**24
    in_parts = GeneSums.of(counts[first : first + rows_at_once] for first in range(0, 300, rows_at_once))
    for name, value in vars(whole).items():
        assert np.array_equal(value, getattr(in_parts, name)), name
    assert whole.crossed == pytest.approx(x.T @ x.sum(1).astype(np.float64))
