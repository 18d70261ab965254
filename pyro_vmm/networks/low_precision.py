"""A network in bfloat16, inside a model in float32."""

from typing import Any

import torch
from torch import Tensor, nn


class LowPrecision(nn.Module):
    """Runs a network under bfloat16 autocast and returns float32.

    Matrix products of encoder and decoder run on a GPU's tensor cores; densities, whose differences matter, stay in
    float32. Parameters stay in float32 as well.

    Parameters
    ----------
    network
        Any module that returns one tensor.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, **covariates: Any) -> Tensor:
        """The network's output in float32."""
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            output: Tensor = self.network(x, **covariates)
        return output.float()
