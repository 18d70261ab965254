"""Whether values lie where a likelihood has its support."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.errors import Option, UserError

MAXIMUM_COUNT = 2**24
"""Float32 holds every whole number up to it, and not the next."""


def check_range(
    x: NDArray[Any],
    low: float,
    high: float,
    likelihood_name: str,
    *,
    whole_numbers: bool = False,
    first_row: int = 0,
) -> None:
    """Check that every value lies where a likelihood has its support.

    Parameters
    ----------
    x
        Observations, ``[N, F]``.
    low, high
        Ends of the closed interval; ``-inf`` and ``inf`` leave an end open.
    likelihood_name
        The likelihood that the messages name.
    whole_numbers
        Whether it is of whole numbers. The message then suggests neither scaling nor another likelihood.
    first_row
        Number of the first observation.

    Raises
    ------
    UserError
        If a value lies outside the interval or is not a number.
    """
    outside = ~((x >= low) & (x <= high))
    if not outside.any():
        return
    row, column = (int(index) for index in np.argwhere(outside)[0])
    if whole_numbers:
        fix = "correct these values" if math.isfinite(high) else "give raw counts, not normalised values"
    elif math.isinf(high):
        fix = "shift or transform the data" if low != 0 else "remove the negative values"
    else:
        fix = f"scale to [{low:g}, {high:g}]"
    # Kept apart from the choice above: a user who already chose 'normal' must not be sent back to it.
    alternative: tuple[str | Option, ...] = (" or choose ", Option("likelihood", "normal"))
    if whole_numbers or likelihood_name == "normal":
        alternative = ()
    support = f"[{low:g}, {high:g}]" if math.isfinite(high) else f"[{low:g}, inf)"
    raise UserError(
        f"needs values in {support}, but the data range over "
        f"[{x.min():g}, {x.max():g}], first outside at observation {first_row + row} (counting from 0), feature {column}, "
        f"where the value is {x[row, column]:g}: {fix}",
        *alternative,
        ".",
        option=Option("likelihood", likelihood_name),
    )


def check_whole_numbers(x: NDArray[Any], likelihood_name: str, first_row: int = 0) -> None:
    """Check that every value is a whole number that float32 can tell from the next, as a likelihood of counts needs.

    Parameters
    ----------
    x
        Observations, ``[N, F]``.
    likelihood_name
        The likelihood that the messages name.
    first_row
        Number of the first observation.

    Raises
    ------
    UserError
        If a value is no whole number, or is 2**24 or more.
    """
    if (largest := float(x.max())) >= MAXIMUM_COUNT:
        row, column = (int(index) for index in np.argwhere(x == x.max())[0])
        raise UserError(
            f"takes counts below {MAXIMUM_COUNT} (2**24), which are exact in float32, but at "
            f"observation {first_row + row} (counting from 0), feature {column}, the value is {largest:g}: check it, or choose ",
            Option("likelihood", "normal"),
            ".",
            option=Option("likelihood", likelihood_name),
        )
    fractional = x != np.rint(x)
    if not fractional.any():
        return
    row, column = (int(index) for index in np.argwhere(fractional)[0])
    raise UserError(
        f"needs whole numbers, but {int(fractional.sum())} values are not, the first at "
        f"observation {first_row + row} (counting from 0), feature {column}, where the value is {x[row, column]:g}: give raw "
        "counts, not normalised values.",
        option=Option("likelihood", likelihood_name),
    )
