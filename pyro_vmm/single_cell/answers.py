"""What a trained model of single cells says of cells: embedding and clusters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.clustering import Clusters, FoundClusters, Merging, check_merging
from pyro_vmm.data import CellCounts, CountSetup
from pyro_vmm.diagnosis import Stability
from pyro_vmm.errors import UserError
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.fit import Fit, ObservedFit
from pyro_vmm.history_frames import as_scvi_has_it
from pyro_vmm.modalities.count_covariates import CovariateEncoding
from pyro_vmm.modalities.counts import Counts
from pyro_vmm.observations import InMemory, OnDisk, OneHotRows
from pyro_vmm.option_checks import check_boolean, check_whole_number
from pyro_vmm.plain_values import plain
from pyro_vmm.process_settings import undisturbed, usual_settings
from pyro_vmm.single_cell.scvi_names import in_our_words

if TYPE_CHECKING:
    from anndata import AnnData

    from pyro_vmm.data.cells_on_disk import Paths


class AnswersOfCells(FoundClusters):
    """Embedding and clusters of the cells fitted, or of others; the facade inherits them."""

    cells: CellCounts
    modality: Counts
    fit_: Fit | None

    # ---- what was fitted ---------------------------------------------------------------------------------------------

    @property
    def options(self) -> dict[str, Any]:
        """Options of the model by name."""
        return self.modality.options_of_model

    @property
    def setup(self) -> CountSetup:
        """Where counts and covariates are."""
        return self.modality.setup

    @property
    def encoding(self) -> CovariateEncoding:
        """How covariates become tensors."""
        return self.modality.encoding

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """Known categories by column."""
        return dict(self.modality.categories)

    @property
    def batch_categories(self) -> tuple[str, ...]:
        """Names of the batches."""
        return self.modality.batch_categories

    @property
    def gene_names(self) -> NDArray[np.str_]:
        """Genes of the model, ``[G]``."""
        return self.modality.gene_names

    @property
    def module(self) -> Any:
        """The fitted :class:`~pyro_vmm.models.LatentMixtureModel`; None before."""
        return None if self.fit_ is None else self.fit_.model

    @property
    def guide(self) -> Any:
        """The fitted :class:`~pyro_vmm.guides.AmortizedNormal`; None before."""
        return None if self.fit_ is None else self.fit_.guide

    @property
    def allow_non_counts(self) -> bool:
        """Whether values need not be whole."""
        return self.modality.allow_non_counts

    @property
    def random_state(self) -> int:
        """The seed."""
        return int(self.modality.options["random_state"])

    @property
    def is_trained_(self) -> bool:
        """Whether :meth:`train` has been called."""
        return self.fit_ is not None

    @property
    def history(self) -> dict[str, pd.DataFrame]:
        """Frames by name as in scvi-tools, a row an epoch."""
        return {} if self.fit_ is None else as_scvi_has_it(self.fit_.history)

    @property
    def validation_indices(self) -> NDArray[np.int64] | None:
        """Rows held out, ``[V]``."""
        return None if self.fit_ is None else self.fit_.held_out

    @property
    def interrupted_(self) -> bool:
        """Whether Ctrl-C ended the last training; absent before, and after loading."""
        if self.fit_ is None or self.fit_.interrupted is None:
            raise AttributeError("interrupted_ is known of a model that was trained here.")
        return self.fit_.interrupted

    @property
    def stability_(self) -> Stability | None:
        """What :meth:`stability` found."""
        return None if self.fit_ is None else self.fit_.stability

    @property
    def clusters_(self) -> Clusters:
        """Which components are one cluster."""
        return self._fit.clusters

    # ---- of cells ----------------------------------------------------------------------------------------------------

    @undisturbed()
    def get_latent_representation(
        self,
        adata: AnnData | Paths | None = None,
        indices: Any = None,
        give_mean: bool = True,
        mc_samples: int = 5_000,
        batch_size: int | None = None,
        return_dist: bool = False,
        **theirs: Any,
    ) -> Any:
        """Posterior means of the latents, ``[n_obs, n_latent]``; with ``give_mean=False`` one posterior sample each.

        Parameters
        ----------
        adata
            Cells with the model's genes and known batches, an AnnData or paths; None for those fitted. So everywhere below.
        indices
            Rows, or a Boolean mask, of the cells wanted; None for all. So everywhere below.
        give_mean
            Mean rather than a sample. Samples are other ones at every call; ``torch.manual_seed`` fixes them.
        mc_samples
            Not used: the mean of a Gaussian needs no samples.
        batch_size
            Cells that go through the networks at once; None for as many as are fast. So everywhere below.
        return_dist
            Return means and variances, two arrays ``[n_obs, n_latent]``; of a full covariance its diagonal.
        **theirs
            Further arguments of scvi-tools, each taken or refused as the documentation's table of them says. So
            everywhere below.

        Raises
        ------
        UserError
            Before :meth:`train`, and for cells that the model cannot read. So everywhere below.
        """
        in_our_words("get_latent_representation", theirs)
        give_mean, return_dist = check_boolean(give_mean, "give_mean"), check_boolean(return_dist, "return_dist")
        check_whole_number(mc_samples, "mc_samples")
        evaluation, cells = self._evaluation_by(batch_size), self._cells(adata, indices)

        def variance(block: Tensor, **given: Tensor) -> Tensor:
            return evaluation.guide.posterior(block, **given).variance

        def draw(block: Tensor, **given: Tensor) -> Tensor:
            return evaluation.guide.posterior(block, **given).sample()

        if return_dist:
            return evaluation.posterior_mean(cells), evaluation.by_rows(variance, cells).astype(np.float32)
        if give_mean:
            return evaluation.posterior_mean(cells)
        return evaluation.by_rows(draw, cells, own_noise=False).astype(np.float32)

    @undisturbed()
    def predict_proba(
        self,
        adata: AnnData | Paths | None = None,
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
            responsibilities = np.zeros((len(cells), self._fit.model.prior.num_components))
            for batch, share in enumerate(self.modality.batch_shares):
                as_of = OneHotRows(torch.full((len(cells),), batch), len(self.batch_categories))
                responsibilities += share * evaluation.responsibilities(cells.with_covariates(batch=as_of), num_samples)
        else:
            responsibilities = evaluation.responsibilities(cells, num_samples)
        return self.clusters_.arrange(responsibilities, num_clusters)

    def predict(
        self,
        adata: AnnData | Paths | None = None,
        indices: Any = None,
        *,
        num_clusters: int | None = None,
        batch_free: bool = False,
    ) -> NDArray[np.int64]:
        """The most probable cluster of each cell, ``[n_obs]``; see :meth:`predict_proba`."""
        return self.predict_proba(adata, indices, num_clusters=num_clusters, batch_free=batch_free).argmax(1)

    @undisturbed()
    def rejoin(self, *, merging: Merging | None = None, evidence_weight: float | None = None) -> None:
        """Decide anew which components are one cluster, without another training; clusters get other numbers.

        Forgets what :meth:`stability` found of the earlier clusters; :meth:`annotate` writes the new ones.

        Parameters
        ----------
        merging, evidence_weight
            As at the start. Without ``merging``, None leaves either as it is; a rule that is given comes with the weight that
            is given with it, or its own.

        Raises
        ------
        UserError
            Before :meth:`train`, for a rule that does not exist, and for a weight that is not positive.
        """
        fit, evidence_weight = self._fit, plain(evidence_weight)
        if merging is None:
            merging = fit.options["merging"]
            evidence_weight = fit.options["evidence_weight"] if evidence_weight is None else evidence_weight
        check_merging(merging, evidence_weight)
        self.fit_ = fit.rejoined(self._cells(None, None), merging, evidence_weight)
        self.modality = replace(self.modality, options=self.fit_.options)

    # ---- inside ------------------------------------------------------------------------------------------------------

    @property
    def _fit(self) -> Fit:
        if self.fit_ is None:
            raise UserError("The model is not trained yet: call train() first.")
        return self.fit_

    @property
    def _evaluation(self) -> Evaluation:
        return self._fit.evaluation

    def _evaluation_by(self, batch_size: int | None) -> Evaluation:
        """Asks the model about this number of cells at once, or about as many as are fast."""
        fit = self._fit
        if batch_size is None:
            return fit.evaluation
        return Evaluation(fit.model, fit.guide, rows_at_once=check_whole_number(batch_size, "batch_size"))

    @property
    def _prior_weights(self) -> NDArray[np.float64]:
        return self._fit._prior_weights

    @undisturbed()
    def observe(self, data: AnnData | Paths | None = None, indices: Any = None) -> ObservedFit:
        """The fit together with cells, for checks, pictures and reports.

        Parameters
        ----------
        data, indices
            As ``adata`` and ``indices`` for :meth:`get_latent_representation`.
        """
        return ObservedFit(self._fit, self._cells(data, indices))

    @usual_settings()
    def _read(self, adata: AnnData | Paths | None, indices: Any, *, batch_free: bool = False) -> CellCounts:
        """The cells wanted; ``batch_free`` does not read the batches of ``adata``, and all codes are 0."""
        self._fit  # noqa: B018  # raises before training
        cells = self.cells if adata is None else self.modality.read_cells(adata, batch_free=batch_free)
        return cells if indices is None else cells.subset(indices)

    @usual_settings()
    def _cells(self, adata: AnnData | Paths | None, indices: Any, *, batch_free: bool = False) -> InMemory | OnDisk:
        return self.encoding.observations(self._read(adata, indices, batch_free=batch_free))

    def _some_cells(self, adata: AnnData | Paths | None, indices: Any) -> InMemory | OnDisk:
        cells = self._cells(adata, indices)
        if not len(cells):
            raise UserError("indices choose no cell, and a mean needs one: give at least one row, or None for all.")
        return cells
