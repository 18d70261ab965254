"""The diagnosis of a :class:`pyro_vmm.VMM`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vmm.diagnosis.finding import Diagnosis, Finding
from pyro_vmm.diagnosis.overlapping_clusters import shared_observations
from pyro_vmm.diagnosis.posteriors import Posteriors
from pyro_vmm.diagnosis.questions import of_clusters, of_observations, of_training
from pyro_vmm.diagnosis.sampled_rows import sampled_rows
from pyro_vmm.diagnosis.unstable import unstable
from pyro_vmm.errors import UserError
from pyro_vmm.observations import InMemory

if TYPE_CHECKING:
    from pyro_vmm.vmm import VMM

MOST_ROWS = 3000
FEWEST_ROWS = 10
"""Fewer observations have no distribution to speak of."""


def diagnose_arrays(model: VMM, X: Any = None) -> Diagnosis:
    """Say in words how a fit went; see :meth:`pyro_vmm.VMM.diagnose`."""
    return Diagnosis.of(_findings(model, X))


def _findings(model: VMM, X: Any) -> Iterator[Finding]:
    sizes = np.bincount(model.labels_)
    yield from of_clusters(sizes, model.merge_tree_, model.model_.prior.num_components)
    yield from of_training(model.history_)
    if model.stability_ is not None:
        yield unstable(model.stability_)
    if X is None:
        yield Finding(
            "embedding",
            "notice",
            "Posteriors, reconstruction and guide were not looked at, since the model does not keep its data.",
            "Give observations: diagnose(X).",
        )
        return
    x = model._observations(X)
    if len(x) < FEWEST_ROWS:
        raise UserError(f"X has {len(x)} observations: give at least {FEWEST_ROWS} to diagnose a fit by.")
    looked_at, evaluation = InMemory(x).subset(sampled_rows(len(x), MOST_ROWS)), model._evaluation
    if model.model_.prior.num_components > 1:
        yield shared_observations(model.clusters_.arrange(evaluation.responsibilities(looked_at)))
    yield from of_observations(evaluation, looked_at, Posteriors.of(evaluation, looked_at), sizes, len(x))
