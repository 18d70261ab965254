"""While the tests run, calls of the method are held against the shapes in its signatures, by jaxtyping and beartype.

Importing this module switches the checks on for what is imported afterwards. A call is checked when it returns, so that the
library's own errors come first. Calls whose types and shapes have passed before are let through: a training repeats the same
few, and checking one takes as long as a small product.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import jaxtyping
import numpy as np
import torch
from beartype.door import die_if_unbearable

from pyro_vmm import shapes

ROOMS = {"distributions", "likelihoods", "networks", "guides", "priors", "models", "infer", "clustering"}

OWN_SIZES = {
    "D": "latent_dim",
    "F": "num_features",
    "K": "num_components",
    "in_features": "in_features",
    "num_outputs": "num_outputs",
    "out_features": "out_features",
}
"""Axes whose size a torch module may know, and the attribute that holds it."""

CHECKED: set[Callable[..., Any]] = set()
"""All that :func:`checked` has made."""

ARRAYS = (torch.Tensor, np.ndarray)
HAVE_SHAPES = (*ARRAYS, dict, list, tuple)
"""Nothing else is looked at: other types are mypy's."""


class Axis(NamedTuple):
    """One size, in the form in which jaxtyping takes an array."""

    shape: tuple[int]
    dtype: str = "int"


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with each call held against its signature; the function itself, if that tells no shape."""
    hints = {name: hint for name, hint in get_type_hints(function).items() if any(_shapes_in(hint))}
    if not hints:
        return function
    signature = inspect.signature(function)
    axes = {axis for hint in hints.values() for each in _shapes_in(hint) for axis in re.findall(r"\w+", each.dim_str)}
    own = {axis: attribute for axis, attribute in OWN_SIZES.items() if axis in axes}
    passed = set()

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if torch.compiler.is_compiling():
            return result
        of_module = args[0].__dict__ if args and isinstance(args[0], torch.nn.Module) else {}
        sizes = {axis: of_module.get(attribute) for axis, attribute in own.items()}
        form = (*sizes.values(), *map(_form, args), _form(kwargs), _form(result))
        if form not in passed:
            with jaxtyping.jaxtyped("context"):
                for axis, size in sizes.items():
                    assert size is None or isinstance(Axis((size,)), jaxtyping.Shaped[Any, axis])
                for name, value in [*_values(signature.bind(*args, **kwargs)), ("return", result)]:
                    if name in hints and isinstance(value, HAVE_SHAPES):
                        prefix = f"In {function.__qualname__}, {name}: "
                        die_if_unbearable(value, hints[name], exception_prefix=prefix)
            passed.add(form)
        return result

    CHECKED.add(call)
    return call


def _shapes_in(hint: Any) -> Iterator[type[jaxtyping.AbstractArray]]:
    """jaxtyping's types in a type."""
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        yield hint
    for part in get_args(hint):
        yield from _shapes_in(part)


def _form(value: Any) -> Any:
    """All that a check looks at: types, shapes and dtypes."""
    if isinstance(value, ARRAYS):
        return value.shape, value.dtype
    if isinstance(value, dict):
        return tuple((name, _form(each)) for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_form, value))
    return type(value)


def _values(bound: inspect.BoundArguments) -> Iterator[tuple[str, Any]]:
    """Arguments by parameter: one after the other those of ``*values`` and of ``**values``."""
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            yield from ((name, each) for each in value)
        elif kind is inspect.Parameter.VAR_KEYWORD:
            yield from ((name, each) for each in value.values())
        else:
            yield name, value


def check_calls_of(module: ModuleType) -> None:
    """Have every function and method that a module defines checked from now on."""
    for name, thing in [*vars(module).items()]:
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if isinstance(thing, type) and not issubclass(thing, tuple):  # a NamedTuple's methods are made elsewhere
            for member, value in [*vars(thing).items()]:
                if isinstance(value, FunctionType):
                    setattr(thing, member, checked(value))
                elif isinstance(value, staticmethod | classmethod):
                    setattr(thing, member, type(value)(checked(value.__func__)))
                elif isinstance(value, property) and value.fget is not None:
                    setattr(thing, member, property(checked(value.fget), value.fset))
        elif isinstance(thing, FunctionType):
            setattr(module, name, checked(thing))


class OfAnyAlias:
    """A name of jaxtyping's that takes ``NDArray[...]``, too: from NumPy 2.5 on that is an alias which jaxtyping does not know."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def __getitem__(self, item: tuple[Any, str]) -> Any:
        array, axes = item
        alias = getattr(get_origin(array), "__name__", "") in ("NDArray", "ndarray")
        return self.kind[np.ndarray if alias else array, axes]


class CheckingLoader(SourceFileLoader):
    """Loads a module whose functions other modules then import as checked ones."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        check_calls_of(module)


class CheckingFinder(MetaPathFinder):
    """Finds the modules of :data:`ROOMS`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not re.fullmatch(rf"pyro_vmm\.({'|'.join(ROOMS)})(\..*)?", fullname):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = CheckingLoader(spec.loader.name, spec.loader.path)
        return spec


assert not {f"pyro_vmm.{room}" for room in ROOMS} & sys.modules.keys(), "imported too early to be checked"
for _name in shapes.__all__:
    setattr(shapes, _name, OfAnyAlias(getattr(jaxtyping, _name)))
sys.meta_path.insert(0, CheckingFinder())
