"""The diagnosis of a fit, whatever its data are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.diagnosis.absorbed_groups import absorbed_groups
from pyro_vmm.diagnosis.batch_effect import batch_effect
from pyro_vmm.diagnosis.finding import Diagnosis, Finding
from pyro_vmm.diagnosis.label_neighbours import label_neighbours
from pyro_vmm.diagnosis.neighbours import MOST_ROWS
from pyro_vmm.diagnosis.overlapping_clusters import shared_observations
from pyro_vmm.diagnosis.posteriors import Posteriors
from pyro_vmm.diagnosis.questions import of_clusters, of_observations, of_training
from pyro_vmm.diagnosis.sampled_rows import sampled_rows
from pyro_vmm.diagnosis.unstable import unstable
from pyro_vmm.errors import UserError
from pyro_vmm.fit import Fit, ObservedFit
from pyro_vmm.observations import Groups

MOST_FOR_CLUSTERS = 20_000
"""Observations whose clusters are looked at; neighbours and posteriors are of the first few thousand of them."""
FEWEST = 10
"""Fewer observations have no distribution to speak of."""


def diagnose(
    fit: Fit,
    observed: ObservedFit | None,
    *,
    labels: NDArray[Any] | None = None,
    batches: Groups | None = None,
    batch_key: str | None = None,
    count_given: bool = False,
) -> Diagnosis:
    """Say in words how a fit went.

    Parameters
    ----------
    fit
        The fit.
    observed
        The fit together with N observations; None for what can be said without observations.
    labels
        Known labels, ``[N]``, read for one finding and for nothing else.
    batches
        Groups to look for a batch effect by; None for the batches of the observations, if they have any.
    batch_key
        Name of the column of ``batches``, if the fit does not know this column.
    count_given
        Count the clusters of the observations given, rather than of those fitted.

    Raises
    ------
    UserError
        For fewer than ten observations and fewer than two labels, and without observations where version 0.1 stored the fit
        of cells.
    """
    return Diagnosis.of(_findings(fit, observed, labels, batches, batch_key, count_given))


def _findings(
    fit: Fit,
    observed: ObservedFit | None,
    labels: NDArray[Any] | None,
    batches: Groups | None,
    batch_key: str | None,
    count_given: bool,
) -> Iterator[Finding]:
    if observed is not None and len(observed) < FEWEST:
        raise UserError(f"There are {len(observed)} {fit.modality.noun}: give at least {FEWEST} to diagnose a fit by.")
    number = 0 if observed is None else len(observed)
    rows = sampled_rows(number, MOST_FOR_CLUSTERS)
    looked_at = None if observed is None else observed.subset(rows)
    counted = fit.labels
    if counted is None or (count_given and looked_at is not None):  # version 0.1 stored none of cells
        if looked_at is None:
            raise UserError(
                f"Version 0.1 stored the fit without its clusters: give {fit.modality.noun}, diagnose(data)."
            )
        counted = looked_at.assignment
    sizes = np.bincount(counted)
    several = fit.model.prior.num_components > 1
    yield from of_clusters(sizes, fit.clusters.merge_tree, fit.model.prior.num_components)
    if looked_at is not None and several:
        yield shared_observations(looked_at.probabilities)
        yield absorbed_groups(looked_at.latents, looked_at.components, looked_at.assignment, number)
    yield from of_training(fit.history)
    if fit.stability is not None:
        yield unstable(fit.stability)
    if looked_at is None:
        yield Finding(
            "embedding",
            "notice",
            "Posteriors, reconstruction and guide were not looked at, since the model does not keep its data.",
            "Give observations: diagnose(X).",
        )
        return
    near = looked_at.subset(np.arange(min(MOST_ROWS, len(looked_at))))
    posteriors = Posteriors.of(fit.evaluation, near.observations)
    yield from of_observations(fit.evaluation, near.observations, posteriors, sizes, number)
    known = looked_at.groups.get("batch") if batches is None else batches.of(rows)
    if known is not None and len(known.names) > 1:
        codes = known.codes[: len(near)]
        yield batch_effect(posteriors.loc, codes, known.names, near.assignment, number, batch_key=batch_key)
    if labels is not None:
        yield label_neighbours(posteriors.loc, labels[rows][: len(near)], number)
