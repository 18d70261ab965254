"""What a trained model of single cells says of cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.clustering import Clusters, FoundClusters
from pyro_vmm.data import CellCounts, CountSetup, read_counts
from pyro_vmm.data.arrays import listed
from pyro_vmm.data.cell_covariates import category_text
from pyro_vmm.errors import UserError
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.observations import InMemory, OneHotRows
from pyro_vmm.option_checks import check_boolean, check_whole_number, is_number
from pyro_vmm.plain_values import plain
from pyro_vmm.process_settings import undisturbed, usual_settings
from pyro_vmm.single_cell.covariates import CovariateEncoding
from pyro_vmm.single_cell.expression import LibrarySize, normalized_expression, replicate

if TYPE_CHECKING:
    from anndata import AnnData


class AnswersOfCells(FoundClusters):
    """Embedding, clusters, expression and likelihood of the cells fitted, or of others; the facade inherits them."""

    cells: CellCounts
    setup: CountSetup
    allow_non_counts: bool
    encoding: CovariateEncoding
    categories: dict[str, tuple[str, ...]]
    batch_categories: tuple[str, ...]
    batch_shares_: NDArray[np.float64]
    module: Any
    guide: Any
    is_trained_: bool

    @undisturbed()
    def get_latent_representation(
        self, adata: AnnData | None = None, indices: Any = None, give_mean: bool = True
    ) -> NDArray[np.float32]:
        """Posterior means of the latents, ``[n_obs, n_latent]``; with ``give_mean=False`` one posterior sample each.

        Parameters
        ----------
        adata
            Cells with the model's genes and known batches; None for those fitted. So everywhere below.
        indices
            Rows, or a Boolean mask, of the cells wanted; None for all. So everywhere below.
        give_mean
            Mean rather than a sample. Samples are other ones at every call; ``torch.manual_seed`` fixes them.

        Raises
        ------
        UserError
            Before :meth:`train`, and for cells that the model cannot read. So everywhere below.
        """
        give_mean = check_boolean(give_mean, "give_mean")
        cells = self._cells(adata, indices)
        if give_mean:
            return self._evaluation.posterior_mean(cells)

        def draw(block: Tensor, **given: Tensor) -> Tensor:
            return self.guide.posterior(block, **given).sample()

        return self._evaluation.by_rows(draw, cells, own_noise=False).astype(np.float32)

    @undisturbed()
    def predict_proba(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        *,
        num_samples: int = 0,
        num_clusters: int | None = None,
        batch_free: bool = False,
    ) -> NDArray[np.float64]:
        """Responsibilities, ``[n_obs, num_components]``, in float64; rows sum to one.

        Those of components that are one cluster (``merging``) are summed in the column of the cluster.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        num_samples
            0: evaluated at the posterior mean of ``z``; more: averaged over this number of posterior samples, which is
            less certain where the posterior straddles clusters. The samples are the same in every call.
        num_clusters
            Number of clusters wanted, ``[n_obs, num_clusters]``: fewer than :attr:`n_clusters_` go on joining, more undo
            joins, up to the number of components in use.
        batch_free
            Do not use a cell's batch: average over encoding it as of each batch, weighted by the batches' share of the
            cells fitted. ``adata`` may then have batches that the model does not know, or no column of batches.
        """
        num_samples = check_whole_number(num_samples, "num_samples", least=0)
        batch_free = check_boolean(batch_free, "batch_free")
        cells = self._cells(adata, indices, batch_free=batch_free)
        evaluation = self._evaluation
        if batch_free and "batch" in cells.covariates:
            responsibilities = np.zeros((len(cells), self.module.prior.num_components))
            for batch, share in enumerate(self.batch_shares_):
                as_of = OneHotRows(torch.full((len(cells),), batch), len(self.batch_categories))
                responsibilities += share * evaluation.responsibilities(cells.with_covariates(batch=as_of), num_samples)
        else:
            responsibilities = evaluation.responsibilities(cells, num_samples)
        return self.clusters_.arrange(responsibilities, num_clusters)

    def predict(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        *,
        num_clusters: int | None = None,
        batch_free: bool = False,
    ) -> NDArray[np.int64]:
        """The most probable cluster of each cell, ``[n_obs]``; see :meth:`predict_proba`."""
        return self.predict_proba(adata, indices, num_clusters=num_clusters, batch_free=batch_free).argmax(1)

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

    @undisturbed()
    def get_elbo(self, adata: AnnData | None = None, indices: Any = None) -> float:
        """Mean ELBO in nats a cell (higher is better), from one posterior sample each."""
        return self._evaluation.elbo(self._some_cells(adata, indices)).elbo

    @undisturbed()
    def get_reconstruction_error(self, adata: AnnData | None = None, indices: Any = None) -> float:
        """Mean of ``-E_q[log p(x | z)]`` in nats a cell, from one posterior sample each."""
        return -self._evaluation.elbo(self._some_cells(adata, indices)).reconstruction

    @undisturbed()
    def get_marginal_ll(self, adata: AnnData | None = None, indices: Any = None, n_mc_samples: int = 100) -> float:
        """Mean importance-weighted ``log p(x)`` in nats a cell, from ``n_mc_samples`` posterior samples each."""
        n_mc_samples = check_whole_number(n_mc_samples, "n_mc_samples")
        ratios = self._evaluation.log_ratios(self._some_cells(adata, indices), num_samples=n_mc_samples)[0]
        return float((np.logaddexp.reduce(ratios, 1) - np.log(n_mc_samples)).mean())

    @property
    def gene_names(self) -> NDArray[np.str_]:
        """Genes of the model, ``[G]``."""
        return self.cells.gene_names

    @property
    def _prior_weights(self) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = self.module.prior.weights.detach().double().cpu().numpy()
        return weights

    @property
    def _found(self) -> Clusters:
        self._check_trained()
        return self.clusters_

    def _check_trained(self) -> None:
        if not self.is_trained_:
            raise UserError("The model is not trained yet: call train() first.")

    @property
    def _evaluation(self) -> Evaluation:
        self._check_trained()
        return Evaluation(self.module, self.guide)

    @usual_settings()
    def _read(self, adata: AnnData | None, indices: Any, *, batch_free: bool = False) -> CellCounts:
        """The cells wanted; ``batch_free`` does not read the batches of ``adata``, and all codes are 0."""
        self._check_trained()
        cells = self.cells
        if adata is not None:
            cells = read_counts(
                adata,
                replace(self.setup, batch_key=None) if batch_free else self.setup,
                allow_non_counts=self.allow_non_counts,
                categories=self.categories,
                gene_names=self.gene_names,
            )
        return cells if indices is None else cells.subset(indices)

    @usual_settings()
    def _cells(self, adata: AnnData | None, indices: Any, *, batch_free: bool = False) -> InMemory:
        return self.encoding.observations(self._read(adata, indices, batch_free=batch_free))

    def _some_cells(self, adata: AnnData | None, indices: Any) -> InMemory:
        cells = self._cells(adata, indices)
        if not len(cells):
            raise UserError("indices choose no cell, and a mean needs one: give at least one row, or None for all.")
        return cells

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
