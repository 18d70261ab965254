"""Wide layers whose products are taken in bfloat16, inside a model in float32."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

NARROWEST = 64
"""Layers of fewer inputs or outputs stay as they are: they cost little."""


class LowPrecisionLinear(nn.Linear):
    """A linear map that multiplies in bfloat16 and adds its bias in float32.

    A bias may be large beside what is added to it, as the mean expression of a gene is, and would lose digits.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[..., in_features]`` to ``[..., out_features]``, both float32."""
        product = linear(input.bfloat16(), self.weight.bfloat16()).float()
        return product if self.bias is None else product.add_(self.bias)


class LowPrecisionConv2d(nn.Conv2d):
    """A convolution in bfloat16."""

    def forward(self, input: Tensor) -> Tensor:
        """As a convolution does, from float32 to float32."""
        with torch.autocast(input.device.type, dtype=torch.bfloat16):
            return super().forward(input).float()


class LowPrecisionConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution in bfloat16."""

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """As a transposed convolution does, from float32 to float32."""
        with torch.autocast(input.device.type, dtype=torch.bfloat16):
            return super().forward(input, output_size).float()


_IN_BFLOAT16: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: LowPrecisionLinear,
    nn.Conv2d: LowPrecisionConv2d,
    nn.ConvTranspose2d: LowPrecisionConvTranspose2d,
}


def lower_precision(network: nn.Module, *, spare_the_last: bool = False) -> None:
    """Have the wide layers of a network multiply in bfloat16, which tensor cores and recent processors do several times as fast.

    Parameters, gradients, what passes between layers, densities and statistics stay in float32: rounded, to two or three
    digits, are the factors of each product and its result.

    Parameters
    ----------
    network
        Changed in place, the names of its parameters kept: those of its linear and convolutional layers (of torch's own classes)
        that have :data:`NARROWEST` inputs and outputs or more.
    spare_the_last
        Leave the last of these layers as it is: an encoder's, whose results are looked at as they are.
    """
    layers = [layer for layer in network.modules() if type(layer) in _IN_BFLOAT16]
    for layer in layers[:-1] if spare_the_last else layers:
        if min(_ends(layer)) >= NARROWEST:
            layer.__class__ = _IN_BFLOAT16[type(layer)]


def _ends(layer: Any) -> tuple[int, int]:
    """How many inputs one output is made from, and outputs one input goes into."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    places = layer.weight[0, 0].numel()
    return layer.in_channels * places, layer.out_channels * places
