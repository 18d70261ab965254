"""One row a cluster, for the table of the report."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.report.fit_folder import FitFolder
from pyro_vmm.report.seen import Seen


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
        Its mixture weight.
    probability
        Mean probability of the cluster among its observations.
    second_choice
        The cluster that is most often second among them, and how often.
    batch, label
        The most frequent batch and label among them, where there are any.
    markers
        Names of features that set it apart, where the modality tells.
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


def cluster_rows(folder: FitFolder, seen: Seen) -> list[ClusterRow]:
    """The clusters in use of a finished fit, by number."""
    table = folder.clusters
    assert table is not None
    assert seen.fit is not None
    clusters = table["cluster"].to_numpy(dtype=np.int64)
    weights = seen.fit.weights_
    profiles = seen.profiles(clusters)
    markers = {} if profiles is None else profiles.markers
    batches = None if seen.batches is None else seen.batches.named
    rows = []
    for cluster in np.unique(clusters):
        members = clusters == cluster
        rows.append(
            ClusterRow(
                cluster=int(cluster),
                size=int(members.sum()),
                share=float(members.mean()),
                weight=float(weights[cluster]) if cluster < len(weights) else float("nan"),
                probability=float(table["probability"].to_numpy()[members].mean()),
                second_choice=most_frequent(_whole(table["second_choice"].to_numpy()[members])),
                batch=None if batches is None else most_frequent(batches[members]),
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
