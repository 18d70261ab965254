"""Smooth bounds that keep parameters finite by construction."""

import torch
from torch import Tensor

from pyro_vmm.shapes import Float


def bounded(unbounded: Float[Tensor, "*shape"], limit: float) -> Float[Tensor, "*shape"]:
    """Map the real line to ``(-limit, limit)``; close to the identity where ``|unbounded|`` is well below ``limit``.

    The MAP densities of section 4 are unbounded at the edge of the simplex, so that an optimiser would follow a dying
    component's logit for ever: ``limit * tanh(unbounded / limit)`` lets it come to rest instead.
    """
    return limit * torch.tanh(unbounded / limit)


def inverse_bounded(value: Float[Tensor, "*shape"], limit: float) -> Float[Tensor, "*shape"]:
    """Undo :func:`bounded`; values at or beyond the bound are taken just inside it."""
    edge = 1.0 - (1e-6 if value.dtype == torch.float32 else 1e-12)
    return limit * torch.atanh((value / limit).clamp(-edge, edge))
