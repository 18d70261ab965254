"""What a training and its questions need of observations, wherever these lie."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Minibatch(NamedTuple):
    """Observations on a device, with what is known of them."""

    x: Tensor
    """``[B, F]``."""
    covariates: dict[str, Tensor]
    """By name, ``B`` rows each."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Known groups of observations, such as batches.

    Attributes
    ----------
    codes
        Group of each observation, ``[N]``, int64, places in ``names``.
    names
        Of the groups.
    """

    codes: NDArray[np.int64]
    names: tuple[str, ...]

    def of(self, rows: NDArray[np.int64]) -> "Groups":
        """The groups of these rows ``[B]``; names stay."""
        return Groups(self.codes[rows], self.names)

    @property
    def named(self) -> NDArray[np.str_]:
        """Name of each observation's group, ``[N]``."""
        return np.array(self.names, dtype=np.str_)[self.codes]


class Observations(Protocol):
    """N observations of F features with their covariates: in memory, on disk or from elsewhere.

    :class:`~pyro_vmm.testing.ObservationsContract` tests an implementation of one's own.
    """

    @property
    def num_features(self) -> int:
        """``F``."""
        ...

    @property
    def groups(self) -> Mapping[str, Groups]:
        """Known groups by name, ``"batch"`` among them where there are batches; each has members that are trained on."""
        ...

    def __len__(self) -> int:
        """``N``."""
        ...

    def minibatch(self, rows: Tensor, device: torch.device) -> Minibatch:
        """The rows ``[B]`` (numbers from 0, in any order) as tensors on ``device``."""
        ...

    def order(self, epoch: int, batch_size: int, seed: int) -> Sequence[Tensor]:
        """Row numbers of each minibatch of an epoch: a function of the arguments, every row once, as many in every epoch."""
        ...

    def subset(self, rows: NDArray[np.int64]) -> "Observations":
        """The observations ``rows [B]``, in the order given."""
        ...

    def fingerprint(self) -> str:
        """What tells these observations and covariates from others: the same wherever they lie."""
        ...


def in_order(observations: Observations, rows_at_once: int, device: torch.device) -> Iterator[Minibatch]:
    """One pass over all rows, from the first to the last."""
    for rows in torch.arange(len(observations)).split(rows_at_once):
        yield observations.minibatch(rows, device)
