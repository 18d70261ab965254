"""Markers of clusters, in scanpy's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.expression.differences import compare
from pyro_vmm.expression.group_means import GroupMeans


def marker_table(
    mine: GroupMeans, others: Sequence[GroupMeans], genes: NDArray[np.str_], *, delta: float, floor: float
) -> pd.DataFrame:
    """Genes that are higher in a cluster than in each of ``others``, a row a gene, the best first.

    ``proba`` is the probability that the log fold change is at least ``delta`` against each of them, ``lfc`` its median and
    ``score`` its mean in standard deviations: the smallest over ``others``.
    """
    found = [compare(mine, other, delta=delta, floor=floor) for other in others]
    proba = np.min([(each.lfc >= delta).mean(0) for each in found], axis=0)
    lfc = np.min([np.median(each.lfc, axis=0) for each in found], axis=0)
    score = np.min([each.lfc.mean(0) / (each.lfc.std(0) + 1e-6) for each in found], axis=0)
    above = found[0].above_floor
    frame = pd.DataFrame(
        {"score": score, "lfc": lfc, "proba": np.where(above, proba, 0.0), "above_floor": above}, index=genes
    )
    return frame.iloc[np.lexsort((-lfc, -frame["proba"].to_numpy()))]


def as_rank_genes_groups(tables: Mapping[str, pd.DataFrame], groupby: str) -> dict[str, Any]:
    """What ``scanpy.tl.rank_genes_groups`` writes into ``adata.uns``.

    ``pvals`` are the probabilities of no such difference, and ``pvals_adj`` the expected false discovery rates of the genes up to
    each.
    """

    def records(column: Any, dtype: str) -> NDArray[Any]:
        return np.rec.fromarrays(
            [np.asarray(column(each)).astype(dtype) for each in tables.values()],
            dtype=[(name, dtype) for name in tables],
        )

    return {
        "params": {
            "groupby": groupby,
            "reference": "rest",
            "method": "pyro-vmm",
            "use_raw": False,
            "layer": None,
            "corr_method": "expected false discovery rate",
        },
        "names": records(lambda each: each.index, "O"),
        "scores": records(lambda each: each["score"], "float32"),
        "logfoldchanges": records(lambda each: each["lfc"], "float32"),
        "pvals": records(lambda each: 1.0 - each["proba"], "float64"),
        "pvals_adj": records(
            lambda each: np.cumsum(1.0 - each["proba"].to_numpy()) / np.arange(1, len(each) + 1), "float64"
        ),
    }
