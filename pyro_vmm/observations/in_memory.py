"""Observations in the computer's memory, or on a device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.devices import resident
from pyro_vmm.observations.base import Groups, Minibatch, Observations
from pyro_vmm.observations.fingerprint import fingerprint
from pyro_vmm.observations.orders import minibatches
from pyro_vmm.observations.sparse_rows import Covariate, Rows, SparseRows, dense_rows


@dataclass(frozen=True, eq=False)
class InMemory:
    """Observations as a tensor or as sparse rows; see :class:`~pyro_vmm.observations.Observations`.

    Attributes
    ----------
    x
        ``[N, F]``.
    covariates
        By name, N rows each.
    groups
        Known groups by name.
    given
        The same observations in the data's units, ``[N, F]``; None where those are ``x``.
    """

    x: Rows
    covariates: Mapping[str, Covariate] = field(default_factory=dict)
    groups: Mapping[str, Groups] = field(default_factory=dict)
    given: NDArray[Any] | None = None

    @property
    def num_features(self) -> int:
        """``F``."""
        return int(self.x.shape[1])

    def __len__(self) -> int:
        return len(self.x)

    def minibatch(self, rows: Tensor, device: torch.device) -> Minibatch:
        """The rows ``[B]`` as tensors on ``device``."""
        beside = {name: dense_rows(values, rows, device) for name, values in self.covariates.items()}
        return Minibatch(dense_rows(self.x, rows, device), beside)

    def order(self, epoch: int, batch_size: int, seed: int) -> Sequence[Tensor]:
        """A fresh permutation; see :func:`~pyro_vmm.observations.minibatches`."""
        return minibatches(len(self), batch_size, seed=seed, epoch=epoch)

    def subset(self, rows: NDArray[np.int64]) -> "InMemory":
        """The observations ``rows [B]``."""
        numbers = torch.as_tensor(rows)
        x = self.x.subset(numbers) if isinstance(self.x, SparseRows) else self.x[numbers.to(self.x.device)]
        return InMemory(
            x,
            {name: values[numbers.to(values.device)] for name, values in self.covariates.items()},
            {name: groups.of(numbers.numpy()) for name, groups in self.groups.items()},
            None if self.given is None else self.given[numbers.numpy()],
        )

    def fingerprint(self) -> str:
        """SHA-256 of observations and covariates."""
        return fingerprint(self.x, self.covariates)

    def resident(self, device: torch.device) -> "InMemory":
        """A tensor on the device where it takes less than half of what is free there; sparse rows stay where they are."""
        return replace(self, x=resident(self.x, device)) if isinstance(self.x, Tensor) else self

    def with_covariates(self, **covariates: Covariate) -> "InMemory":
        """The same observations with these covariates in place of those of the same name."""
        return replace(self, covariates={**self.covariates, **covariates})


def as_observations(x: Observations | Rows, covariates: Mapping[str, Covariate] | None = None) -> Observations:
    """``x`` itself where it is observations already, or a tensor ``[N, F]`` or sparse rows with their covariates."""
    return InMemory(x, covariates or {}) if isinstance(x, Tensor | SparseRows) else x
