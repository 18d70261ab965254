"""A fit together with observations: what checks, pictures and reports ask, each worked out once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.clustering.row_blocks import RowBlocks
from pyro_vmm.errors import UserError
from pyro_vmm.evaluation import ROWS_AT_ONCE
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.observations import Groups, InMemory, Observations, in_order

if TYPE_CHECKING:
    from pyro_vmm.fit.fit import Fit


@runtime_checkable
class Observing(Protocol):
    """A fit, a face of one, or a fit that observes already."""

    def observe(self, data: Any = None) -> ObservedFit:
        """The fit together with these observations; None for those fitted, where they are kept."""
        ...


@dataclass(eq=False)
class ObservedFit:
    """A fit and N observations.

    Attributes
    ----------
    fit
        The fit.
    observations
        As the model takes them.
    known_latents
        Posterior means of these observations, ``[N, D]``, where somebody has encoded them already.
    """

    fit: Fit
    observations: Observations
    known_latents: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.observations)

    @property
    def model(self) -> LatentMixtureModel:
        """As trained."""
        return self.fit.model

    @property
    def guide(self) -> AmortizedNormal:
        """As trained."""
        return self.fit.guide

    @cached_property
    def latents(self) -> NDArray[np.float32]:
        """Posterior means, ``[N, D]``."""
        if self.known_latents is not None:
            return self.known_latents
        return self.fit.evaluation.posterior_mean(self.observations)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Responsibilities of the clusters, ``[N, K]``."""
        return self.probability_blocks.whole()

    def probabilities_of(self, num_clusters: int | None = None) -> NDArray[np.float64]:
        """Responsibilities of so many clusters, ``[N, num_clusters]``; of those found for None."""
        return self.fit.probabilities_at(self.latents, num_clusters)

    @cached_property
    def probability_blocks(self) -> RowBlocks:
        """As :attr:`probabilities`, read a block of rows at a time, and kept only where there are few."""
        return self.fit.probability_blocks(self.latents).kept_if_small()

    @cached_property
    def assignment(self) -> NDArray[np.int64]:
        """The most probable cluster of each observation, ``[N]``."""
        return np.concatenate([block.argmax(1) for block in self.probability_blocks])

    @cached_property
    def components(self) -> NDArray[np.int64]:
        """The most probable component of each observation, ``[N]``."""
        return self.fit.evaluation.responsibilities_at(self.latents).argmax(1)

    @property
    def groups(self) -> Mapping[str, Groups]:
        """Known groups of the observations by name."""
        return self.observations.groups

    @property
    def feature_names(self) -> NDArray[np.str_]:
        """``[F]``; numbered where they have no names."""
        named = self.fit.modality.feature_names
        return numbered_features(self.observations.num_features) if named is None else named

    def in_data_units(self) -> Iterator[NDArray[np.floating[Any]]]:
        """The observations in the data's units, a block ``[B, F]`` at a time, as they were given where that is known."""
        observations = self.observations
        if isinstance(observations, InMemory) and observations.given is not None:
            for rows in torch.arange(len(self)).split(ROWS_AT_ONCE):
                yield observations.given[rows.numpy()]
            return
        for x, _ in in_order(observations, ROWS_AT_ONCE, torch.device("cpu")):
            yield self.draws_in_data_units(x)

    def draws_in_data_units(self, draws: Tensor) -> NDArray[np.floating[Any]]:
        """What the model draws, ``[B, F]``, in the data's units."""
        return self.fit.modality.in_data_units(draws)

    def observe(self, data: Any = None) -> ObservedFit:
        """Itself, so that it can stand wherever a fit is asked for.

        Raises
        ------
        UserError
            For other observations.
        """
        if data is not None:
            raise UserError("An ObservedFit has its own observations: leave data out.")
        return self

    def tensor(self) -> torch.Tensor:
        """All observations at once, ``[N, F]``, where the model is."""
        return self.observations.minibatch(torch.arange(len(self)), self.fit.evaluation.device).x

    def subset(self, rows: NDArray[np.int64]) -> ObservedFit:
        """The fit beside the observations ``rows [B]``."""
        known = None if "latents" not in vars(self) and self.known_latents is None else self.latents[rows]
        return ObservedFit(self.fit, self.observations.subset(rows), known)


def numbered_features(number: int) -> NDArray[np.str_]:
    """Names ``[F]`` of features that have none."""
    return np.array([f"feature_{place}" for place in range(number)], dtype=np.str_)
