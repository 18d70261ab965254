"""How often responsibilities are right, beside how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from pyro_vmm.plotting.canvas import CAPTION_SIZE, blank_axes, headline, percent, plural, tidy
from pyro_vmm.plotting.palette import FAINT, MUTED, PRIMARY, SECONDARY

if TYPE_CHECKING:
    from pyro_vmm.diagnosis import Reliability

LARGEST_DOT = 220.0


def reliability(table: Reliability, *, ax: Axes | None = None) -> Axes:
    """Draw accuracy against confidence, a dot a bin whose area goes with its observations.

    On the diagonal the responsibilities mean what they say. A dot below it is over-sure, one above it too vague; the orange
    line between is the bin's error, and each dot carries its number of observations.

    Parameters
    ----------
    table : Reliability
        Of :func:`pyro_vmm.diagnosis.reliability`.
    ax : Axes, optional
        Where to draw; a new figure where absent.
    """
    if ax is None:
        ax = blank_axes(6.0, 6.0)
    tidy(ax, "probability of the most probable group", "share of observations that are of it")
    there = table.counts > 0
    confidence, accuracy, counts = table.confidence[there], table.accuracy[there], table.counts[there]
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2, zorder=1)
    ax.vlines(confidence, accuracy, confidence, color=SECONDARY, linewidth=1.6, zorder=2)
    area = np.maximum(LARGEST_DOT * counts / counts.max(), 12.0)
    ax.scatter(confidence, accuracy, s=area, color=PRIMARY, zorder=3, clip_on=False)
    for x, y, number in zip(confidence, accuracy, counts, strict=True):
        ax.annotate(
            f"{number:,}",
            (x, y),
            (0, -12 if y <= x else 12),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=CAPTION_SIZE,
            color=MUTED,
        )
    ax.set_xlim(0, 1.02)
    ax.set_ylim(-0.05, 1.05)
    ax.set_aspect("equal")
    error, leaning = table.expected_calibration_error, table.over_confidence
    word = "Over-sure" if leaning > 0 else "Too vague"
    headline(
        ax,
        f"{word} by {percent(abs(leaning))} on the mean",
        f"{plural(int(counts.sum()), 'observation')} in {plural(len(counts), 'bin')}; expected calibration error "
        f"{percent(error)}; area: observations; orange: error of a bin",
    )
    return ax
