"""Rows of probabilities that sum to one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.shapes import Float


def as_probabilities(shares: Float[NDArray[np.floating[Any]], "N K"]) -> Float[NDArray[np.float64], "N K"]:
    """Divide each row of ``shares [N, K]`` by its sum, in float64.

    A softmax in float32 and sums of its columns miss one by a rounding error of either sign. Afterwards no entry is above
    one, and rows sum to one in float64. A row of zeros stays as it is.
    """
    exact = shares.astype(np.float64)  # a copy
    sums = exact.sum(axis=1, keepdims=True)
    return np.divide(exact, sums, out=exact, where=sums > 0.0)
