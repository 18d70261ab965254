"""How a training step is made: in this process alone, or by whatever has the same two methods."""

from typing import Protocol

import torch
from torch import Tensor

from pyro_vmm.infer.empirical_bayes_svi import EmpiricalBayesSVI, StepLosses
from pyro_vmm.observations import Minibatch, Observations


class Strategy(Protocol):
    """What a :class:`~pyro_vmm.training.Trainer` asks of those that make its steps."""

    def minibatch(self, observations: Observations, rows: Tensor, device: torch.device) -> Minibatch:
        """The part of the minibatch ``rows [B]`` that this process trains on."""
        ...

    def step(self, svi: EmpiricalBayesSVI, minibatch: Minibatch) -> StepLosses:
        """Make the step; the losses are means over the whole minibatch."""
        ...


class OneProcess:
    """The whole step is made in this process."""

    def minibatch(self, observations: Observations, rows: Tensor, device: torch.device) -> Minibatch:
        """All of it."""
        return observations.minibatch(rows, device)

    def step(self, svi: EmpiricalBayesSVI, minibatch: Minibatch) -> StepLosses:
        """See :meth:`pyro_vmm.infer.EmpiricalBayesSVI.step`."""
        return svi.step(minibatch.x, **minibatch.covariates)
