"""Counts summed over the cells of a sample and group: what tests between donors need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pyro_vmm.observations import Observations, in_order

if TYPE_CHECKING:
    from anndata import AnnData

_ROWS_AT_ONCE = 1024


def sums(cells: Observations, codes: NDArray[np.int64], number: int) -> NDArray[np.float64]:
    """Counts of N cells summed by group, ``[number, G]``; ``codes [N]`` say which group each is in."""
    total = np.zeros((number, cells.num_features))
    start = 0
    for x, _ in in_order(cells, _ROWS_AT_ONCE, torch.device("cpu")):
        np.add.at(total, codes[start : start + len(x)], x.double().numpy())
        start += len(x)
    return total


def pseudobulk(
    cells: Observations,
    samples: tuple[NDArray[np.int64], tuple[str, ...]],
    groups: tuple[NDArray[np.int64], tuple[str, ...]],
    genes: NDArray[np.str_],
    obs: pd.DataFrame,
    names: tuple[str, str],
) -> AnnData:
    """One row for each sample in each group that has cells.

    Parameters
    ----------
    cells
        N cells.
    samples, groups
        Codes ``[N]`` and names.
    genes
        ``[G]``.
    obs
        Of the cells. Columns that are constant within every sample are kept.
    names
        What the columns of samples and groups are called.
    """
    from anndata import AnnData

    pair, codes = np.unique(samples[0] * len(groups[1]) + groups[0], return_inverse=True)
    of_sample, of_group = np.divmod(pair, len(groups[1]))
    counts = sums(cells, codes, len(pair))
    if (counts == np.round(counts)).all():
        counts = counts.astype(np.int64)
    columns = {
        names[0]: np.asarray(samples[1])[of_sample],
        names[1]: np.asarray(groups[1])[of_group],
        "n_cells": np.bincount(codes, minlength=len(pair)),
    }
    first = np.array([np.flatnonzero(samples[0] == sample)[0] for sample in of_sample])
    for column in obs.columns:
        if column not in columns and obs[column].groupby(samples[0]).nunique(dropna=False).le(1).all():
            columns[column] = obs[column].iloc[first].to_numpy()
    index = [f"{sample}_{group}" for sample, group in zip(columns[names[0]], columns[names[1]], strict=True)]
    return AnnData(counts, obs=pd.DataFrame(columns, index=index), var=pd.DataFrame(index=genes.astype(object)))
