"""Sums over pairs of clusters, as clusters merge."""

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.shapes import Float


def add_row_and_column(matrix: Float[NDArray[np.float64], "U U"], kept: int, absorbed: int) -> None:
    """Add row and column ``absorbed`` of ``matrix [U, U]`` to those of ``kept``, in place, and leave zeros in them."""
    matrix[kept] += matrix[absorbed]
    matrix[:, kept] += matrix[:, absorbed]
    matrix[absorbed] = 0.0
    matrix[:, absorbed] = 0.0
