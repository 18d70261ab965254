"""Shapes in the method's signatures are checked while these tests run, and cost a user nothing."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import get_type_hints

import numpy as np
import pytest
import shape_checks
import torch
from beartype.roar import BeartypeDoorHintViolation
from torch import Tensor, nn

import pyro_vmm
from pyro_vmm.clustering import joined
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.priors import StandardNormal
from pyro_vmm.shapes import Float, Int

ROOT = Path(pyro_vmm.__file__).parent


def test_axes_that_an_object_knows() -> None:
    prior = StandardNormal(3)
    assert prior.log_prob(torch.zeros(4, 3)).shape == (4,)
    # Broadcast without a word, but for the check.
    with pytest.raises(BeartypeDoorHintViolation, match=r"(?s)StandardNormal.log_prob, z: .* dimension D is 1 .* of 3"):
        prior.log_prob(torch.zeros(4, 1))


def test_axes_of_several_arguments() -> None:
    guide = AmortizedNormal(nn.Linear(5, 4), "diagonal")
    assert guide.location_and_scale_tril(torch.zeros(6, 5))[1].shape == (6, 2, 2)
    with pytest.raises(
        BeartypeDoorHintViolation, match=r"(?s)location_and_scale_tril, x: .* has 1 dimensions, not the 2"
    ):
        guide.location_and_scale_tril(torch.zeros(5))


def test_arrays_of_numpy() -> None:
    shares = np.full((6, 3), 1.0 / 3.0)
    assert joined(shares, np.array([0, 0, 2])).shape == (6, 3)
    with pytest.raises(BeartypeDoorHintViolation, match=r"(?s)joined, representatives: .* dimension K is 2 .* of 3"):
        joined(shares, np.array([0, 0]))


def test_results_dtypes_and_calls_alike() -> None:
    @shape_checks.checked
    def doubled(
        x: Float[Tensor, "N D"], *, wrong: bool = False, **covariates: Int[Tensor, "N"]
    ) -> Float[Tensor, "N D"]:
        return torch.cat([x, x]) if wrong else 2.0 * x

    for _ in range(2):  # the second is like one that has passed
        assert doubled(torch.ones(2, 3), batch=torch.zeros(2, dtype=torch.long)).sum() == 12.0
    for _ in range(2):  # what has not passed is checked again
        with pytest.raises(BeartypeDoorHintViolation, match=r"(?s)doubled, return: .* dimension N is 4"):
            doubled(torch.ones(2, 3), wrong=True)
    with pytest.raises(BeartypeDoorHintViolation, match=r"(?s)covariates: .* dimension N is 3 .* of 2"):
        doubled(torch.ones(2, 3), batch=torch.zeros(3, dtype=torch.long))
    with pytest.raises(BeartypeDoorHintViolation, match=r"(?s)doubled, x: .* dtype int64"):
        doubled(torch.ones(2, 3, dtype=torch.long))


def _told_in(path: Path) -> list[str]:
    """Names of the functions of a file whose signatures tell a shape."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            given = [*arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            annotations = [each.annotation for each in given if each is not None] + [node.returns]
            names = {name.id for each in annotations if each for name in ast.walk(each) if isinstance(name, ast.Name)}
            found += [node.name] * bool(names & {"Bool", "Float", "Int", "Real"})
    return found


@pytest.mark.parametrize("room", sorted(shape_checks.ROOMS))
def test_every_shape_that_a_signature_tells_is_checked(room: str) -> None:
    told = 0
    for path in sorted((ROOT / room).rglob("*.py")):
        name = ".".join(["pyro_vmm", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        module = importlib.import_module(name)
        scopes = [module, *(thing for thing in vars(module).values() if isinstance(thing, type))]
        defined = [value for scope in scopes for value in vars(scope).values()]
        functions = [getattr(each, "fget", None) or getattr(each, "__func__", each) for each in defined]
        held = [each for each in functions if isinstance(each, FunctionType) and each in shape_checks.CHECKED]
        held = [each for each in held if each.__module__ == name]
        assert sorted(each.__name__ for each in held) == sorted(_told_in(path)), name
        told += len(held)
    assert told > 2


def test_users_need_and_load_none_of_it() -> None:
    script = """
import sys
sys.modules.update(jaxtyping=None, beartype=None)
import typing, torch
import pyro_vmm.vmm, pyro_vmm.single_cell
from pyro_vmm.guides import AmortizedNormal
assert typing.get_type_hints(AmortizedNormal.forward)["x"] is torch.Tensor
assert not hasattr(AmortizedNormal.forward, "__wrapped__")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, cwd=ROOT.parent)
    assert get_type_hints(AmortizedNormal.forward)["x"] is not Tensor
