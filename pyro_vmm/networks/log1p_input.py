"""A network that sees counts on a logarithmic scale."""

from typing import Any

import torch
from torch import Tensor, nn

from pyro_vmm.shapes import Real


class Log1pInput(nn.Module):
    """Gives ``log(1 + x)`` to a network, so that a count of thousands does not drown the others (section 2).

    Parameters
    ----------
    network
        Any module that returns one tensor; it is handed all covariates unchanged.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Real[Tensor, "*batch F"], **covariates: Any) -> Tensor:
        """The network's output at ``log(1 + x)``, for counts ``x [..., F]`` above -1."""
        output: Tensor = self.network(torch.log1p(x), **covariates)
        return output
