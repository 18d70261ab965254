"""Transforms of ``torch.func`` around the present call."""

import torch


def inside_transform() -> bool:
    """Whether a tensor may stand for many, as in ``torch.func.vmap``, so that no branch can depend on its numbers."""
    return torch._C._functorch.peek_interpreter_stack() is not None
