"""What a trained model of single cells says of genes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pyro_vmm.data.arrays import listed
from pyro_vmm.data.cell_covariates import category_text
from pyro_vmm.errors import UserError
from pyro_vmm.modalities.count_expression import (
    LibrarySize,
    normalized_expression,
    replicate,
    sampled_expression,
)
from pyro_vmm.modalities.count_importance import important_samples
from pyro_vmm.modalities.count_parameters import denoised_draws
from pyro_vmm.option_checks import check_boolean, check_positive, check_whole_number, is_number
from pyro_vmm.plain_values import plain
from pyro_vmm.process_settings import undisturbed
from pyro_vmm.single_cell.likelihood_answers import AnswersOfLikelihood
from pyro_vmm.single_cell.scvi_names import in_our_words

if TYPE_CHECKING:
    from anndata import AnnData

    from pyro_vmm.data.cells_on_disk import Paths

TransformBatch = str | int | Iterable[str | int | None] | None
"""Batches by name or place; None for each cell's own."""


class AnswersOfGenes(AnswersOfLikelihood):
    """Expression of the cells fitted, or of others, denoised or replicated; the facade inherits it."""

    @undisturbed()
    def get_normalized_expression(
        self,
        adata: AnnData | Paths | None = None,
        indices: Any = None,
        transform_batch: TransformBatch = None,
        gene_list: Sequence[str] | None = None,
        library_size: LibrarySize = 1.0,
        n_samples: int = 0,
        n_samples_overall: int | None = None,
        weights: Literal["uniform", "importance"] | None = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        return_numpy: bool | None = None,
        max_cells: int = 1024,
        n_mc_samples: int = 100,
        **theirs: Any,
    ) -> Any:
        """Denoised expression ``library_size * rho``, cells by genes.

        Parameters
        ----------
        adata, indices, batch_size, **theirs
            As for :meth:`get_latent_representation`.
        transform_batch
            Decode all cells as of this batch, by its name or its place in :attr:`batch_categories`, or averaged over these;
            None for each cell's own.
        gene_list
            Genes wanted; None for all.
        library_size
            Counts that a cell is scaled to (1: shares), or ``"latent"`` for the cell's own.
        n_samples
            Posterior samples to average over, the same ones in every call; 0 for the posterior mean of ``z``.
        n_samples_overall
            Return this number of posterior samples, each of a cell drawn at random with replacement, ``[n_samples_overall,
            genes]``. Other ones at every call; ``torch.manual_seed`` fixes them.
        weights
            Of these: ``"uniform"``, or ``"importance"`` for samples that are of the true posterior of the cells wanted, however
            far the guide's is from it (see :mod:`pyro_vmm.modalities.count_importance`). It takes as long as some hundred
            queries.
        return_mean
            Average over the samples. Without, ``[n_samples, n_obs, genes]`` for several, an array; samples are other ones at
            every call.
        return_numpy
            Return an array rather than a frame.
        max_cells, n_mc_samples
            For ``weights="importance"``: cells that a sample is compared with, and samples by which the evidence of each is
            estimated.

        Raises
        ------
        UserError
            For an unknown batch or gene, a library size that is not positive, ``n_samples`` together with
            ``n_samples_overall``, and weights without the latter.
        """
        in_our_words("get_normalized_expression", theirs)
        library_size = plain(library_size)
        if not (isinstance(library_size, str) and library_size == "latent"):
            if not (is_number(library_size) and 0.0 < library_size < np.inf):
                raise UserError(f"library_size is {library_size!r}: give a positive number of counts, or 'latent'.")
            library_size = float(library_size)
        n_samples = check_whole_number(n_samples, "n_samples", least=0)
        overall = check_whole_number(n_samples_overall, "n_samples_overall", or_none="for none")
        if overall is not None and n_samples > 1:
            raise UserError("n_samples and n_samples_overall both say how many samples to draw: give one of them.")
        if weights not in (None, "uniform", "importance"):
            raise UserError(f"weights={weights!r} is not known: choose 'uniform' or 'importance'.")
        if weights == "importance" and overall is None:
            raise UserError("weights='importance' is of samples of all cells together: give n_samples_overall, too.")
        max_cells = check_whole_number(max_cells, "max_cells")
        n_mc_samples = check_whole_number(n_mc_samples, "n_mc_samples")
        return_mean = check_boolean(return_mean, "return_mean")
        as_array = False if return_numpy is None else check_boolean(return_numpy, "return_numpy")
        cells, genes = self._read(adata, indices), self._genes(gene_list)
        asked: dict[str, Any] = {
            "genes": genes,
            "batches": self._batches(transform_batch),
            "library_size": library_size,
        }
        evaluation, observations = self._evaluation_by(batch_size), self.encoding.observations(cells)
        names: Any = cells.cell_names
        if overall is not None:
            if not len(cells.cell_names):
                raise UserError("indices choose no cell, and samples need one: give at least one row, or None for all.")
            rows = torch.randint(len(cells.cell_names), (overall,)).numpy()
            if weights == "importance":
                rows, observations = important_samples(
                    evaluation, observations, overall, max_cells=max_cells, num_samples=n_mc_samples
                )
            else:
                observations = observations.subset(rows)
            names = cells.cell_names[rows]
        if overall is None and (return_mean or n_samples == 0):
            values = normalized_expression(evaluation, observations, num_samples=n_samples, **asked)
        else:
            draws = sampled_expression(evaluation, observations, num_samples=max(1, n_samples), **asked)
            if n_samples > 1:
                return np.swapaxes(draws, 0, 1)
            values = draws[:, 0]
        return values if as_array else pd.DataFrame(values, index=names, columns=self.gene_names[genes])

    @undisturbed()
    def posterior_predictive_sample(
        self,
        adata: AnnData | Paths | None = None,
        indices: Any = None,
        n_samples: int = 1,
        gene_list: Sequence[str] | None = None,
        *,
        transform_batch: TransformBatch = None,
        batch_size: int | None = None,
        **theirs: Any,
    ) -> NDArray[np.float32]:
        """Counts replicated from ``p(x_new | x)``: ``[n_obs, genes]``, or ``[n_obs, genes, n_samples]`` for several.

        Other ones at every call; ``torch.manual_seed`` fixes them.

        Parameters
        ----------
        adata, indices, batch_size, **theirs
            As for :meth:`get_latent_representation`.
        n_samples
            Replicates of each cell, each from a posterior sample of its own.
        gene_list, transform_batch
            As for :meth:`get_normalized_expression`; of several batches, the mean of one replicate as of each.
        """
        in_our_words("posterior_predictive_sample", theirs)
        n_samples = check_whole_number(n_samples, "n_samples")
        counts = replicate(
            self._evaluation_by(batch_size),
            self._cells(adata, indices),
            genes=self._genes(gene_list),
            num_samples=n_samples,
            batches=self._batches(transform_batch),
        )
        return (counts[..., 0] if n_samples == 1 else counts).astype(np.float32)

    @undisturbed()
    def get_feature_correlation_matrix(
        self,
        adata: AnnData | Paths | None = None,
        indices: Any = None,
        n_samples: int = 10,
        batch_size: int | None = None,
        rna_size_factor: float = 1000,
        transform_batch: TransformBatch = None,
        correlation_type: Literal["spearman", "pearson"] = "spearman",
        **theirs: Any,
    ) -> pd.DataFrame:
        """Correlations between genes, ``[genes, genes]``, of expression without the noise of counting.

        Over posterior samples of all cells wanted; other ones at every call, and ``torch.manual_seed`` fixes them.

        Parameters
        ----------
        adata, indices, batch_size, **theirs
            As for :meth:`get_latent_representation`.
        n_samples
            Posterior samples of each cell.
        rna_size_factor
            Counts that every cell is scaled to.
        transform_batch
            As for :meth:`get_normalized_expression`; of several batches, the mean of their correlations.
        correlation_type
            ``"spearman"`` or ``"pearson"``.

        Raises
        ------
        UserError
            As everywhere, for fewer than two samples in all, and for a likelihood of your own.
        """
        from scipy.stats import rankdata

        in_our_words("get_feature_correlation_matrix", theirs)
        n_samples = check_whole_number(n_samples, "n_samples")
        size = check_positive(rna_size_factor, "rna_size_factor")
        if correlation_type not in ("spearman", "pearson"):
            raise UserError(f"correlation_type={correlation_type!r} is not known: choose 'spearman' or 'pearson'.")
        evaluation, cells = self._evaluation_by(batch_size), self._some_cells(adata, indices)
        if n_samples * len(cells) < 2:
            raise UserError("One sample of one cell has no correlations: raise n_samples, or give more cells.")
        found = []
        for batch in self._batches(transform_batch):
            draws = denoised_draws(evaluation, cells, batch=batch, library_size=float(size), num_samples=n_samples)
            flat = draws.reshape(-1, draws.shape[-1]).astype(np.float64)
            found.append(np.corrcoef(rankdata(flat, axis=0) if correlation_type == "spearman" else flat, rowvar=False))
        correlations = np.mean(found, axis=0).reshape(len(self.gene_names), -1)
        return pd.DataFrame(correlations, index=self.gene_names, columns=self.gene_names)

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

    def _batches(self, transform_batch: TransformBatch) -> list[int | None]:
        """Places of batches among those known, None for each cell's own; a name counts before a place."""
        asked: Any = plain(transform_batch)
        if asked is None:
            return [None]
        several = not isinstance(asked, str) and isinstance(asked, Iterable)
        wanted = list(asked) if several else [asked]
        known = self.batch_categories
        if not wanted:
            raise UserError(
                f"transform_batch names no batch: choose among {listed(known)}, or None for each cell's own."
            )
        places: list[int | None] = []
        for each in wanted:
            is_place = isinstance(each, int) and not isinstance(each, bool) and 0 <= each < len(known)
            if category_text(each) in known:
                places.append(known.index(category_text(each)))
            elif each is None or is_place:
                places.append(each)
            else:
                raise UserError(f"transform_batch={each!r} is no batch of the model: choose among {listed(known)}.")
        return places
