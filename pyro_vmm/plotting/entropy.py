"""How sure the mixture is of each observation's cluster."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import CAPTION_SIZE, blank_axes, headline, percent, plural, tidy
from pyro_vmm.plotting.palette import MUTED, PRIMARY, SECONDARY

SURE = 0.9


def responsibility_entropy(responsibilities: ArrayLike, *, bins: int = 40, ax: Axes | None = None) -> Axes:
    """Draw a histogram of the entropy of each observation's responsibilities, in nats.

    Zero is certainty; ``log(clusters in use)`` is not knowing at all which of the clusters in use it is, and is
    marked. The count has a logarithmic axis: most observations are certain, and the others are the news.

    Parameters
    ----------
    responsibilities : array [N, K]
        Rows sum to one.
    bins : int
        Number of bars.
    ax : Axes, optional
        Where to draw; a new figure where absent.

    Raises
    ------
    UserError
        Where the responsibilities are not a matrix with at least one column.
    """
    r = np.asarray(responsibilities)
    if r.ndim != 2 or r.shape[1] == 0:
        raise UserError(f"responsibilities has shape {list(r.shape)}: pass one row an observation, [N, K]")
    if ax is None:
        ax = blank_axes(7.5, 4.2)
    tidy(ax, "entropy of an observation's responsibilities (nats)", "observations")
    if not len(r):
        headline(ax, "No observations")
        return ax
    entropy = entropy_in_nats(r)
    in_use = len(np.unique(r.argmax(axis=1)))
    ignorance = float(np.log(in_use))
    end = max(float(entropy.max()), ignorance, 0.05)
    ax.hist(entropy, bins=np.linspace(0, end, bins + 1).tolist(), color=PRIMARY, rwidth=0.9)
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.7)
    ax.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}" if count >= 1 else "")
    ax.axvline(ignorance, color=SECONDARY, linewidth=1.2, linestyle="--")
    right = ignorance > end / 2
    ax.annotate(
        f"log {in_use} = {ignorance:.2f}:\nevery cluster in use equally probable"
        if in_use > 1
        else "log 1 = 0: one cluster",
        (ignorance, 1),
        (-5 if right else 5, -4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=CAPTION_SIZE,
        color=MUTED,
    )
    sure = float(np.mean(r.max(axis=1) > SURE))
    headline(
        ax,
        f"{percent(sure)} of observations have a cluster of probability above {SURE}",
        f"{plural(len(r), 'observation')}, {plural(in_use, 'cluster')} in use; "
        f"mean entropy {entropy.mean():.2f} nats, median {np.median(entropy):.2g}",
    )
    return ax


def entropy_in_nats(responsibilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Entropy [N] of the rows of ``responsibilities`` [N, K]; ``0 log 0`` is 0."""
    entropy = np.empty(len(responsibilities))
    # In blocks: a million rows of a hundred components would need gigabytes of logarithms at once.
    for start in range(0, len(responsibilities), 65_536):
        block = responsibilities[start : start + 65_536].astype(np.float64)
        log_block = np.log(block, out=np.zeros_like(block), where=block > 0)
        entropy[start : start + 65_536] = np.maximum(-(block * log_block).sum(axis=1), 0.0)
    return entropy
