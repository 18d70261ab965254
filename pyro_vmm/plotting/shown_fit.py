"""What the pictures of a fit are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.clustering import typical_observations
from pyro_vmm.errors import UserError
from pyro_vmm.fit import ObservedFit
from pyro_vmm.fit.observed import Observing
from pyro_vmm.plotting.history import as_table

SAMPLES_PER_CLUSTER = 8


@dataclass(frozen=True, eq=False)
class ShownClusters:
    """The clusters in use, each shown by its heaviest component, heaviest cluster first.

    Attributes
    ----------
    ids
        Their numbers, ``[C]``.
    centres, pseudo_inputs
        Of the heaviest component, ``[C, F]``; pseudo-inputs are None where the prior has none.
    typical, samples
        Observations nearest to the mean of the cluster, and draws from all of its components, ``[C, T, F]``; None for
        observations that are no images.
    image_shape
        Of an observation that is an image.
    feature_names
        Of the F features; None for their positions.
    """

    ids: NDArray[np.int64]
    centres: NDArray[Any]
    pseudo_inputs: NDArray[Any] | None
    typical: NDArray[Any] | None
    samples: NDArray[Any] | None
    image_shape: tuple[int, ...] | None
    feature_names: Sequence[str] | None


@dataclass(frozen=True, eq=False)
class ShownFit:
    """A fit and the observations that it is looked at with.

    Attributes
    ----------
    history
        As for :func:`~pyro_vmm.plotting.training.training_curves`.
    latent, responsibilities
        Of the observations, ``[N, D]`` and ``[N, K]``.
    weights
        Of the columns of the responsibilities, ``[K]``.
    clusters
        None where a model's centres are not decoded without covariates, as for single cells.
    """

    history: pd.DataFrame
    latent: NDArray[Any]
    responsibilities: NDArray[np.float64]
    weights: NDArray[np.float64]
    clusters: ShownClusters | None

    @classmethod
    def of(cls, fit: Any, data: Any, feature_names: Sequence[str] | None) -> ShownFit:
        """Ask a fit for everything that is drawn; see :func:`pyro_vmm.plotting.save_figures`.

        Raises
        ------
        UserError
            For a fit of another kind, and for observations that are missing or cannot be read.
        """
        if not isinstance(fit, Observing):
            raise UserError(f"fit is a {type(fit).__name__}: give a fitted VMM, SingleCellVMM or Fit.")
        observed = fit.observe(data)
        return cls(
            as_table(observed.fit.history),
            observed.latents,
            observed.probabilities,
            observed.fit.weights_,
            _clusters(observed, feature_names),
        )


def _clusters(observed: ObservedFit, feature_names: Sequence[str] | None) -> ShownClusters | None:
    fit = observed.fit
    if not fit.model.needs_latents_alone:
        return None
    ids = np.arange(fit.n_clusters_)
    ids = ids[np.argsort(-fit.weights_[ids], kind="stable")]
    inputs, names = fit.pseudo_inputs(), fit.modality.feature_names
    if feature_names is None and names is not None:
        feature_names = names.tolist()
    image_shape = fit.options.get("image_shape")
    typical = samples = None
    if image_shape is not None:
        x = np.concatenate(list(observed.in_data_units()))
        typical = typical_observations(x, observed.latents, observed.assignment, ids)
        drawn = (fit.sample(SAMPLES_PER_CLUSTER, int(each), seed=seed) for seed, each in enumerate(ids))
        samples = np.stack(list(drawn))
    return ShownClusters(
        ids=ids,
        centres=fit.decoded_centres()[ids],
        pseudo_inputs=None if inputs is None else inputs[ids],
        typical=typical,
        samples=samples,
        image_shape=None if image_shape is None else tuple(image_shape),
        feature_names=feature_names,
    )
