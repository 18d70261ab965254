"""What a trained model of single cells says of genes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.data.arrays import listed
from pyro_vmm.data.cell_covariates import category_text
from pyro_vmm.errors import UserError
from pyro_vmm.modalities.count_expression import LibrarySize, normalized_expression, replicate
from pyro_vmm.option_checks import check_whole_number, is_number
from pyro_vmm.plain_values import plain
from pyro_vmm.process_settings import undisturbed
from pyro_vmm.single_cell.answers import AnswersOfCells

if TYPE_CHECKING:
    from anndata import AnnData


class AnswersOfGenes(AnswersOfCells):
    """Expression of the cells fitted, or of others, denoised or replicated; the facade inherits it."""

    @undisturbed()
    def get_normalized_expression(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        transform_batch: str | Iterable[str] | None = None,
        gene_list: Sequence[str] | None = None,
        library_size: LibrarySize = 1.0,
        n_samples: int = 0,
    ) -> pd.DataFrame:
        """Denoised expression ``library_size * rho``, cells by genes.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        transform_batch
            Decode all cells as of this batch, or averaged over these; None for each cell's own.
        gene_list
            Genes wanted; None for all.
        library_size
            Counts that a cell is scaled to (1: shares), or ``"latent"`` for the cell's own.
        n_samples
            Posterior samples to average over, the same ones in every call; 0 for the posterior mean of ``z``.

        Raises
        ------
        UserError
            For an unknown batch or gene, or a library size that is not positive.
        """
        library_size = plain(library_size)
        if not (isinstance(library_size, str) and library_size == "latent"):
            if not (is_number(library_size) and 0.0 < library_size < np.inf):
                raise UserError(f"library_size is {library_size!r}: give a positive number of counts, or 'latent'.")
            library_size = float(library_size)
        n_samples = check_whole_number(n_samples, "n_samples", least=0)
        cells = self._read(adata, indices)
        genes = self._genes(gene_list)
        values = normalized_expression(
            self._evaluation,
            self.encoding.observations(cells),
            genes=genes,
            batches=self._batches(transform_batch),
            library_size=library_size,
            num_samples=n_samples,
        )
        return pd.DataFrame(values, index=cells.cell_names, columns=self.gene_names[genes])

    @undisturbed()
    def posterior_predictive_sample(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        n_samples: int = 1,
        gene_list: Sequence[str] | None = None,
    ) -> NDArray[np.float32]:
        """Counts replicated from ``p(x_new | x)``: ``[n_obs, genes]``, or ``[n_obs, genes, n_samples]`` for several.

        Other ones at every call; ``torch.manual_seed`` fixes them.
        """
        n_samples = check_whole_number(n_samples, "n_samples")
        cells = self._cells(adata, indices)
        counts = replicate(self._evaluation, cells, genes=self._genes(gene_list), num_samples=n_samples)
        return (counts[..., 0] if n_samples == 1 else counts).astype(np.float32)

    def _genes(self, gene_list: Sequence[str] | None) -> NDArray[np.int64]:
        gene_list = plain(gene_list)
        if gene_list is None:
            return np.arange(len(self.gene_names))
        if isinstance(gene_list, str):
            raise UserError(f"gene_list must be a list of genes, not one name: give [{str(gene_list)!r}].")
        if not isinstance(gene_list, Iterable) or isinstance(gene_list, set | frozenset):
            raise UserError(f"gene_list is {gene_list!r}: give a list of genes, or None for all.")
        gene_list = list(gene_list)
        places = {str(name): place for place, name in enumerate(self.gene_names)}
        for name in gene_list:
            if not isinstance(name, str) or name not in places:
                raise UserError(f"The model has no gene {name!r}: give names among model.gene_names.")
        return np.array([places[name] for name in gene_list], dtype=np.int64)

    def _batches(self, transform_batch: str | Iterable[str] | None) -> list[int | None]:
        transform_batch = plain(transform_batch)
        if transform_batch is None:
            return [None]
        several = not isinstance(transform_batch, str) and isinstance(transform_batch, Iterable)
        names = list(transform_batch) if several else [transform_batch]
        known = self.batch_categories
        if not names:
            raise UserError(
                f"transform_batch names no batch: choose among {listed(known)}, or None for each cell's own."
            )
        for name in names:
            if category_text(name) not in known:
                raise UserError(f"transform_batch={name!r} is no batch of the model: choose among {listed(known)}.")
        return [known.index(category_text(name)) for name in names]
