"""Whether an option is what it has to be; a message names it. NumPy's and torch's scalars count as Python's.

The command line reads the table of options and its checks without NumPy and torch, which take a second: they are imported
when an option is checked.
"""

import math
import os
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from pyro_vmm.errors import InPython, UserError
from pyro_vmm.plain_values import plain

LARGEST = 2**31 - 1
"""Largest whole number taken: more is a slip, and overflows what it is multiplied with."""

LARGEST_LATENT_DIM = 2**15
"""A covariance of the latents has the square of their number of entries."""


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name, numbers of NumPy and torch as Python's, so that they can be compared and stored as JSON.

    Raises
    ------
    UserError
        For an array of two or more dimensions, which no option takes.
    """
    import numpy as np
    from torch import Tensor

    own = {name: plain(value) for name, value in options.items()}
    for name, value in own.items():
        if isinstance(value, np.ndarray | Tensor):
            raise UserError(f"{name} is an array of shape {tuple(value.shape)}: give a single value or a tuple.")
    return own


def check_whole_number(value: Any, name: str, *, least: int = 1, most: int = LARGEST, or_none: str = "") -> Any:
    """Return ``value`` as an ``int`` if it is a whole number, no Boolean, from ``least`` to ``most``.

    Parameters
    ----------
    value
        The option.
    name
        What messages call it.
    least, most
        Smallest and largest value taken.
    or_none
        What None means, where None is taken, too.

    Returns
    -------
    int or None
        None only where it is given and taken.

    Raises
    ------
    UserError
        If ``value`` is anything else.
    """
    value = plain(value)
    if value is None and or_none:
        return None
    alternative = InPython(f", or None {or_none}" if or_none else "")
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise UserError(f"is {value!r}: it must be a whole number, at least {least}", alternative, ".", option=name)
    if int(value) > most:
        raise UserError(f"is {value!r}: it must be a whole number, at most {most}", alternative, ".", option=name)
    return int(value)


def check_positive(value: Any, name: str, noun: str = "number", *, finite: bool = True, or_none: bool = False) -> Any:
    """Return ``value`` as Python's own if it is a positive number, called ``noun``, and finite where ``finite``.

    None is taken, too, where ``or_none``.

    Raises
    ------
    UserError
        If it is anything else.
    """
    value = plain(value)
    if value is None and or_none:
        return None
    if not (is_number(value) and value > 0 and (math.isfinite(value) or not finite)):
        raise UserError(f"is {value!r}: it must be a positive {noun}.", option=name)
    return value


def check_not_negative(value: Any, name: str) -> float:
    """Return ``value`` as a ``float`` if it is a finite number that is not negative.

    Raises
    ------
    UserError
        If it is anything else.
    """
    value = plain(value)
    if not (is_number(value) and 0.0 <= value < math.inf):
        raise UserError(f"is {value!r}: it must be a number, at least 0.", option=name)
    return float(value)


def check_share(value: Any, name: str, *, may_be: Literal["none", "all"]) -> Any:
    """Return ``value`` as Python's own if it is a share: 0 and not 1 where it ``may_be`` none, 1 and not 0 where all.

    Raises
    ------
    UserError
        If it is anything else.
    """
    value = plain(value)
    if not is_number(value) or not (0.0 <= value < 1.0 if may_be == "none" else 0.0 < value <= 1.0):
        bounds = "at least 0 and below 1" if may_be == "none" else "above 0 and at most 1"
        raise UserError(f"is {value!r}: it must be {bounds}.", option=name)
    return value


def check_boolean(value: Any, name: str) -> bool:
    """Return ``value`` as a ``bool`` if it is True or False.

    Raises
    ------
    UserError
        If it is anything else.
    """
    value = plain(value)
    if not isinstance(value, bool):
        raise UserError(f"is {value!r}: it must be True or False.", option=name)
    return value


def is_number(value: Any) -> bool:
    """Whether ``value`` is a real number and not NaN, Python's or NumPy's; Booleans are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def as_tuple(value: Any, name: str) -> Any:
    """``value`` as Python's own, a tuple where it is a list; what is made of the option checks the rest."""
    value = plain(value)
    return tuple(value) if isinstance(value, list) else value


def check_seed(value: Any, name: str) -> int:
    """Return ``value`` as an ``int`` if it is a whole number that all random generators take.

    Raises
    ------
    UserError
        If it is anything else.
    """
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) < 2**32:
        raise UserError(f"is {value!r}: it must be a whole number from 0 to {2**32 - 1}.", option=name)
    return int(value)


def check_names(given: Iterable[str], known: Iterable[str], owner: str) -> None:
    """Raise :class:`UserError` if a name is ``given`` that is not among the ``known`` options of ``owner``."""
    unknown = [name for name in given if name not in set(known)]
    if unknown:
        raise UserError(f"{owner} has no option {', '.join(map(repr, unknown))}: leave it out.")


def as_folder(directory: Any, name: str = "directory") -> Path:
    """``directory`` as a path; ``name`` is what messages call it.

    Raises
    ------
    UserError
        If it is none.
    """
    if not isinstance(directory, str | os.PathLike) or "\0" in os.fspath(directory):
        raise UserError(f"{name} is {directory!r}: give the path of a folder.")
    return Path(directory)
