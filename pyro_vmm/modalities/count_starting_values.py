"""Where a fit of counts starts, read off the data so that early steps are not spent on finding each gene's level."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.data.cell_counts import library_sizes

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LEAST_THETA, GREATEST_THETA = 0.1, 100.0
BORROWED = 2.0
"""Cells that each batch's library sizes are averaged with, as large and as different as those of all batches together."""


@dataclass(frozen=True)
class GeneSums:
    """Sums over cells, gene by gene.

    Attributes
    ----------
    library_size
        Of each cell, ``[N]``, float64.
    totals, squares, crossed
        Of counts, of their squares, and of counts times library sizes, ``[G]``.
    """

    library_size: NDArray[np.float64]
    totals: NDArray[np.float32]
    squares: NDArray[np.float32]
    crossed: NDArray[np.float64]

    @classmethod
    def of(cls, blocks: "Iterable[csr_array]") -> "GeneSums":
        """Add up blocks of cells ``[B, G]``, none of them empty, to the same digits however the cells are cut into blocks."""
        libraries: list[NDArray[np.float64]] = []
        totals: Any = None
        squares: Any = None
        crossed: Any = None
        for block in blocks:
            library = library_sizes(block).astype(np.float64)
            totals = np.asarray(_below(totals, block).sum(0))
            squares = np.asarray(_below(squares, block.multiply(block)).sum(0))
            weights = library if crossed is None else np.concatenate([[1.0], library])
            crossed = np.asarray(_below(crossed, block).T @ weights, dtype=np.float64)
            libraries.append(library)
        return cls(np.concatenate(libraries), totals, squares, crossed)


def _below(sums: NDArray[Any] | None, block: "csr_array") -> "csr_array":
    """The block with the sums so far as its first row: SciPy then goes on adding, row after row, where it was."""
    from scipy import sparse

    return block if sums is None else sparse.csr_array(sparse.vstack([sparse.csr_array(sums[None]), block]))


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
    def of(cls, blocks: "Iterable[csr_array]", batch: NDArray[np.int64], num_batches: int) -> "StartingValues":
        """Read the moments off counts of cells that are trained on, blocks ``[B, G]`` of N in all, and their batches ``[N]``."""
        sums = GeneSums.of(blocks)
        library, crossed = sums.library_size, sums.crossed
        totals, squares = sums.totals.astype(np.float64), sums.squares.astype(np.float64)
        # Half a count spread over the genes: a gene without counts has a share, too.
        shares = (totals + 0.5 / len(totals)) / (totals.sum() + 0.5)
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


def _float(values: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
