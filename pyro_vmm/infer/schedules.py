"""Multipliers of a learning rate or of the KL term, as functions of the training step."""

import math
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, Protocol

from pyro_vmm.errors import Option, UserError
from pyro_vmm.option_checks import is_number
from pyro_vmm.plain_values import plain


class Schedule(Protocol):
    """From the number of steps taken so far (0, 1, ...) to a multiplier."""

    def __call__(self, step: int) -> float:
        """Multiplier at this step."""
        ...

    @property
    def settled_at(self) -> int:
        """The first step from which the multiplier no longer rises: early stopping waits for it."""
        ...


@dataclass(frozen=True)
class Constant:
    """Always ``value``."""

    value: float = 1.0

    def __call__(self, step: int) -> float:
        """Multiplier at this step."""
        return self.value

    @property
    def settled_at(self) -> int:
        """From the start."""
        return 0


@dataclass(frozen=True)
class LinearWarmup:
    """From ``start`` at step 0 in a straight line to 1 at step ``steps``, then 1.

    Counted in steps, not epochs, so that a warm-up ends on data of any size.
    """

    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        _make_plain(self)
        if not _whole(self.steps, 1) or not (is_number(self.start) and 0.0 <= self.start <= 1.0):
            raise UserError(f"{self}: steps must be a whole number, at least 1, and start between 0 and 1.")

    def __call__(self, step: int) -> float:
        """Multiplier at this step."""
        return min(1.0, self.start + (1.0 - self.start) * step / self.steps)

    @property
    def settled_at(self) -> int:
        """The end of the warm-up."""
        return self.steps


@dataclass(frozen=True)
class CosineDecay:
    """From 1 down to ``end`` over ``steps`` steps along half a cosine, after ``warmup`` steps of straight rise."""

    steps: int
    warmup: int = 0
    end: float = 0.0

    def __post_init__(self) -> None:
        _make_plain(self)
        whole = _whole(self.steps, 1) and _whole(self.warmup, 0)
        if not whole or self.warmup >= self.steps or not (is_number(self.end) and 0.0 <= self.end <= 1.0):
            raise UserError(f"{self}: warmup must be less than steps, both whole numbers, and end between 0 and 1.")

    def __call__(self, step: int) -> float:
        """Multiplier at this step."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / (self.steps - self.warmup))
        return self.end + (1.0 - self.end) * 0.5 * (1.0 + math.cos(math.pi * progress))

    @property
    def settled_at(self) -> int:
        """The end of the rise."""
        return self.warmup


def _make_plain(schedule: Any) -> None:
    """NumPy's and torch's numbers become Python's: a checkpoint knows a schedule by its text."""
    for each in fields(schedule):
        object.__setattr__(schedule, each.name, plain(getattr(schedule, each.name)))


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def named_schedule(name: str, total_steps: int) -> Schedule:
    """``"constant"``, or ``"cosine"``: a decay to zero over ``total_steps``.

    Raises
    ------
    UserError
        For another name.
    """
    if not isinstance(name, str) or name not in ("constant", "cosine"):
        raise UserError("is not known: choose 'constant' or 'cosine'.", option=Option("learning_rate_schedule", name))
    return Constant() if name == "constant" else CosineDecay(total_steps)
