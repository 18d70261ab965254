"""Which questions are put to a fit, whatever its data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pyro_vmm.clustering import MergeTree
from pyro_vmm.diagnosis.convergence import convergence, falling_clusters
from pyro_vmm.diagnosis.finding import Finding
from pyro_vmm.diagnosis.guide_quality import DRAWS, guide_quality
from pyro_vmm.diagnosis.guide_quality import MOST_ROWS as ROWS_FOR_RATIOS
from pyro_vmm.diagnosis.lost_structure import information_in_embedding, reconstruction, reconstruction_gain
from pyro_vmm.diagnosis.one_cluster import one_cluster
from pyro_vmm.diagnosis.over_fitting import over_fitting
from pyro_vmm.diagnosis.overlapping_clusters import overlapping_clusters
from pyro_vmm.diagnosis.posterior_collapse import posterior_collapse
from pyro_vmm.diagnosis.posteriors import Posteriors
from pyro_vmm.diagnosis.small_clusters import small_clusters
from pyro_vmm.diagnosis.truncation import truncation
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.observations import Observations
from pyro_vmm.priors import StandardNormal

ROWS_FOR_RECONSTRUCTION = 1000


def of_training(history: pd.DataFrame) -> Iterator[Finding]:
    """What the history ``[epochs]`` says: convergence, components still falling, over-fitting."""
    yield convergence(history)
    for finding in (falling_clusters(history), over_fitting(history)):
        if finding is not None:
            yield finding


def of_clusters(sizes: ArrayLike, tree: MergeTree, num_components: int) -> Iterator[Finding]:
    """What the clusters of the data fitted say: their number, sizes ``[C]`` and overlap.

    Parameters
    ----------
    sizes
        Observations in each cluster, ``[C]``.
    tree
        How the clusters would go on joining.
    num_components
        Truncation ``K``.
    """
    yield one_cluster(sizes, num_components)
    if num_components > 1:
        yield overlapping_clusters(tree)
        yield small_clusters(sizes)
        yield truncation(int(np.count_nonzero(sizes)), num_components)


def of_observations(
    evaluation: Evaluation,
    observations: Observations,
    posteriors: Posteriors,
    sizes: ArrayLike,
    num_observations: int,
) -> Iterator[Finding]:
    """What posteriors and decoder say of observations.

    Parameters
    ----------
    evaluation
        Model and guide.
    observations
        M of them in random order.
    posteriors
        Of the same observations.
    sizes
        Observations in each cluster, ``[C]``.
    num_observations
        Of how many observations they were drawn.
    """
    standard = isinstance(evaluation.model.prior, StandardNormal)
    yield posterior_collapse(posteriors, num_observations, standard_normal=standard)
    yield information_in_embedding(posteriors, sizes, num_observations)
    few = _first_rows(observations, ROWS_FOR_RECONSTRUCTION)
    yield reconstruction(reconstruction_gain(evaluation, few), len(few), num_observations)
    few = _first_rows(observations, ROWS_FOR_RATIOS)
    yield guide_quality(evaluation.log_ratios(few, num_samples=DRAWS)[0], num_observations)


def _first_rows(observations: Observations, number: int) -> Observations:
    return observations.subset(np.arange(min(number, len(observations))))
