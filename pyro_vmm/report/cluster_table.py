"""One row a cluster, for the table of the report."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.report.fit_folder import FitFolder
from pyro_vmm.report.marker_genes import marker_genes
from pyro_vmm.report.observations import Observations


@dataclass(frozen=True)
class Share:
    """A name and what share of a cluster it has."""

    name: str
    share: float


@dataclass(frozen=True)
class ClusterRow:
    """What is told of one cluster.

    Attributes
    ----------
    cluster
        Its number.
    size
        Observations of which it is the most probable cluster.
    share
        The same, of all observations.
    weight
        Its mixture weight; NaN where the model could not be loaded.
    probability
        Mean probability of the cluster among its observations.
    second_choice
        The cluster that is most often second among them, and how often.
    batch, label
        The most frequent batch and label among them, where there are any.
    markers
        Names of marker genes, for counts of cells.
    """

    cluster: int
    size: int
    share: float
    weight: float
    probability: float
    second_choice: Share | None
    batch: Share | None
    label: Share | None
    markers: tuple[str, ...]


def cluster_rows(fit: FitFolder, seen: Observations) -> list[ClusterRow]:
    """The clusters in use of a finished fit, by number."""
    assert fit.clusters is not None
    table = fit.clusters
    clusters = table["cluster"].to_numpy(dtype=np.int64)
    weights = None if seen.model is None else np.asarray(seen.model.weights_)
    markers = _markers(seen, clusters)
    rows = []
    for cluster in np.unique(clusters):
        members = clusters == cluster
        rows.append(
            ClusterRow(
                cluster=int(cluster),
                size=int(members.sum()),
                share=float(members.mean()),
                weight=float(weights[cluster]) if weights is not None and cluster < len(weights) else float("nan"),
                probability=float(table["probability"].to_numpy()[members].mean()),
                second_choice=most_frequent(_whole(table["second_choice"].to_numpy()[members])),
                batch=None if seen.batches is None else most_frequent(seen.batches[members]),
                label=None if seen.labels is None else most_frequent(seen.labels[members]),
                markers=markers.get(int(cluster), ()),
            )
        )
    return rows


def most_frequent(values: NDArray[Any]) -> Share | None:
    """The most frequent value and its share of those that are not missing; None where all are."""
    counts = pd.Series(values, dtype=object).dropna().map(str).value_counts(sort=False)
    if not len(counts):
        return None
    return Share(str(counts.index[int(counts.to_numpy().argmax())]), float(counts.max() / counts.sum()))


def _whole(numbers: NDArray[Any]) -> NDArray[Any]:
    """Cluster numbers as read from a table in which some may be missing."""
    return np.array([None if np.isnan(number) else int(number) for number in numbers.astype(float)], dtype=object)


def _markers(seen: Observations, clusters: NDArray[np.int64]) -> dict[int, tuple[str, ...]]:
    cells = getattr(seen.model, "cells", None)
    if cells is None or len(np.unique(clusters)) < 2:
        return {}
    genes = marker_genes(cells.counts, clusters, int(clusters.max()) + 1)
    return {cluster: tuple(str(cells.gene_names[gene]) for gene in found) for cluster, found in enumerate(genes)}
