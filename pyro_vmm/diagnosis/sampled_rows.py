"""Which observations a look reads, so that it stays quick whatever their number."""

import numpy as np
from numpy.typing import NDArray

SEED = 0
"""Of every draw of observations: the same fit has the same findings."""


def sampled_rows(number: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` of the rows ``0 .. number - 1``, in random order.

    The order is random even where all are taken: data often come sorted by group.
    """
    return np.random.default_rng(SEED).permutation(number)[:most]


def told(looked_at: int, number: int, noun: str = "observations") -> str:
    """How many were looked at, for a sentence: ``"all 300 observations"`` or ``"2,000 of 9,000 observations drawn ..."``."""
    if looked_at >= number:
        return f"all {number:,} {noun}"
    return f"{looked_at:,} of {number:,} {noun} drawn at random with seed {SEED}"
