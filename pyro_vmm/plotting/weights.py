"""The mixture's weights in order, and how many clusters own observations."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import CAPTION_SIZE, LABEL_SIZE, TICK_SIZE, blank_axes, headline, percent, plural, tidy
from pyro_vmm.plotting.palette import FAINT, MUTED, PRIMARY, SECONDARY

FEWEST_BARS = 30


def mixture_weights(weights: ArrayLike, utilised: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw the weights of clusters and of components not in use in descending order, and their running total.

    Everything down to the lightest cluster in use has its bar; of the unused components below it only the heaviest few are
    drawn, and the caption says how many are not.

    Parameters
    ----------
    weights : array [K]
        Mixture weights, summing to one: ``weights_`` of a fit, in which a cluster has the sum of its components.
    utilised : array [K] of bool
        Whether it is the most probable one of at least one observation.
    ax : Axes, optional
        Where to draw (a second axis for the running total is laid over it); a new figure where absent.

    Raises
    ------
    UserError
        Where the two shapes disagree.
    """
    pi = np.asarray(weights, dtype=np.float64)
    used = np.asarray(utilised, dtype=bool)
    if pi.ndim != 1 or used.shape != pi.shape:
        raise UserError(f"weights {list(pi.shape)} and utilised {list(used.shape)} must both be [K]")
    order = np.argsort(-pi, kind="stable")
    lightest = int(np.flatnonzero(used[order])[-1]) + 1 if used.any() else 0
    hidden = pi[order[max(FEWEST_BARS, lightest + 5) :]]
    order = order[: len(pi) - len(hidden)]
    if ax is None:
        ax = blank_axes(float(np.clip(2 + 0.1 * len(order), 7.5, 14)), 4.2)
    rank = np.arange(1, len(order) + 1)
    colours = np.where(used[order], PRIMARY, FAINT).tolist()
    ax.bar(rank, pi[order], width=0.8, color=colours)
    tidy(ax, "cluster, or component not in use, in order of weight", "weight")
    ax.set_xlim(0.3, max(len(order), 1) + 0.7)
    _name_components(ax, order, used)
    _draw_running_total(ax, rank, np.cumsum(pi[order]))
    shares = f"in use (blue) {percent(float(pi[used].sum()))} of the weight"
    if not used.all():
        shares += f", unused (grey) {percent(float(pi[~used].sum()))}"
    if hidden.size:
        shares += f", of which {len(hidden):,} components with {percent(float(hidden.sum()))} are not drawn"
    headline(
        ax,
        f"{plural(int(used.sum()), 'cluster')} in use of {plural(len(pi), 'component')}",
        f"{shares}; truncation K = {len(pi)}",
    )
    return ax


def _name_components(ax: Axes, order: NDArray[np.intp], used: NDArray[np.bool_]) -> None:
    """Write the ids of utilised components under their bars, where there is room for them."""
    places = np.flatnonzero(used[order]) + 1
    room = ax.get_window_extent().width / ax.figure.dpi * 72 / max(len(order), 1)
    size = min(TICK_SIZE, room)
    if len(places) and size >= 4.5:
        ax.set_xticks(places, [str(i) for i in order[places - 1]], rotation=90 if room < 16 else 0, fontsize=size)
        ax.tick_params(axis="x", length=0, pad=2)
        ax.set_xlabel("cluster (number), or component not in use, in order of weight")


def _draw_running_total(ax: Axes, rank: NDArray[np.int_], total: NDArray[np.float64]) -> None:
    above = ax.twinx()
    above.plot(
        rank,
        total,
        color=SECONDARY,
        linewidth=1.4,
        drawstyle="steps-mid",
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )
    above.set_ylim(0, 1.03)
    above.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"], fontsize=TICK_SIZE)
    above.set_ylabel("running total", fontsize=LABEL_SIZE, color=SECONDARY)
    above.tick_params(color=FAINT, labelcolor=SECONDARY)
    above.spines[:].set_visible(False)
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    ax.tick_params(axis="y", labelsize=CAPTION_SIZE, labelcolor=MUTED)
