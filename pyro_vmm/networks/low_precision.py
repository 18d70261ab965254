"""Wide layers whose products are taken in bfloat16, inside a model in float32."""

import functools
import time
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vmm.calling_code import warn_caller
from pyro_vmm.networks.linear import NARROWEST, Linear, linear
from pyro_vmm.shapes import Float

MOST_SLOWDOWN = 1.5
"""Where a product in bfloat16 takes more than so many times as long as in float32, low precision is warned of."""


class LowPrecisionLinear(nn.Linear):
    """A linear map that multiplies in bfloat16 and adds its bias in float32.

    A bias may be large beside what is added to it, as the mean expression of a gene is, and would lose digits.
    """

    def forward(self, input: Float[Tensor, "*batch in_features"]) -> Float[Tensor, "*batch out_features"]:
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
    Linear: LowPrecisionLinear,
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
        Changed in place, the names of its parameters kept: those of its linear and convolutional layers (of torch's own
        classes, or this package's ``Linear``) that have 64 inputs and outputs or more.
    spare_the_last
        Leave the last of these layers as it is: an encoder's, whose results are looked at as they are.
    """
    layers = [layer for layer in network.modules() if type(layer) in _IN_BFLOAT16]
    for layer in layers[:-1] if spare_the_last else layers:
        if min(_ends(layer)) >= NARROWEST:
            layer.__class__ = _IN_BFLOAT16[type(layer)]


@functools.cache
def slowdown(device: torch.device) -> float:
    """Time of a product of wide layers in bfloat16, as a multiple of that in float32; the best of a few each.

    Half and less on a processor with instructions for bfloat16, many times as much on one without. A GPU is not timed: 0.
    """
    if device.type != "cpu":
        return 0.0
    best = []
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = torch.ones(256, 512, dtype=dtype), torch.ones(128, 512, dtype=dtype)
        seconds = []
        for _ in range(6):
            start = time.perf_counter()
            linear(x, weight)
            seconds.append(time.perf_counter() - start)
        best.append(min(seconds))
    return best[1] / best[0]


def warn_where_it_is_slow(device: torch.device) -> None:
    """Warn before a training in low precision that will take longer than one without."""
    times = slowdown(device)
    if times > MOST_SLOWDOWN:
        warn_caller(
            f"Low precision was asked for, but this processor takes {times:.0f} times as long for products in bfloat16 as in "
            "float32: training will be slower, not faster. Leave it out."
        )


def _ends(layer: Any) -> tuple[int, int]:
    """How many inputs one output is made from, and outputs one input goes into."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    places = layer.weight[0, 0].numel()
    return layer.in_channels * places, layer.out_channels * places
