"""Whether replicated data look like the data: one number, one feature at a time, or group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import CAPTION_SIZE, TICK_SIZE, blank_axes, headline, percent, plural, tidy
from pyro_vmm.plotting.palette import FAINT, INK, PRIMARY, SECONDARY

MAGNITUDES = 100

if TYPE_CHECKING:
    from pyro_vmm.ppc import PredictiveCheck, StatisticCheck


def predictive_histogram(check: StatisticCheck, *, bins: int = 30, ax: Axes | None = None) -> Axes:
    """Draw the observed value of a statistic against a histogram of the replicates'.

    A statistic of several entries is drawn as its mean over entries.

    Parameters
    ----------
    check : StatisticCheck
        One statistic of a :func:`pyro_vmm.ppc.check`.
    bins : int
        Number of bars.
    ax : Axes, optional
        Where to draw; a new figure where absent.

    Raises
    ------
    UserError
        Where the mean over the entries says nothing, or is not defined.
    """
    overall = check.overall
    if not np.isfinite(check.p_value):
        raise UserError(f"{check.name!r} has no mean over entries to draw: draw its entries with predictive_scatter.")
    if ax is None:
        ax = blank_axes(7.5, 4.2)
    replicated, observed = overall.replicated[np.isfinite(overall.replicated)], float(overall.observed[0])
    tidy(ax, _label(check), "replicates")
    ax.hist(replicated, bins=bins, color=PRIMARY, rwidth=0.9)
    ax.axvline(observed, color=SECONDARY, linewidth=1.8)
    middle = (ax.get_xlim()[0] + ax.get_xlim()[1]) / 2
    ax.annotate(
        f"data {observed:.4g}",
        (observed, 1),
        (-5 if observed > middle else 5, -4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if observed > middle else "left",
        va="top",
        fontsize=CAPTION_SIZE,
        color=SECONDARY,
    )
    headline(
        ax,
        f"{_title(check)}: replicates are {check.verdict}",
        f"{percent(check.p_value)} of {plural(len(replicated), 'replicate')} are at or above the data; "
        f"{plural(check.num_observations, 'observation')}",
    )
    return ax


def predictive_scatter(check: StatisticCheck, *, ax: Axes | None = None) -> Axes:
    """Draw a statistic of each feature in the data against the replicates' mean, with the line where they agree.

    A bar spans the central 95 % of the replicates. Features outside it are orange. Axes are logarithmic where all values are
    positive and differ by a factor above 100.

    Parameters
    ----------
    check : StatisticCheck
        A statistic of several entries.
    ax : Axes, optional
        Where to draw; a new figure where absent.

    Raises
    ------
    UserError
        Where the statistic is one number, or undefined everywhere.
    """
    if len(check.entries) < 2:
        raise UserError(f"{check.name!r} is one number: draw it with predictive_histogram.")
    table = check.to_frame()
    table = table[np.isfinite(table["p_value"])]
    if not len(table):
        raise UserError(f"{check.name!r} is undefined for every entry: there is nothing to draw.")
    if ax is None:
        ax = blank_axes(5.6, 5.6)
    tidy(ax, f"{_label(check, mean=False)} of the data", "of the replicates (mean, central 95 %)")
    for outside, colour in ((False, PRIMARY), (True, SECONDARY)):
        part = table[table["outside"] == outside]
        ax.vlines(part["observed"], part["low"], part["high"], color=colour, alpha=0.35, linewidth=0.9, rasterized=True)
        ax.plot(part["observed"], part["replicated"], "o", color=colour, markersize=3.2, rasterized=True)
    points = table[["observed", "replicated"]].to_numpy()
    low, high = float(points.min()), float(points.max())
    if 0 < MAGNITUDES * low < high:
        ax.set_xscale("log")
        ax.set_yscale("log")
    ax.plot([low, high], [low, high], color=INK, linewidth=0.8, linestyle="--", zorder=0)
    # The same length for the same value on both axes, so that the line stands at 45 degrees.
    lower, upper = min(ax.get_xlim()[0], ax.get_ylim()[0]), max(ax.get_xlim()[1], ax.get_ylim()[1])
    ax.set(xlim=(lower, upper), ylim=(lower, upper), aspect="equal")
    headline(
        ax,
        f"{_title(check)}: {percent(check.share_outside)} of {len(table):,} entries outside",
        f"outside (orange) the central 95 % of {plural(len(check.replicated), 'replicate')}; "
        f"{plural(check.num_observations, 'observation')}",
    )
    return ax


def predictive_p_values(result: PredictiveCheck, *, ax: Axes | None = None) -> Axes:
    """Draw p-values as a heat map, groups below each other and statistics side by side.

    White is 0.5; near 0 (orange) the replicates fall short of the data, near 1 (blue) they exceed them. Statistics without a
    mean over entries are left blank.

    Parameters
    ----------
    result : PredictiveCheck
        Of :func:`pyro_vmm.ppc.check`, by groups or not.
    ax : Axes, optional
        Where to draw; a new figure where absent.
    """
    table = result.p_values()
    values = table.to_numpy(dtype=np.float64)
    if ax is None:
        ax = blank_axes(max(5.0, 2.0 + 1.1 * values.shape[1]), max(2.4, 1.6 + 0.3 * values.shape[0]))
    tidy(ax)
    ax.spines[:].set_visible(False)
    colours = LinearSegmentedColormap.from_list("short-to-beyond", [SECONDARY, "#ffffff", PRIMARY])
    ax.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    size = TICK_SIZE if len(table) <= 40 else 6.0
    ax.set_xticks(range(values.shape[1]), list(table.columns), fontsize=TICK_SIZE, color=INK)
    ax.set_yticks(range(values.shape[0]), [str(name) for name in table.index], fontsize=size, color=INK)
    ax.tick_params(length=0)
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        value = values[row, column]
        shade = "white" if abs(value - 0.5) > 0.4 else INK
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=min(size, 8.0), color=shade)
    if len(table) > 1:
        ax.axhline(0.5, color=FAINT, linewidth=1.5)
    outside = sum(check.verdict.startswith("too") for check in result)
    headline(
        ax,
        f"{outside} of {plural(int(np.isfinite(values).sum()), 'p-value')} outside the central 95 %",
        f"{result.source} predictive, {plural(result.num_replicates, 'replicate')}: share at or above the data "
        "(orange: replicates fall short, blue: they exceed)",
    )
    return ax


def _title(check: StatisticCheck) -> str:
    return check.name.replace("_", " ") + ("" if check.group is None else f" in {check.group}")


def _label(check: StatisticCheck, *, mean: bool = True) -> str:
    name = check.name.replace("_", " ")
    return f"{name}, mean over {len(check.entries):,} entries" if mean and len(check.entries) > 1 else name
