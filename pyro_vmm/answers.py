"""What a fitted estimator says of observations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from pyro_vmm.clustering import Criterion, FoundClusters, MergeTree, Merging, merge_tree, weight_of_evidence
from pyro_vmm.data import validate_array
from pyro_vmm.errors import UserError
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.option_checks import check_boolean, check_whole_number
from pyro_vmm.plain_values import plain
from pyro_vmm.process_settings import undisturbed
from pyro_vmm.random_numbers import RandomNumbers
from pyro_vmm.random_states import check_state, draw_seed


class AnswersOfArrays(FoundClusters, TransformerMixin):
    """Embedding, clusters, samples and likelihood of arrays; the facade inherits them."""

    model_: LatentMixtureModel
    guide_: AmortizedNormal
    feature_mean_: NDArray[np.floating[Any]]
    feature_scale_: NDArray[np.floating[Any]]
    standardize: bool
    merging: Merging
    evidence_weight: float | None
    random_state: Any

    def _observations(self, X: Any) -> Tensor:
        """Observations ``[N, F]`` as the model takes them; raises for what cannot be read."""
        raise NotImplementedError

    @undisturbed()
    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Posterior means of the latents, ``[N, D]``."""
        x = self._observations(X)
        return self._evaluation.posterior_mean(x)

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
        x = self._observations(X)
        return self.clusters_.arrange(self._evaluation.responsibilities(x, num_samples), num_clusters)

    def predict(self, X: ArrayLike, *, num_clusters: int | None = None) -> NDArray[np.int64]:
        """The most probable cluster of each observation, ``[N]``; see :meth:`predict_proba` for ``num_clusters``."""
        return self.predict_proba(X, num_clusters=num_clusters).argmax(1)

    @undisturbed()
    def merge_tree(self, X: ArrayLike, *, criterion: Criterion = "valleys") -> MergeTree:
        """Which clusters of ``X`` would join next, in what order and at what cost (section 5 of the method).

        See :func:`pyro_vmm.clustering.merge_tree` for the criteria.
        """
        of_latents = isinstance(criterion, str) and criterion in ("evidence", "valleys")
        latents = self._evaluation.posterior_mean(self._observations(X)) if of_latents else None
        counted = weight_of_evidence(self.merging, self.evidence_weight)
        return merge_tree(self.predict_proba(X), criterion=criterion, latents=latents, evidence_weight=counted)

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
        noise = self._noise_of(self.random_state if random_state is None else random_state)
        with noise, torch.no_grad(), evaluation_mode(self.model_):
            z = self.model_.prior.sample(number) if component is None else self._latents_of(number, component)
            observation = self.model_.observation(z)
            return self._in_data_units(observation.mean if means else observation.sample())

    def _noise_of(self, random_state: Any) -> RandomNumbers:
        """Draws of a seed or generator; the caller's for None."""
        if random_state is None:
            return RandomNumbers(self._evaluation.device)
        check_state(random_state)
        return self._evaluation.own_noise(draw_seed(random_state))

    @undisturbed()
    def inverse_transform(self, Z: ArrayLike) -> NDArray[np.floating[Any]]:
        """Mean observations ``[N, F]``, in the data's units, that embeddings ``Z [N, D]`` decode to.

        Raises
        ------
        UserError
            If ``Z`` is not a table of finite numbers of at least one row, with one column for each latent dimension.
        """
        evaluation = self._evaluation
        z = validate_array(Z, name="Z", minimum_observations=1)
        dim = self.model_.prior.latent_dim
        if z.shape[1] != dim:
            raise UserError(f"Z has shape {list(z.shape)}: give [N, {dim}], embeddings as transform returns them.")

        def of_block(block: Tensor) -> Tensor:
            return self.model_.observation(block).mean

        return self._in_data_units(torch.from_numpy(evaluation.by_rows(of_block, torch.from_numpy(z.copy()))))

    @undisturbed()
    def reconstruct(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Mean observations ``[N, F]`` that the posterior means of ``X`` decode to: ``inverse_transform(transform(X))``."""
        return self.inverse_transform(self._evaluation.posterior_mean(self._observations(X)))

    @undisturbed()
    def decoded_centres(self) -> NDArray[np.floating[Any]]:
        """Mean observation at each cluster's centre, ``[K, F]``: that of its heaviest component (``component_order_``)."""
        check_is_fitted(self)
        with torch.no_grad(), evaluation_mode(self.model_):
            order = torch.as_tensor(self.component_order_)
            return self._in_data_units(self.model_.observation(self.model_.prior.centres[order]).mean)

    @undisturbed()
    def pseudo_inputs(self) -> NDArray[np.floating[Any]] | None:
        """Pseudo-input of each cluster's heaviest component (``component_order_``), ``[K, F]``.

        It is what the centre behind :meth:`decoded_centres` is encoded from. None where the prior has none.
        """
        check_is_fitted(self)
        encoded = getattr(self.model_.prior, "encoded_centres", None)
        if encoded is None:
            return None
        with torch.no_grad():
            inputs, _ = encoded.pseudo_inputs()
            return self._in_data_units(inputs[torch.as_tensor(self.component_order_)])

    @undisturbed()
    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Mean ELBO per observation, in nats (a one-sample estimate each)."""
        x = self._observations(X)
        return self._evaluation.elbo(x).elbo

    @undisturbed()
    def score_samples(self, X: ArrayLike, num_samples: int = 100) -> NDArray[np.float64]:
        """Importance-weighted estimates of ``log p(x)``, ``[N]``, in nats, with so many posterior samples each."""
        num_samples = check_whole_number(num_samples, "num_samples")
        return self._evaluation.log_evidence(self._observations(X), num_samples)

    # ---- inside ------------------------------------------------------------------------------------------------------

    @property
    def _prior_weights(self) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = self.model_.prior.weights.detach().double().cpu().numpy()
        return weights

    def _latents_of(self, number: int, cluster: int) -> Tensor:
        """Draw latents ``[number, D]`` from the components of one cluster, each as often as its weight says."""
        members = self.clusters_.members(cluster)
        prior = self.model_.prior
        if len(members) == 1:
            return prior.sample(number, int(members[0]))
        drawn = torch.as_tensor(self._prior_weights[members]).multinomial(number, replacement=True)
        z = [
            prior.sample(count, int(member))
            for member, count in zip(members, drawn.bincount().tolist(), strict=False)
            if count
        ]
        return torch.cat(z)[torch.randperm(number)]

    @property
    def _evaluation(self) -> Evaluation:
        check_is_fitted(self)
        return Evaluation(self.model_, self.guide_)

    def _in_data_units(self, x: Tensor) -> NDArray[np.floating[Any]]:
        values: NDArray[np.floating[Any]] = x.float().cpu().numpy()
        return values * self.feature_scale_ + self.feature_mean_ if self.standardize else values
