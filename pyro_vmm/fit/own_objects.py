"""Options that are objects of the user's own: copied for a fit, and noted where options are stored."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from pyro_vmm.plain_values import plain
from pyro_vmm.random_states import is_generator


def with_copies(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with a copy of every module among them: two fits must not share parameters.

    Copied at once, so that what one of them shares with another (tied weights, an encoder) its copy shares, too.
    """
    modules = {name: value for name, value in options.items() if isinstance(value, nn.Module)}
    return dict(options) | copy.deepcopy(modules)


def storable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options for JSON; an object of the user's own becomes a note of its class, a generator of random numbers None."""
    own = {name: None if is_generator(value) else plain(value) for name, value in options.items()}
    return {name: value if _of_json(value) else {"object": type(value).__qualname__} for name, value in own.items()}


def _of_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _of_json(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_of_json, value))
    return value is None or isinstance(value, bool | int | float | str)
