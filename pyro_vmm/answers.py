"""What a fitted estimator says of observations, and of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from pyro_vmm.clustering import (
    Clusters,
    Criterion,
    FoundClusters,
    MergeTree,
    Merging,
    check_merging,
    merge_tree,
    weight_of_evidence,
)
from pyro_vmm.clustering.criteria import CRITERIA, check_criterion
from pyro_vmm.data import validate_array
from pyro_vmm.diagnosis import Diagnosis, Stability
from pyro_vmm.diagnosis.fits import diagnose
from pyro_vmm.diagnosis.refits import refit
from pyro_vmm.errors import UserError
from pyro_vmm.fit import Fit, ObservedFit
from pyro_vmm.fit.storage import save_checked
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.modalities.arrays import Arrays
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.observations import Observations
from pyro_vmm.option_checks import check_boolean, check_whole_number
from pyro_vmm.plain_values import plain
from pyro_vmm.process_settings import undisturbed, usual_settings
from pyro_vmm.random_states import check_state, draw_seed


class AnswersOfArrays(FoundClusters, TransformerMixin):
    """Embedding, clusters, samples and likelihood of arrays, and how the fit went; the facade inherits them."""

    fit_: Fit
    merging: Merging
    evidence_weight: float | None
    random_state: Any

    def _as_scikit_learn_checks(self, X: Any) -> Any:
        """``X`` after scikit-learn's own check; raises for what cannot be read."""
        raise NotImplementedError

    def _learn(self, X: Any) -> tuple[Arrays, Observations, dict[str, Any]]:
        """What the observations to fit teach, and these themselves."""
        raise NotImplementedError

    # ---- what was fitted ---------------------------------------------------------------------------------------------

    @property
    def model_(self) -> LatentMixtureModel:
        """The fitted model."""
        return self.fit_.model

    @property
    def guide_(self) -> AmortizedNormal:
        """The fitted guide."""
        return self.fit_.guide

    @property
    def clusters_(self) -> Clusters:
        """Which components are one cluster."""
        return self.fit_.clusters

    @property
    def labels_(self) -> NDArray[np.int64]:
        """Cluster of each observation fitted, ``[N]``."""
        labels = self.fit_.labels
        assert labels is not None  # every version stores those of arrays
        return labels

    @property
    def history_(self) -> pd.DataFrame:
        """A row an epoch."""
        return self.fit_.history

    @property
    def n_iter_(self) -> int:
        """Epochs."""
        return len(self.fit_.history)

    @property
    def validation_rows_(self) -> NDArray[np.int64] | None:
        """Row numbers held out, ``[V]``."""
        return self.fit_.held_out

    @property
    def interrupted_(self) -> bool:
        """Whether Ctrl-C ended the training; absent after loading."""
        if self.fit_.interrupted is None:
            raise AttributeError("interrupted_ is known of a fit, not of one that was loaded.")
        return self.fit_.interrupted

    @property
    def stability_(self) -> Stability | None:
        """What :meth:`stability` found."""
        return self.fit_.stability

    @property
    def feature_mean_(self) -> NDArray[np.floating[Any]]:
        """What ``standardize`` subtracts, ``[F]``."""
        return self._modality.mean

    @property
    def feature_scale_(self) -> NDArray[np.floating[Any]]:
        """What ``standardize`` divides by, ``[F]``."""
        return self._modality.scale

    # ---- of observations ---------------------------------------------------------------------------------------------

    @undisturbed()
    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Posterior means of the latents, ``[N, D]``."""
        return self._fit.evaluation.posterior_mean(self._read(X))

    @undisturbed()
    def predict_proba(
        self, X: ArrayLike, *, num_samples: int = 0, num_clusters: int | None = None
    ) -> NDArray[np.float64]:
        """Responsibilities, ``[N, K]``, in float64; rows sum to one.

        Those of components that are one cluster (``merging``) are summed in the column of the cluster.

        Parameters
        ----------
        X
            Observations ``[N, F]``.
        num_samples
            0: evaluated at the posterior mean of ``z``; more: averaged over this number of posterior samples, which is
            less certain where the posterior straddles clusters. The samples are the same in every call.
        num_clusters
            Number of clusters wanted, ``[N, num_clusters]``: fewer than :attr:`n_clusters_` go on joining
            (see :meth:`merge_tree`), more undo joins, up to the number of components in use. They are numbered by
            decreasing sum of responsibilities, so that even the same number of clusters may be numbered differently.

        Raises
        ------
        UserError
            For observations that cannot be read, and for more clusters than components in use.
        """
        num_samples = check_whole_number(num_samples, "num_samples", least=0)
        return self._fit.probabilities(self._read(X), num_samples, num_clusters)

    def predict(self, X: ArrayLike, *, num_clusters: int | None = None) -> NDArray[np.int64]:
        """The most probable cluster of each observation, ``[N]``; see :meth:`predict_proba` for ``num_clusters``."""
        return self.predict_proba(X, num_clusters=num_clusters).argmax(1)

    @undisturbed()
    def merge_tree(self, X: ArrayLike, *, criterion: Criterion = "contact") -> MergeTree:
        """Which clusters of ``X`` would join next, in what order and at what cost (section 5 of the method).

        See :func:`pyro_vmm.clustering.merge_tree` for the criteria.
        """
        reads_latents = CRITERIA[check_criterion(criterion)].reads_latents
        observed, counted = self.observe(X), weight_of_evidence(self.merging, self.evidence_weight)
        latents = observed.latents if reads_latents else None
        return merge_tree(observed.probabilities, criterion=criterion, latents=latents, evidence_weight=counted)

    @undisturbed()
    def sample(
        self,
        n_samples: int = 1,
        component: int | None = None,
        *,
        means: bool = False,
        random_state: Any = None,
    ) -> NDArray[np.floating[Any]]:
        """Draw observations ``[n_samples, F]`` from the fitted model, or from one of its clusters.

        Parameters
        ----------
        n_samples
            How many.
        component
            A cluster, by its number; None for all, each as often as its weight says.
        means
            Return the mean observation at each draw of ``z``, rather than a draw from the likelihood there.
        random_state
            Seed or generator of the draws. None for the estimator's ``random_state``, as in scikit-learn's
            ``GaussianMixture``: with a seed there, the same call gives the same draws. Where that is None, too, draws are
            new ones in every call, from torch's global generator.

        Raises
        ------
        UserError
            For a cluster that does not exist, or an option that cannot be used.
        """
        check_is_fitted(self)
        number, component = check_whole_number(n_samples, "n_samples"), plain(component)
        if component is not None:
            whole = isinstance(component, int) and not isinstance(component, bool)
            if not whole or not 0 <= component < len(self.component_order_):
                raise UserError(
                    f"component {component!r} does not exist: choose 0 to {len(self.component_order_) - 1}."
                )
        means = check_boolean(means, "means")
        state = self.random_state if random_state is None else random_state
        if state is not None:
            check_state(state)
        return self.fit_.sample(number, component, means=means, seed=None if state is None else draw_seed(state))

    @undisturbed()
    def inverse_transform(self, Z: ArrayLike) -> NDArray[np.floating[Any]]:
        """Mean observations ``[N, F]``, in the data's units, that embeddings ``Z [N, D]`` decode to.

        Raises
        ------
        UserError
            If ``Z`` is not a table of finite numbers of at least one row, with one column for each latent dimension.
        """
        fit = self._fit
        z = validate_array(Z, name="Z", minimum_observations=1)
        dim = fit.model.prior.latent_dim
        if z.shape[1] != dim:
            raise UserError(f"Z has shape {list(z.shape)}: give [N, {dim}], embeddings as transform returns them.")

        def of_block(block: Tensor) -> Tensor:
            return fit.model.observation(block).mean

        return fit.modality.in_data_units(
            torch.from_numpy(fit.evaluation.by_rows(of_block, torch.from_numpy(z.copy())))
        )

    @undisturbed()
    def reconstruct(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Mean observations ``[N, F]`` that the posterior means of ``X`` decode to: ``inverse_transform(transform(X))``."""
        return self.inverse_transform(self._fit.evaluation.posterior_mean(self._read(X)))

    @undisturbed()
    def decoded_centres(self) -> NDArray[np.floating[Any]]:
        """Mean observation at each cluster's centre, ``[K, F]``: that of its heaviest component (``component_order_``)."""
        return self._fit.decoded_centres()

    @undisturbed()
    def pseudo_inputs(self) -> NDArray[np.floating[Any]] | None:
        """Pseudo-input of each cluster's heaviest component (``component_order_``), ``[K, F]``.

        It is what the centre behind :meth:`decoded_centres` is encoded from. None where the prior has none.
        """
        return self._fit.pseudo_inputs()

    @undisturbed()
    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Mean ELBO per observation, in nats (a one-sample estimate each)."""
        return self._fit.evaluation.elbo(self._read(X)).elbo

    @undisturbed()
    def score_samples(self, X: ArrayLike, num_samples: int = 100) -> NDArray[np.float64]:
        """Importance-weighted estimates of ``log p(x)``, ``[N]``, in nats, with so many posterior samples each."""
        num_samples = check_whole_number(num_samples, "num_samples")
        return self._fit.evaluation.log_evidence(self._read(X), num_samples)

    @undisturbed()
    def rejoin(self, X: ArrayLike, *, merging: Merging | None = None, evidence_weight: float | None = None) -> Self:
        """Decide anew which components are one cluster, without a refit; clusters get other numbers.

        Replaces ``labels_`` and ``clusters_``, and forgets what :meth:`stability` found of the earlier clusters.

        Parameters
        ----------
        X
            The observations fitted, ``[N, F]``, or others of their kind; ``labels_`` are theirs then.
        merging, evidence_weight
            As at the start. Without ``merging``, None leaves either as it is; a rule that is given comes with the weight that
            is given with it, or its own.

        Returns
        -------
        Self
            The estimator.

        Raises
        ------
        UserError
            For a rule that does not exist, a weight that is not positive, or observations that cannot be read.
        """
        observations, evidence_weight = self._read(X), plain(evidence_weight)
        if merging is None:
            merging = self.merging
            evidence_weight = self.evidence_weight if evidence_weight is None else evidence_weight
        check_merging(merging, evidence_weight)
        self.fit_ = self.fit_.rejoined(observations, merging, evidence_weight)
        self.merging, self.evidence_weight = merging, evidence_weight
        return self

    # ---- whether it went well ----------------------------------------------------------------------------------------

    @undisturbed()
    def diagnose(self, X: Any = None) -> Diagnosis:
        """Say in words whether the fit went well, in some seconds; ``print`` it.

        Clusters and history are looked at always; posteriors, reconstruction and guide on at most 3,000 observations of
        ``X``, drawn at random; agreement between seeds after :meth:`stability`.

        Parameters
        ----------
        X
            Observations ``[N, F]``: those fitted, or better, others of their kind.

        Raises
        ------
        UserError
            For observations that cannot be read, or fewer than ten.
        """
        return diagnose(self._fit, None if X is None else self.observe(X))

    @usual_settings()
    def stability(self, X: ArrayLike, num_seeds: int = 5) -> Stability:
        """Fit again with other seeds and compare the clusters of ``X``; takes as long as ``num_seeds - 1`` fits.

        Parameters
        ----------
        X
            The observations fitted, ``[N, F]``.
        num_seeds
            Runs in all, this fit the first of them.

        Raises
        ------
        UserError
            If ``num_seeds`` is below 2, and as :meth:`fit`.
        """
        observed = self.observe(X)
        modality, observations, _ = self._learn(X)
        found = refit(observed.assignment, modality, observations, num_seeds)
        observed.fit.stability = found
        return found

    # ---- storing -----------------------------------------------------------------------------------------------------

    @undisturbed()
    def save(self, directory: str | Path, *, overwrite: bool = False) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder.

        Parameters
        ----------
        directory
            Made if absent.
        overwrite
            Replace the model that the folder holds, if it holds one.

        Raises
        ------
        UserError
            If the folder holds a model and ``overwrite`` is False, or cannot be written.
        """
        save_checked(self._fit, directory, overwrite=overwrite)

    @undisturbed()
    def observe(self, data: Any = None) -> ObservedFit:
        """The fit together with observations ``[N, F]``, for checks, pictures and reports.

        Raises
        ------
        UserError
            Without data, of which the estimator keeps none, and for observations that cannot be read.
        """
        check_is_fitted(self)
        if data is None:
            raise UserError("A VMM keeps no data: give the observations to look at, data [N, F].")
        return ObservedFit(self.fit_, self._read(data))

    # ---- inside ------------------------------------------------------------------------------------------------------

    @property
    def _fit(self) -> Fit:
        check_is_fitted(self)
        return self.fit_

    @property
    def _modality(self) -> Arrays:
        modality = self.fit_.modality
        assert isinstance(modality, Arrays)
        return modality

    @property
    def _prior_weights(self) -> NDArray[np.float64]:
        return self.fit_._prior_weights

    @usual_settings()
    def _read(self, X: Any) -> Observations:
        check_is_fitted(self)
        return self._modality.read(self._as_scikit_learn_checks(X))
