"""Where a fit of counts starts, read off the data so that early steps are not spent on finding each gene's level."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.data.cell_counts import library_sizes
from pyro_vmm.observations import InMemory, Observations, SparseRows, in_order

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LEAST_THETA, GREATEST_THETA = 0.1, 100.0
ROWS_AT_ONCE = 4096
BORROWED = 2.0
"""Cells that each batch's library sizes are averaged with, as large and as different as those of all batches together."""


@dataclass(frozen=True)
class StartingValues:
    """Moments of the counts.

    Attributes
    ----------
    log_shares
        Logarithm of each gene's share of all counts, ``[G]``.
    inverse_dispersion
        Moment estimate of ``theta``, ``[G]``: the variance beyond that of Poisson counts with the cells' own library
        sizes, ``sum (x - mu)^2 - mu = sum mu^2 / theta``, kept within 0.1 .. 100.
    library_loc, library_scale
        Mean and standard deviation of the log library size in each batch, ``[num_batches]``, as though it had two cells more,
        which are like all batches together: one or two cells say little of a batch.
    """

    log_shares: Tensor
    inverse_dispersion: Tensor
    library_loc: Tensor
    library_scale: Tensor

    @classmethod
    def of(cls, counts: "csr_array", batch: NDArray[np.int64], num_batches: int) -> "StartingValues":
        """Read the moments off the counts ``[N, G]`` of cells that are trained on, and their batches ``[N]``."""
        library = library_sizes(counts).astype(np.float64)
        totals = np.asarray(counts.sum(0), dtype=np.float64)
        # Half a count spread over the genes: a gene without counts has a share, too.
        shares = (totals + 0.5 / len(totals)) / (totals.sum() + 0.5)
        squares = np.asarray(counts.multiply(counts).sum(0), dtype=np.float64)
        crossed = np.asarray(counts.T @ library, dtype=np.float64)
        squared_library = np.square(library).sum()
        beyond_poisson = squares - 2.0 * shares * crossed + np.square(shares) * squared_library - shares * library.sum()
        theta = np.square(shares) * squared_library / np.maximum(beyond_poisson, 1e-12)
        log_library, number = np.log(library), num_batches
        # A batch of few cells borrows from all together.
        sizes = np.bincount(batch, minlength=number) + BORROWED
        loc = (np.bincount(batch, log_library, minlength=number) + BORROWED * log_library.mean()) / sizes
        deviations = np.bincount(batch, np.square(log_library - loc[batch]), minlength=number)
        variance = (deviations + BORROWED * log_library.var()) / sizes
        return cls(
            log_shares=_float(np.log(shares)),
            inverse_dispersion=_float(np.clip(theta, LEAST_THETA, GREATEST_THETA)),
            library_loc=_float(loc),
            # A batch of equal cells would leave no width to infer in.
            library_scale=_float(np.sqrt(np.maximum(variance, 1e-4))),
        )

    @classmethod
    def placeholders(cls, num_genes: int, num_batches: int) -> "StartingValues":
        """Values of the right shapes for a model about to be loaded."""
        zeros, ones = torch.zeros(num_batches), torch.ones(num_batches)
        return cls(torch.zeros(num_genes), torch.ones(num_genes), zeros, ones)


def as_sparse(observations: Observations) -> "csr_array":
    """All observations as one sparse matrix ``[N, G]``."""
    from scipy import sparse

    if isinstance(observations, InMemory) and isinstance(observations.x, SparseRows):
        return observations.x.counts
    blocks = (sparse.csr_array(x.numpy()) for x, _ in in_order(observations, ROWS_AT_ONCE, torch.device("cpu")))
    return sparse.csr_array(sparse.vstack(list(blocks)))


def _float(values: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
