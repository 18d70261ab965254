r"""The mean expression of a group of cells, with its uncertainty.

A cell's expression is the gene's share of its expected counts, decoded from a posterior sample of the cell's embedding. The mean
over the group is drawn by the Bayesian bootstrap: weights from a flat Dirichlet distribution over the group's cells. So the
uncertainty is that of the *mean*: it falls as cells are added, and a gene that varies much from cell to cell is not taken for one
that differs between groups. The same weights give the mean of what was counted, each cell's counts divided by their total, so that
the decoder can be held against it.

References
----------
D. B. Rubin (1981), "The Bayesian bootstrap", Annals of Statistics 9; R. Lopez et al. (2018), "Deep generative modeling for
single-cell transcriptomics", Nature Methods 15 (decoded expression in the place of counts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_vmm.evaluation import Evaluation
from pyro_vmm.modalities.count_expression import normalized_expression
from pyro_vmm.observations import Observations, in_order

_ROWS_AT_ONCE = 1024
COUNTS_OF_A_SCALED_CELL = 1e4


@dataclass(frozen=True)
class GroupMeans:
    """Of one group, by gene.

    Attributes
    ----------
    draws, counted
        Mean shares as decoded, and as counted, ``[S, G]``: samples of their posteriors.
    mean, non_zeros, scaled
        Mean counts, the share of cells that have counts, and mean counts of cells scaled to 10,000, ``[G]`` each.
    library
        Median total count of the cells.
    num_cells
        Cells looked at.
    """

    draws: NDArray[np.float64]
    counted: NDArray[np.float64]
    mean: NDArray[np.float64]
    non_zeros: NDArray[np.float64]
    scaled: NDArray[np.float64]
    library: float
    num_cells: int


def group_means(
    evaluation: Evaluation,
    cells: Observations,
    *,
    genes: NDArray[np.int64],
    batches: Sequence[int | None] = (None,),
    num_draws: int = 1000,
    most_cells: int = 2000,
    rng: np.random.Generator,
) -> GroupMeans:
    """Draw the group's mean expression.

    Parameters
    ----------
    evaluation
        The fitted model and guide.
    cells
        The group.
    genes
        Columns wanted, ``[G]``.
    batches
        As for :func:`~pyro_vmm.modalities.count_expression.normalized_expression`.
    num_draws
        Samples ``S`` of the mean.
    most_cells
        Of a larger group so many cells, drawn at random, are looked at.
    rng
        Draws cells and weights.
    """
    if len(cells) > most_cells:
        cells = cells.subset(np.sort(rng.choice(len(cells), most_cells, replace=False)))
    shares = normalized_expression(evaluation, cells, genes=genes, batches=batches, num_samples=1)
    # Cells that are decoded as of other batches are counted so, too.
    moved: NDArray[np.float64] | float = 0.0
    if list(batches) != [None]:
        moved = shares - normalized_expression(evaluation, cells, genes=genes, num_samples=1)
    weights = rng.standard_exponential((num_draws, len(cells)))
    weights /= weights.sum(1, keepdims=True)
    total, present = np.zeros(len(genes)), np.zeros(len(genes))
    libraries, scaled = [], []
    for x, _ in in_order(cells, _ROWS_AT_ONCE, torch.device("cpu")):
        counts = x.double().numpy()
        library = counts.sum(1, keepdims=True)
        wanted = counts[:, genes]
        total += wanted.sum(0)
        present += (wanted > 0).sum(0)
        scaled.append(wanted / library)
        libraries.append(library[:, 0])
    number, as_counted = len(cells), np.concatenate(scaled)
    return GroupMeans(
        draws=weights @ shares,
        counted=np.maximum(weights @ (as_counted + moved), 0.0),
        mean=total / number,
        non_zeros=present / number,
        scaled=COUNTS_OF_A_SCALED_CELL * as_counted.mean(0),
        library=float(np.median(np.concatenate(libraries))),
        num_cells=number,
    )
