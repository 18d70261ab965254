"""Clusters against labels, for the final picture only: no label enters a fit."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import CAPTION_SIZE, TICK_SIZE, blank_axes, headline, one_line, percent, plural, tidy
from pyro_vmm.plotting.palette import INK

MANY = 40
"""Above so many clusters or labels the table is drawn denser, without numbers in it."""


def cluster_label_table(clusters: ArrayLike, labels: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw which labels each cluster holds, as shares of the cluster.

    A column is a cluster, a row a label; columns sum to one. Clusters stand under their majority label, so that a
    perfect clustering is a staircase from the upper left to the lower right.

    Parameters
    ----------
    clusters : array [N] of int
        Cluster of each observation.
    labels : array [N]
        Label of each observation; observations without one (None, NaN) are left out.
    ax : Axes, optional
        Where to draw; a new figure where absent.

    Raises
    ------
    UserError
        Where the two differ in length.
    """
    cluster = np.asarray(clusters)
    label = np.asarray(labels)
    if cluster.ndim != 1 or cluster.shape != label.shape:
        raise UserError(f"clusters {list(cluster.shape)} and labels {list(label.shape)} must both be [N]")
    known = ~pd.isna(label)
    counts = label_counts(cluster[known], label[known])
    if ax is None:
        ax = blank_axes(max(5.5, 2.4 + (0.32 if counts.shape[1] <= MANY else 0.13) * counts.shape[1]), _height(counts))
    tidy(ax, "cluster", "label")
    ax.spines[:].set_visible(False)
    if not counts.size:
        headline(ax, "No labelled observations")
        return ax
    shares = counts.to_numpy(dtype=np.float64) / counts.to_numpy().sum(axis=0)
    _draw(ax, shares, counts)
    purity = counts.to_numpy().max(axis=0).sum() / counts.to_numpy().sum()
    headline(
        ax,
        f"{percent(float(purity))} of observations carry their cluster's majority label",
        f"{plural(counts.shape[1], 'cluster')}, {plural(counts.shape[0], 'label')}, "
        f"{plural(int(counts.to_numpy().sum()), 'observation')}; share of each cluster",
    )
    return ax


def label_counts(clusters: NDArray[np.int_], labels: NDArray[np.generic]) -> pd.DataFrame:
    """Count labels x clusters [L, C], labels in their own order and clusters under their majority label.

    Among clusters of one label the purest comes first.
    """
    counts = pd.crosstab(pd.Series(labels, name="label"), pd.Series(clusters, name="cluster"))
    if not counts.size:
        return counts
    table = counts.to_numpy()
    order = np.lexsort((-(table.max(axis=0) / table.sum(axis=0)), table.argmax(axis=0)))
    return counts.iloc[:, order]


def _height(counts: pd.DataFrame) -> float:
    return max(2.8, 1.6 + (0.28 if len(counts) <= MANY else 0.13) * len(counts))


def _draw(ax: Axes, shares: NDArray[np.float64], counts: pd.DataFrame) -> None:
    picture = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    labels, clusters = shares.shape
    many = clusters > MANY
    size = 6.5 if many else TICK_SIZE
    ax.set_xticks(range(clusters), [str(c) for c in counts.columns], fontsize=size, rotation=90 if many else 0)
    size = 6.5 if labels > MANY else TICK_SIZE
    ax.set_yticks(range(labels), [one_line(name, 40) for name in counts.index], fontsize=size, color=INK)
    ax.tick_params(length=0)
    if many or labels > MANY:
        bar = ax.figure.colorbar(picture, ax=ax, shrink=0.8, pad=0.01)
        bar.ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        bar.ax.tick_params(labelsize=CAPTION_SIZE, length=0)
        bar.outline.set_visible(False)
        return
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        share = shares[row, column]
        ax.text(
            column,
            row,
            f"{100 * share:.0f}",
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if share > 0.5 else INK,
        )
    ax.set_xlabel("cluster (numbers: per cent of the cluster)")
