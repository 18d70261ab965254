"""Whether an option is what it has to be; a message names it."""

import math
import os
from collections.abc import Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from pyro_vmm.errors import InPython, UserError

LARGEST = 2**31 - 1
"""Largest whole number taken: more is a slip, and overflows what it is multiplied with."""

LARGEST_LATENT_DIM = 2**15
"""A covariance of the latents has the square of their number of entries."""


def check_whole_number(value: Any, name: str, *, least: int = 1, most: int = LARGEST, or_none: str = "") -> None:
    """Raise :class:`UserError` unless ``value`` is a whole number of at least ``least`` (Python's or NumPy's, no Boolean).

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
    """
    if value is None and or_none:
        return
    alternative = InPython(f", or None {or_none}" if or_none else "")
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise UserError(f"is {value!r}: it must be a whole number, at least {least}", alternative, ".", option=name)
    if int(value) > most:
        raise UserError(f"is {value!r}: it must be a whole number, at most {most}", alternative, ".", option=name)


def check_positive(value: Any, name: str, noun: str = "number", *, finite: bool = True) -> None:
    """Raise :class:`UserError` unless ``value`` is a positive number, called ``noun``, and finite where ``finite``."""
    if not (is_number(value) and value > 0 and (math.isfinite(value) or not finite)):
        raise UserError(f"is {value!r}: it must be a positive {noun}.", option=name)


def is_number(value: Any) -> bool:
    """Whether ``value`` is a real number and not NaN, Python's or NumPy's; Booleans are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def check_seed(value: Any, name: str) -> None:
    """Raise :class:`UserError` unless ``value`` is a whole number that all random generators take."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) < 2**32:
        raise UserError(f"is {value!r}: it must be a whole number from 0 to {2**32 - 1}.", option=name)


def check_names(given: Iterable[str], known: Iterable[str], owner: str) -> None:
    """Raise :class:`UserError` if a name is ``given`` that is not among the ``known`` options of ``owner``."""
    unknown = [name for name in given if name not in set(known)]
    if unknown:
        raise UserError(f"{owner} has no option {', '.join(map(repr, unknown))}: leave it out.")


def as_folder(directory: Any) -> Path:
    """``directory`` as a path.

    Raises
    ------
    UserError
        If it is none.
    """
    if not isinstance(directory, str | os.PathLike) or "\0" in os.fspath(directory):
        raise UserError(f"directory is {directory!r}: give the path of a folder.")
    return Path(directory)
