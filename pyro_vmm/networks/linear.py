"""Linear maps by the quicker of torch's two libraries for products."""

from typing import Any

import torch
from torch import Tensor, nn

from pyro_vmm.shapes import Float

NARROWEST = 64
"""Layers of fewer inputs or outputs are left to torch: they cost little."""

HAS_ONEDNNS_PRODUCT = hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""It is no public function of torch's; were it to go, all layers would be left to the BLAS."""

WHOLE_ROWS = 16
"""Where nothing is trained, oneDNN is given whole multiples of so many rows, and the rest is left to torch."""


class Linear(nn.Linear):
    """``torch.nn.Linear`` in everything but the library that multiplies (:func:`linear`)."""

    def forward(self, input: Float[Tensor, "*batch in_features"]) -> Float[Tensor, "*batch out_features"]:
        """``[..., in_features]`` to ``[..., out_features]``."""
        return linear(input, self.weight, self.bias)


def linear(
    input: Float[Tensor, "*batch I"], weight: Float[Tensor, "O I"], bias: Float[Tensor, "O"] | None = None
) -> Float[Tensor, "*batch O"]:
    """``torch.nn.functional.linear``, ``input [..., I]`` by ``weight [O, I]``, the wide ones by oneDNN where that is quicker.

    On a processor torch leaves products in float32 to its BLAS. MKL, the usual one, took twice as long as oneDNN, which
    torch brings for convolutions, on an AMD processor with AVX-512. Both are exact to float32's rounding, and round in
    another order. ``torch.backends.mkldnn.enabled = False`` leaves everything to the BLAS.
    """
    if not (_is_wide(input, weight) and _goes_by_onednn(input, weight)):
        return nn.functional.linear(input, weight, bias)
    rows = input.reshape(-1, input.shape[-1])
    if torch.is_grad_enabled() and (input.requires_grad or weight.requires_grad):
        product: Tensor = _Affine.apply(rows, weight, bias)
    else:
        product = _in_whole_rows(rows, weight, bias)
    return product.reshape(*input.shape[:-1], len(weight))


def _in_whole_rows(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same without gradients, for any number of rows: oneDNN compiles each shape, and keeps half a megabyte for it."""
    whole = len(rows) - len(rows) % WHOLE_ROWS
    rest = nn.functional.linear(rows[whole:], weight, bias)
    if not whole:
        return rest
    product: Tensor = _Affine.apply(rows[:whole], weight, bias)
    return torch.cat([product, rest]) if len(rest) else product


def _is_wide(input: Tensor, weight: Tensor) -> bool:
    return min(weight.shape) >= NARROWEST and input.shape[-1:] == weight.shape[1:] and input.numel() > 0


def _goes_by_onednn(*factors: Tensor) -> bool:
    """Whether these are float32 on a processor with AVX-512, and nobody else has a say in how products are taken."""
    return (
        not torch.compiler.is_compiling()
        and HAS_ONEDNNS_PRODUCT
        and all(factor.dtype == torch.float32 and factor.device.type == "cpu" for factor in factors)
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
    )


class _Affine(torch.autograd.Function):
    """``a @ b.T + c`` for ``a [N, I]``, ``b [O, I]`` and ``c [O]`` or None, differentiable as often as one likes."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, c: Tensor | None) -> Tensor:
        ctx.save_for_backward(a, b)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, c, "none", [], "")
        return product

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        of_a, of_b, of_c = ctx.needs_input_grad
        return (
            _Affine.apply(gradient, b.T, None) if of_a else None,
            _Affine.apply(gradient.T, a.T, None) if of_b else None,
            gradient.sum(0) if of_c else None,
        )
