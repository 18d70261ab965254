"""AnnData files of single cells, for models of counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.calling_code import warn_caller
from pyro_vmm.clustering.row_blocks import RowBlocks
from pyro_vmm.data import CellCounts, CountSetup, DataWarning, read_counts
from pyro_vmm.data.cell_covariates import read_categories
from pyro_vmm.data.cell_files import read_cells, write_cells
from pyro_vmm.data.cells_on_disk import CellsOnDisk
from pyro_vmm.data.csr_files import CsrFiles
from pyro_vmm.data.free_memory import is_large
from pyro_vmm.data.inputs import SINGLE_CELL_SUFFIXES
from pyro_vmm.data.other_formats import is_zarr_array
from pyro_vmm.data.writable_cells import leave_out_unwritable
from pyro_vmm.errors import UserError
from pyro_vmm.modalities.inputs import Input
from pyro_vmm.observations import Groups, Observations, OnDisk
from pyro_vmm.options import HOW_DATA_ARE_READ, WHERE_COUNTS_ARE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from pyro_vmm.modalities.base import Modality


@dataclass(eq=False)
class CellInput(Input):
    """Cells of an ``.h5ad`` file or a ``.zarr`` folder.

    Attributes
    ----------
    obs
        A row for each cell.
    adata
        All that the file holds; None where the counts stay in it.
    allow_non_counts
        Whether values need not be whole.
    """

    obs: pd.DataFrame | None = None
    adata: AnnData | None = None
    allow_non_counts: bool = False

    described = f"single-cell input ({' or '.join(SINGLE_CELL_SUFFIXES)})"
    flags = (*HOW_DATA_ARE_READ, *WHERE_COUNTS_ARE)
    further_results = "adata.h5ad"
    results_from_disk = "annotation.h5ad"
    """Without counts and whatever else the input holds, so that it is small."""

    @classmethod
    def recognises(cls, spec: str) -> bool:
        """Told from the ending, and of Zarr from what is there: an array without names is none of cells."""
        path = Path(spec)
        return path.suffix.lower() in SINGLE_CELL_SUFFIXES and not is_zarr_array(path)

    @classmethod
    def read(cls, spec: str, arguments: Mapping[str, Any]) -> Self:
        """Read and check counts and covariates; columns of numbers among ``covariates`` are continuous ones.

        Warns
        -----
        DataWarning
            Of what ``adata.h5ad`` cannot hold.
        """
        given, obs = _opened(spec, arguments)
        categorical, continuous = _covariates_by_kind(obs, arguments.get("covariates") or ())
        allow_non_counts = bool(arguments.get("allow_non_counts"))
        named = (arguments.get(name) for name in ("layer", "batch_key", "size_factor_key"))
        layer, batch_key, size_factor_key = named
        try:
            setup = CountSetup(layer, batch_key, categorical, continuous, size_factor_key)
            cells = read_counts(given, setup, allow_non_counts=allow_non_counts)
        except UserError as error:
            raise UserError(f"{spec}: ", *error.args) from None
        adata = None if isinstance(given, Path) else given
        for sentence in [] if adata is None else leave_out_unwritable(adata):
            warn_caller(sentence, DataWarning)
        return cls._of(spec, adata, obs if adata is None else adata.obs, cells, allow_non_counts)

    @classmethod
    def settled(
        cls, spec: str, arguments: Mapping[str, Any], noted: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Counts of a file that takes more than half of the free memory stay on disk, if they can."""
        from_disk = arguments.get("from_disk") or (
            noted.get("from_disk") if noted is not None else _is_better_left(Path(spec), arguments.get("layer"))
        )
        return {**arguments, "from_disk": bool(from_disk)}

    @classmethod
    def read_again(cls, spec: str, arguments: Mapping[str, Any], modality: Modality) -> Self:
        """Read cells with the model's genes and known batches."""
        given, obs = _opened(spec, arguments)
        cells = modality.read_cells(given)  # type: ignore[attr-defined]  # of Counts
        return cls._of(spec, None if isinstance(given, Path) else given, obs, cells)

    @classmethod
    def read_beside(cls, folder: Path, spec: str, arguments: Mapping[str, Any], modality: Modality) -> Self:
        """Read the cells that the fit has annotated, or again those that were left on disk."""
        if arguments.get("from_disk"):
            return cls.read_again(spec, arguments, modality)
        path = folder / cls.further_results
        if not path.exists():
            raise UserError(
                f"{path.name} is missing, so batches, genes and most of the diagnosis are left out; pyro-vmm fit with the same "
                "options and --resume writes it."
            )
        return cls.read_again(str(path), arguments, modality)

    @classmethod
    def _of(
        cls, spec: str, adata: AnnData | None, obs: pd.DataFrame, cells: CellCounts, allow_non_counts: bool = False
    ) -> Self:
        unambiguous = obs.loc[:, ~obs.columns.duplicated(keep=False)]
        setup = cells.setup
        given = (setup.batch_key, setup.size_factor_key, *setup.categorical_keys, *setup.continuous_keys)
        return cls(
            spec,
            cells,
            cells.cell_names,
            columns={str(name): unambiguous[name].to_numpy() for name in unambiguous.columns},
            names_read=[name for name in given if name is not None],
            setup=setup.to_dict(),
            rows_sha256=cells.names_sha256,
            obs=obs,
            adata=adata,
            allow_non_counts=allow_non_counts,
        )

    def sha256(self, observations: Observations) -> str:
        """SHA-256 of counts, names and covariates."""
        return cells_sha256(self.data)

    def learn(self, modality: type[Modality], options: Mapping[str, Any]) -> tuple[Modality, Observations]:
        """Have the modality read the cells."""
        return modality.learn(self.data, options, allow_non_counts=self.allow_non_counts)  # type: ignore[call-arg]

    def batches(self, column: str) -> Groups:
        """Batches of the cells by a column of ``obs``."""
        assert self.obs is not None
        return Groups(*read_categories(self.obs, column, role="batch_key"))

    @property
    def results_file(self) -> str:
        """``adata.h5ad``; where the counts stay on disk, a file without them."""
        return self.further_results if self.adata is not None else self.results_from_disk

    def write_results(
        self,
        folder: Path,
        modality: Modality,
        num_clusters: int,
        latents: NDArray[np.float32],
        probabilities: RowBlocks,
    ) -> None:
        """Write the cells with embedding and clusters, set up for :class:`pyro_vmm.SingleCellVMM`.

        Of cells whose counts stay on disk names, columns and results are written, and no counts.
        """
        from anndata import AnnData

        from pyro_vmm.single_cell.annotation import write_annotation
        from pyro_vmm.single_cell.setup import note_setup

        adata = self.adata
        if adata is None:
            assert self.obs is not None
            adata = AnnData(obs=self.obs.copy())
            leave_out_unwritable(adata)
        else:
            note_setup(adata, self.data.setup, allow_non_counts=self.allow_non_counts)
        write_annotation(modality, num_clusters, adata, latents, probabilities)
        write_cells(adata, folder / self.results_file)


def cells_sha256(cells: CellCounts) -> str:
    """SHA-256 of counts, names and covariates: equal however the file stores them, and blind to every other column.

    Of counts on disk, whose every value is not read again for it, their own fingerprint stands.
    """
    digest = hashlib.sha256()
    names = [cells.cell_names.tolist(), cells.gene_names.tolist(), cells.categories]
    digest.update(json.dumps(names).encode())
    counts = cells.counts
    arrays: list[Any] = []
    if isinstance(counts, CsrFiles):
        digest.update(OnDisk(counts).fingerprint().encode())
    else:
        arrays += [counts.data, counts.indices.astype(np.int64), counts.indptr.astype(np.int64)]
    # Continuous covariates rounded, as earlier versions read them.
    arrays += [cells.batch, *cells.categorical_covariates.values(), cells.continuous_covariates.astype(np.float32)]
    arrays += [] if cells.size_factor is None else [cells.size_factor]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _is_better_left(path: Path, layer: str | None) -> bool:
    """Whether a file is large, and its counts can be read from disk."""
    if not is_large(path):
        return False
    try:
        CellsOnDisk.open(path).counts(CountSetup(layer))
    except UserError:
        return False
    return True


def _opened(spec: str, arguments: Mapping[str, Any]) -> tuple[AnnData | Path, pd.DataFrame]:
    """The cells, or the path of those that are left on disk; and their columns."""
    if arguments.get("from_disk"):
        return Path(spec), CellsOnDisk.open(spec).obs
    adata = read_cells(Path(spec))
    return adata, adata.obs


def _covariates_by_kind(obs: pd.DataFrame, columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Categorical and continuous columns; what is absent counts as categorical, to be missed by the checks."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    names = list(obs.columns)
    continuous = [
        column
        for column in columns
        if names.count(column) == 1 and is_numeric_dtype(obs[column].dtype) and not is_bool_dtype(obs[column].dtype)
    ]
    return [column for column in columns if column not in continuous], continuous
