"""Pyro's objectives, each as a scalar to be differentiated."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from pyro.infer import ReweightedWakeSleep, TraceEnum_ELBO, TraceTailAdaptive_ELBO
from pyro.infer.elbo import ELBO
from torch import Tensor, nn

from pyro_vmm.errors import UserError
from pyro_vmm.local_module import UnstatedParameters
from pyro_vmm.shapes import Float

CHOICES = "Trace_ELBO, TraceMeanField_ELBO, TraceGraph_ELBO, TraceEnum_ELBO or RenyiELBO"


def check_objective(loss: Any) -> None:
    """Refuse what is no objective, and Pyro's that cannot be evaluated as one number of parameters of a module's own.

    Raises
    ------
    UserError
        That says which objectives there are.
    """
    name = type(loss).__name__
    if isinstance(loss, type) or not (isinstance(loss, ELBO) or hasattr(loss, "differentiable_loss")):
        shown = repr(loss) if isinstance(loss, str | type) else f"a {name}"
        raise UserError(f"loss is {shown}, no objective of Pyro's: give an object, such as Trace_ELBO().")
    if name.startswith("Jit"):
        raise UserError(
            f"loss={name}() reads parameters from Pyro's global store, where those of this model are not: choose {CHOICES}."
        )
    if isinstance(loss, ReweightedWakeSleep | TraceTailAdaptive_ELBO):
        raise UserError(
            f"loss={name}() is not one number to be minimised: choose {CHOICES}, or train all parameters by "
            f"pyro.infer.SVI(model.fitted, guide, optim, {name}(...))."
        )


def differentiable_loss(
    loss: Any,
    model: Callable[..., Any],
    guide: Callable[..., Any],
    parameters: Iterable[nn.Parameter],
    *args: Any,
    **kwargs: Any,
) -> Float[Tensor, ""]:
    """The objective as a scalar whose gradient by ``parameters`` is the objective's own.

    Some objectives only write gradients into parameters (``RenyiELBO``, ``TraceGraph_ELBO``): these are collected, and what
    was there before is put back.
    """
    if hasattr(loss, "differentiable_loss"):
        with UnstatedParameters():
            found: Tensor = loss.differentiable_loss(model, guide, *args, **kwargs)
        return found
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    before = [parameter.grad for parameter in learned]
    for parameter in learned:
        parameter.grad = None
    try:
        value = loss.loss_and_grads(model, guide, *args, **kwargs)
        gradients = [parameter.grad for parameter in learned]
    finally:
        for parameter, gradient in zip(learned, before, strict=True):
            parameter.grad = gradient
    total = torch.as_tensor(value, dtype=learned[0].dtype, device=learned[0].device)
    for parameter, gradient in zip(learned, gradients, strict=True):
        if gradient is not None:
            total = total + (gradient * (parameter - parameter.detach())).sum()
    return total


def evaluated_loss(
    loss: Any, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
) -> Float[Tensor, ""]:
    """The objective's value alone, a scalar."""
    differentiable = hasattr(loss, "differentiable_loss") and not isinstance(loss, TraceEnum_ELBO)
    value = (loss.differentiable_loss if differentiable else loss.loss)(model, guide, *args, **kwargs)
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
