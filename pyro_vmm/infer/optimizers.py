"""Optimisers of the two steps: from what the user chose to an optimiser of torch."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import torch
from pyro.optim import PyroOptim
from pyro.optim.lr_scheduler import PyroLRScheduler
from torch import nn
from torch.optim import Optimizer

from pyro_vmm.errors import UserError

OptimizerFactory: TypeAlias = Callable[[Iterable[nn.Parameter]], Optimizer]
OptimizerChoice: TypeAlias = float | OptimizerFactory | PyroOptim

PRIOR_RATE = 0.3
"""The prior's learning rate, by default, as a share of the networks'.

A component that dies early takes its observations to a neighbour, right or wrong, and none comes back; what lives too long is
joined after the fit. Held-out ELBOs are mostly better than at equal rates (benchmarks/README.md, "Rate of the prior").
"""


def prior_choice(optim: OptimizerChoice) -> OptimizerChoice:
    """What the prior is optimised by unless the user says: as the networks are, a learning rate times :data:`PRIOR_RATE`."""
    return PRIOR_RATE * optim if isinstance(optim, int | float) else optim


def decayed(rate: float, weight_decay: float) -> OptimizerChoice:
    """Adam with a learning rate, and with weights that decay towards zero where ``weight_decay`` is not 0."""
    if not weight_decay:
        return rate
    return functools.partial(torch.optim.Adam, lr=rate, weight_decay=weight_decay, fused=True)


def make_optimizer(choice: OptimizerChoice, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Build a torch optimiser from a learning rate (Adam, fused), a factory or a ``pyro.optim`` object.

    Raises
    ------
    UserError
        For a learning rate that is not positive, a ``pyro.optim`` object with per-parameter arguments, gradient clipping
        or a scheduler (which live in Pyro's own training loop), or something else altogether.
    """
    parameters = list(parameters)
    if isinstance(choice, PyroOptim):
        if callable(choice.pt_optim_args) or choice.pt_clip_args or isinstance(choice, PyroLRScheduler):
            raise UserError(
                "optim: a pyro.optim object can be used with one dictionary of arguments and without clip_args or "
                "scheduler: give a function from parameters to a torch optimiser, and learning_rate_schedule."
            )
        return choice.pt_optim_constructor(parameters, **choice.pt_optim_args)
    if callable(choice):
        optimizer = choice(parameters)
        if isinstance(optimizer, Optimizer):
            return optimizer
    if isinstance(choice, int | float) and 0.0 < choice < float("inf"):
        return torch.optim.Adam(parameters, lr=float(choice), fused=True)
    raise UserError(
        f"optim={choice!r}: give a positive learning rate or a function from parameters to a torch optimiser."
    )


def make_prior_optimizer(
    choice: OptimizerChoice, named: Mapping[str, nn.Parameter], weight_rate: float = 1.0
) -> tuple[Optimizer, dict[str, nn.Parameter]]:
    """Build the prior's optimiser, in which the mixture weights may have a learning rate of their own.

    Parameters
    ----------
    choice
        As for :func:`make_optimizer`.
    named
        The prior's parameters by name, each beginning with ``prior.``.
    weight_rate
        Learning rate of the mixture weights, as a multiple of ``choice``.

    Returns
    -------
    tuple
        The optimiser, and ``named`` in its order, by which a checkpoint names its state.

    Raises
    ------
    UserError
        As :func:`make_optimizer` does, for a rate that is not positive, and for one other than 1 where ``choice`` is no number.
    """
    optimizer = make_optimizer(choice, named.values())
    if weight_rate == 1.0:
        return optimizer, dict(named)
    if not isinstance(choice, int | float) or not 0.0 < weight_rate < float("inf"):
        raise UserError(
            f"weight_rate={weight_rate!r} needs to be a positive number, and prior_optim a learning rate: set the rates of your "
            "own optimiser's groups instead."
        )
    weights = {name: parameter for name, parameter in named.items() if name.startswith("prior.mixture_weights.")}
    others = {name: parameter for name, parameter in named.items() if name not in weights}
    groups: list[dict[str, Any]] = [
        {"params": list(members.values()), "lr": float(choice) * factor}
        for members, factor in ((others, 1.0), (weights, weight_rate))
        if members
    ]
    return torch.optim.Adam(groups, fused=True), others | weights
