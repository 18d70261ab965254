"""A fit: what was learned of some observations, and what it says of these and of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pyro_vmm.clustering import Clusters
from pyro_vmm.clustering.found_clusters import FoundClusters
from pyro_vmm.clustering.row_blocks import RowBlocks
from pyro_vmm.errors import UserError
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.modalities import Modality
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.observations import Observations
from pyro_vmm.option_checks import as_folder, check_names
from pyro_vmm.options import checked
from pyro_vmm.process_settings import undisturbed
from pyro_vmm.random_numbers import OwnRandomNumbers, RandomNumbers

if TYPE_CHECKING:
    from pyro_vmm.diagnosis import Diagnosis, Stability
    from pyro_vmm.fit.observed import ObservedFit
    from pyro_vmm.training import Watcher


@dataclass(eq=False)
class Fit(FoundClusters):
    """A trained model with its clusters, whatever its data were; :class:`pyro_vmm.VMM` and ``SingleCellVMM`` are faces of one.

    Attributes
    ----------
    modality
        What the data are, what was learned of them, and all options.
    model, guide
        As trained.
    clusters
        Which components are one cluster.
    labels
        Cluster of each observation fitted, ``[N]``; None where version 0.1 stored the fit without them.
    history
        A row an epoch, with the columns of :data:`pyro_vmm.training.history.COLUMNS`.
    held_out
        Numbers of the rows that watched the training, ``[V]``; None where version 0.1 stored the fit.
    latents
        Posterior means of the observations fitted, ``[N, D]``; None after loading.
    finished, interrupted
        Whether the training came to its end, or Ctrl-C ended it; None after loading.
    rows_sha256
        What tells whether other rows have the same names as those fitted.
    stability
        How far fits with other seeds agree, where that was asked.
    """

    modality: Modality
    model: LatentMixtureModel
    guide: AmortizedNormal
    clusters: Clusters
    labels: NDArray[np.int64] | None
    history: pd.DataFrame
    held_out: NDArray[np.int64] | None
    latents: NDArray[np.float32] | None = None
    finished: bool | None = None
    interrupted: bool | None = None
    rows_sha256: str | None = None
    stability: Stability | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """All options by name."""
        return self.modality.options

    @property
    def clusters_(self) -> Clusters:
        """As the faces call them."""
        return self.clusters

    @property
    def evaluation(self) -> Evaluation:
        """Asks the model, a block of rows at a time."""
        return Evaluation(self.model, self.guide)

    @classmethod
    def of(
        cls,
        modality: type[Modality],
        data: Any,
        *,
        watchers: Sequence[Watcher] = (),
        resume: str | Path | None = None,
        **options: Any,
    ) -> Fit:
        """Fit data of a modality; options that are left out have their defaults.

        Parameters
        ----------
        modality
            What the data are.
        data
            As the modality reads them.
        watchers
            Objects that are called after every step and epoch.
        resume
            A checkpoint folder of an earlier fit of the same data with the same options, to go on from.
        **options
            Of :data:`pyro_vmm.options.COMMON` and of the modality's own.

        Raises
        ------
        UserError
            For data or options that cannot be used.
        pyro_vmm.infer.NonFiniteError
            If a loss, a gradient or a running statistic ceases to be finite.
        """
        from pyro_vmm.fit.fitting import train

        entries = modality.entries()
        check_names(options, {entry.name for entry in entries}, modality.__name__)
        learned, observations = modality.learn(data, checked(modality.with_defaults(options), entries))
        found: list[Fit] = []
        train(learned, observations, found.append, watchers=watchers, resume=resume)
        return found[0]

    # ---- questions about rows ----------------------------------------------------------------------------------------

    def observe(self, data: Any = None) -> ObservedFit:
        """The fit together with observations, for checks, pictures and reports.

        Raises
        ------
        UserError
            Without data, of which a fit keeps none.
        """
        from pyro_vmm.fit.observed import ObservedFit

        if data is None:
            raise UserError("A Fit keeps no data: give the observations to look at.")
        return ObservedFit(self, self.modality.read(data))

    @undisturbed()
    def transform(self, data: Any) -> NDArray[np.float32]:
        """Posterior means of the latents, ``[N, D]``."""
        return self.evaluation.posterior_mean(self.modality.read(data))

    @undisturbed()
    def predict_proba(self, data: Any, *, num_samples: int = 0, num_clusters: int | None = None) -> NDArray[np.float64]:
        """Responsibilities of clusters, ``[N, K]``; see :meth:`pyro_vmm.VMM.predict_proba`."""
        return self.probabilities(self.modality.read(data), num_samples, num_clusters)

    def predict(self, data: Any, *, num_clusters: int | None = None) -> NDArray[np.int64]:
        """The most probable cluster of each observation, ``[N]``."""
        return self.predict_proba(data, num_clusters=num_clusters).argmax(1)

    def probabilities(
        self, observations: Observations, num_samples: int = 0, num_clusters: int | None = None
    ) -> NDArray[np.float64]:
        """As :meth:`predict_proba`, of observations that have been read."""
        return self.clusters.arrange(self.evaluation.responsibilities(observations, num_samples), num_clusters)

    @undisturbed()
    def score(self, data: Any) -> float:
        """Mean ELBO in nats an observation, from one posterior sample each."""
        return self.evaluation.elbo(self.modality.read(data)).elbo

    def probabilities_at(self, latents: NDArray[np.float32], num_clusters: int | None = None) -> NDArray[np.float64]:
        """As :meth:`predict_proba`, at posterior means ``[N, D]``: a block of rows at a time."""
        return self.probability_blocks(latents, num_clusters).whole()

    def probability_blocks(self, latents: NDArray[np.float32], num_clusters: int | None = None) -> RowBlocks:
        """As :meth:`probabilities_at`, read a block of rows at a time."""
        clusters, components = self.clusters, self._responsibilities_at(latents)
        shape = len(latents), components.shape[1] if num_clusters is None else num_clusters
        return RowBlocks(shape, lambda rows: clusters.arrange(components.block(rows), num_clusters))

    def _responsibilities_at(self, latents: NDArray[np.float32]) -> RowBlocks:
        evaluation = self.evaluation
        shape = len(latents), self.model.prior.num_components
        return RowBlocks(shape, lambda rows: evaluation.responsibilities_at(latents[rows]))

    def rejoined(self, observations: Observations, merging: str, evidence_weight: float | None) -> Fit:
        """The fit with other clusters of ``observations``, and nothing known of their stability."""
        options = {**self.options, "merging": merging, "evidence_weight": evidence_weight}
        fit = replace(self, modality=replace(self.modality, options=options), stability=None)
        fit.find_clusters(observations)
        return fit

    def find_clusters(self, observations: Observations) -> None:
        """Encode the observations, once, and join components to clusters of them."""
        self.latents = self.evaluation.posterior_mean(observations)
        responsibilities = self._responsibilities_at(self.latents).kept_if_small()
        merging, weight = self.options["merging"], self.options["evidence_weight"]
        self.clusters = Clusters.of(responsibilities, self.latents, self._prior_weights, merging, weight)
        self.labels = self.clusters.assign(responsibilities)

    # ---- questions about the model -----------------------------------------------------------------------------------

    @undisturbed()
    def sample(
        self, number: int, cluster: int | None = None, *, means: bool = False, seed: int | None = None
    ) -> NDArray[np.floating[Any]]:
        """Draw observations ``[number, F]``, or their means, of a model without covariates; see :meth:`pyro_vmm.VMM.sample`."""
        noise = (
            RandomNumbers(self.evaluation.device) if seed is None else OwnRandomNumbers(seed, self.evaluation.device)
        )
        with noise, torch.no_grad(), evaluation_mode(self.model):
            z = self.model.prior.sample(number) if cluster is None else self._latents_of(number, cluster)
            observation = self.model.observation(z)
            return self.modality.in_data_units(observation.mean if means else observation.sample())

    @undisturbed()
    def decoded_centres(self) -> NDArray[np.floating[Any]]:
        """Mean observation at each cluster's centre, ``[K, F]``: that of its heaviest component."""
        with torch.no_grad(), evaluation_mode(self.model):
            order = torch.as_tensor(self.component_order_)
            return self.modality.in_data_units(self.model.observation(self.model.prior.centres[order]).mean)

    @undisturbed()
    def pseudo_inputs(self) -> NDArray[np.floating[Any]] | None:
        """Pseudo-input of each cluster's heaviest component, ``[K, F]``; None where the prior has none."""
        encoded = getattr(self.model.prior, "encoded_centres", None)
        if encoded is None:
            return None
        with torch.no_grad():
            inputs, _ = encoded.pseudo_inputs()
            return self.modality.in_data_units(inputs[torch.as_tensor(self.component_order_)])

    @undisturbed()
    def diagnose(self, data: Any = None) -> Diagnosis:
        """Say in words whether the fit went well; without data, what can be said of the clusters and the training."""
        from pyro_vmm.diagnosis.fits import diagnose

        return diagnose(self, None if data is None else self.observe(data))

    @undisturbed()
    def save(self, directory: str | Path, *, overwrite: bool = False) -> None:
        """Write the fit into a folder; see :meth:`pyro_vmm.VMM.save`."""
        from pyro_vmm.fit.storage import save_checked

        save_checked(self, directory, overwrite=overwrite)

    @classmethod
    def load(cls, directory: str | Path, **objects: Any) -> Fit:
        """Read what :meth:`save` wrote; ``objects`` gives again what cannot be stored, by the option's name.

        Raises
        ------
        UserError
            If a file is missing, damaged, foreign or newer than this version, or an object has to be given again.
        """
        from pyro_vmm.fit.storage import load

        return load(as_folder(directory), objects)

    # ---- inside ------------------------------------------------------------------------------------------------------

    @property
    def _prior_weights(self) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = self.model.prior.weights.detach().double().cpu().numpy()
        return weights

    def _latents_of(self, number: int, cluster: int) -> torch.Tensor:
        """Draw latents ``[number, D]`` from the components of one cluster, each as often as its weight says."""
        members = self.clusters.members(cluster)
        prior = self.model.prior
        if len(members) == 1:
            return prior.sample(number, int(members[0]))
        drawn = torch.as_tensor(self._prior_weights[members]).multinomial(number, replacement=True)
        z = [
            prior.sample(count, int(member))
            for member, count in zip(members, drawn.bincount().tolist(), strict=False)
            if count
        ]
        return torch.cat(z)[torch.randperm(number)]
