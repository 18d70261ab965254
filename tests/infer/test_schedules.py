"""Multipliers at the steps that matter."""

import math
from itertools import pairwise
from typing import Any

import pytest

from pyro_vmm import UserError
from pyro_vmm.infer import Constant, CosineDecay, LinearWarmup, Schedule


def test_constant_never_changes() -> None:
    assert [Constant(0.3)(step) for step in (0, 1, 10**9)] == [0.3, 0.3, 0.3]
    assert Constant()(0) == 1.0
    assert Constant(0.3).settled_at == 0


def test_linear_warmup_is_a_straight_line_to_one() -> None:
    assert [LinearWarmup(4)(step) for step in range(7)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert [LinearWarmup(2, start=0.5)(step) for step in range(4)] == [0.5, 0.75, 1.0, 1.0]
    assert LinearWarmup(3, start=1.0)(0) == 1.0
    assert LinearWarmup(7)(10**9) == 1.0


def test_cosine_decay_at_its_key_steps() -> None:
    plain = CosineDecay(100)
    assert plain(0) == 1.0
    assert plain(50) == pytest.approx(0.5)
    assert plain(25) == pytest.approx(0.5 + 0.5 * math.sqrt(0.5))
    assert plain(100) == pytest.approx(0.0, abs=1e-15)
    assert plain(10**6) == plain(100)
    floored = CosineDecay(100, warmup=20, end=0.1)
    assert [floored(step) for step in (0, 9, 19, 20)] == [0.05, 0.5, 1.0, 1.0]
    assert floored(60) == pytest.approx(0.55)
    assert floored(100) == pytest.approx(0.1)
    assert floored(10**6) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("schedule", "settled_at"),
    [
        (Constant(0.5), 0),
        (LinearWarmup(40), 40),
        (LinearWarmup(1, start=0.2), 1),
        (CosineDecay(50), 0),
        (CosineDecay(50, warmup=10, end=0.3), 10),
    ],
    ids=str,
)
def test_a_schedule_rises_before_it_settles_and_never_after(schedule: Schedule, settled_at: int) -> None:
    assert schedule.settled_at == settled_at
    values = [schedule(step) for step in range(100)]
    assert all(after > before for before, after in pairwise(values[:settled_at]))
    assert all(after <= before for before, after in pairwise(values[settled_at:]))
    assert values[settled_at] == max(values)
    assert all(0.0 <= value <= 1.0 for value in values)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (LinearWarmup, {"steps": 0}),
        (LinearWarmup, {"steps": -3}),
        (LinearWarmup, {"steps": 10, "start": -0.1}),
        (LinearWarmup, {"steps": 10, "start": 1.5}),
        (LinearWarmup, {"steps": 10, "start": float("nan")}),
        (CosineDecay, {"steps": 0}),
        (CosineDecay, {"steps": 10, "warmup": 10}),
        (CosineDecay, {"steps": 10, "warmup": -1}),
        (CosineDecay, {"steps": 10, "end": 1.1}),
        (CosineDecay, {"steps": 10, "end": -0.1}),
    ],
    ids=str,
)
def test_impossible_schedules_are_refused(kind: type, arguments: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="must be"):
        kind(**arguments)
