"""Counts and covariates of cells that have been read and checked."""

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.count_setup import CountSetup
from pyro_vmm.errors import UserError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from pyro_vmm.data.csr_files import CsrFiles

CELLS_AT_ONCE = 8192
"""Whose counts are added up."""

WITHOUT_BATCHES: tuple[str, ...] = ("all",)
"""The one batch of data for which no batch column is named."""


def library_sizes(counts: "csr_array") -> NDArray[np.float32]:
    """The sum of each cell's counts ``[N, G]``, none of which is empty, as ``[N]``."""
    sizes = np.empty(counts.shape[0], dtype=np.float32)
    for first in range(0, len(sizes), CELLS_AT_ONCE):
        starts = counts.indptr[first : first + CELLS_AT_ONCE + 1]
        values = counts.data[starts[0] : starts[-1]]
        # Added up in float64, exactly: SciPy adds in float32, whatever it is asked. NumPy makes a copy in float64 for it.
        sizes[first : first + CELLS_AT_ONCE] = np.add.reduceat(values, starts[:-1] - starts[0], dtype=np.float64)
    return sizes


@dataclass(frozen=True, eq=False)
class CellCounts:
    """Checked counts of N cells and G genes with their covariates, sharing no memory with the AnnData.

    Attributes
    ----------
    setup
        Where they were read.
    counts
        ``[N, G]``: float32, CSR with sorted indices and no stored zeros; or in files, as they are stored there.
    cell_names, gene_names
        ``[N]`` and ``[G]``, text, all different.
    batch
        ``[N]``, int64, places in ``batch_categories``.
    batch_categories
        Names of the B batches; :data:`WITHOUT_BATCHES` where no column is named.
    categorical_covariates
        Codes, ``[N]``, int64, of each further categorical covariate by its column.
    covariate_categories
        Names of the categories of each of these.
    continuous_covariates
        ``[N, C]``, float64, in the order of ``setup.continuous_covariate_keys`` and not standardised.
    size_factor
        ``[N]``, float32, positive, or None.
    library_size
        ``[N]``, float32: the sum of each cell's counts, positive.
    """

    setup: CountSetup
    counts: "csr_array | CsrFiles"
    cell_names: NDArray[np.str_]
    gene_names: NDArray[np.str_]
    batch: NDArray[np.int64]
    batch_categories: tuple[str, ...]
    categorical_covariates: dict[str, NDArray[np.int64]]
    covariate_categories: dict[str, tuple[str, ...]]
    continuous_covariates: NDArray[np.float64]
    size_factor: NDArray[np.float32] | None
    library_size: NDArray[np.float32]

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """Categories by column, the batches' with them: what :func:`~pyro_vmm.data.read_counts` maps new data onto."""
        batches = {} if self.setup.batch_key is None else {self.setup.batch_key: self.batch_categories}
        return {**batches, **self.covariate_categories}

    @property
    def names_sha256(self) -> str:
        """What tells whether cells are those that a model was fitted to: row numbers mean something then."""
        return hashlib.sha256("\n".join(self.cell_names.tolist()).encode()).hexdigest()

    def subset(self, rows: Any) -> "CellCounts":
        """The cells ``rows``: numbers from 0 (below 0 from the end), a slice or a Boolean mask ``[N]``, in the order given.

        Raises
        ------
        UserError
            For anything else, or a cell that does not exist.
        """
        number = len(self.cell_names)
        if isinstance(rows, slice):
            rows = range(number)[rows]
        wanted = np.atleast_1d(np.asarray(rows))
        if wanted.dtype == np.bool_ and wanted.shape == (number,):
            wanted = np.flatnonzero(wanted)
        if wanted.dtype == np.bool_ and wanted.size:
            raise UserError(
                f"indices is a Boolean mask of shape {wanted.shape}, but there are {number} cells: give one value a cell."
            )
        if wanted.size == 0:
            wanted = wanted.astype(np.int64)
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            told = " ".join(repr(rows).split())
            told = told if len(told) <= 60 else told[:57] + "..."
            raise UserError(f"indices must be row numbers or a Boolean mask of {number} cells, but are {told}.")
        if wanted.size and (wanted.min() < -number or wanted.max() >= number):
            raise UserError(
                f"indices go from {wanted.min()} to {wanted.max()}, but there are {number} cells: rows count from 0."
            )
        wanted = wanted % number
        return replace(
            self,
            counts=self.counts[wanted],
            cell_names=self.cell_names[wanted],
            batch=self.batch[wanted],
            categorical_covariates={key: codes[wanted] for key, codes in self.categorical_covariates.items()},
            continuous_covariates=self.continuous_covariates[wanted],
            size_factor=None if self.size_factor is None else self.size_factor[wanted],
            library_size=self.library_size[wanted],
        )
