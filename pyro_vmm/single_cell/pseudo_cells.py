"""The cells from which pseudo-inputs start."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.data import CellCounts
from pyro_vmm.errors import Option, UserError


def pseudo_cells(cells: CellCounts, rows: NDArray[np.int64], number: int, seed: int) -> Tensor:
    """Counts ``[K, G]`` of ``number`` different cells, drawn at random among ``rows``.

    Raises
    ------
    UserError
        If there are fewer cells than are asked for.
    """
    if number > len(rows):
        raise UserError(
            f"is more than the {len(rows)} cells trained on, from which pseudo-inputs start: choose at most {len(rows)}, or ",
            Option("prior", "gaussian-mixture"),
            ".",
            option=Option("num_components", number),
        )
    chosen = np.random.default_rng(seed).choice(rows, number, replace=False)
    return torch.from_numpy(cells.counts[chosen].toarray())
