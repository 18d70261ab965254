"""How a fit went: the ELBO and the number of components in use, over training steps."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import CAPTION_SIZE, headline, plural, tidy
from pyro_vmm.plotting.history import History, as_table
from pyro_vmm.plotting.palette import PRIMARY, SECONDARY


def training_curves(history: History, axes: tuple[Axes, Axes] | None = None) -> tuple[Axes, Axes]:
    """Draw the ELBO and the components in use over training steps, one above the other.

    The first steps of a fit are often worse by orders of magnitude. The vertical range follows the bulk and the end of
    the curves, and a note counts the values that it leaves out; a collapse at the end is therefore never hidden.

    The lower axes show the components in use and, where they were counted, the clusters that these make when joined.

    Parameters
    ----------
    history : pandas.DataFrame [T rows] or mapping of str to pandas.DataFrame
        ``VMM.history_`` or ``SingleCellVMM.history``; or columns ``step``, ``elbo`` and optionally ``validation_elbo``,
        ``components_in_use`` and ``clusters_in_use``. Values that are not finite are skipped: validation need not happen at
        every row.
    axes : pair of Axes, optional
        Upper and lower axes; a new figure where absent.

    Returns
    -------
    tuple of Axes
        The upper (ELBO) and the lower (components) axes.

    Raises
    ------
    UserError
        Where ``step`` or ``elbo`` is missing.
    """
    history = as_table(history)
    missing = {"step", "elbo"} - set(history.columns)
    if missing:
        raise UserError(f"history lacks the column {sorted(missing)[0]!r}: pass the history that a fit returned")
    if axes is None:
        upper, lower = Figure(figsize=(7.5, 5.6), layout="constrained").subplots(
            2, 1, sharex=True, height_ratios=[1.7, 1]
        )
    else:
        upper, lower = axes
    _draw_elbo(history, upper)
    _draw_components(history, lower)
    return upper, lower


def robust_limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Vertical range of a rising curve, without a few early values that would squash the rest.

    Parameters
    ----------
    values : array [T]
        Finite values in order of time, T >= 1.

    Returns
    -------
    tuple of float
        Lower and upper end. Always holds the median of the last tenth of the values.
    """
    low, quarter, three_quarters, high = np.quantile(values, [0.05, 0.25, 0.75, 0.95])
    end = float(np.median(values[-max(1, len(values) // 10) :]))
    bottom = min(max(values.min(), high - 5 * (high - quarter)), end)
    top = max(min(values.max(), low + 5 * (three_quarters - low)), end)
    margin = 0.05 * (top - bottom) or max(1e-3 * abs(top), 1e-6)
    return float(bottom - margin), float(top + margin)


def _finite(history: pd.DataFrame, column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Select steps [T] and values [T] of a column where it is finite; empty where it is absent."""
    if column not in history:
        return np.empty(0), np.empty(0)
    steps = history["step"].to_numpy(dtype=np.float64)
    values = history[column].to_numpy(dtype=np.float64, na_value=np.nan)
    kept = np.isfinite(values)
    return steps[kept], values[kept]


def _number(value: float) -> str:
    return f"{value:,.5g}".replace("-", "−")


def _draw_elbo(history: pd.DataFrame, ax: Axes) -> None:
    curves = [
        ("training", "elbo", PRIMARY, "-"),
        ("validation", "validation_elbo", SECONDARY, "--"),
    ]
    drawn: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    tidy(ax, y_label="ELBO per observation (nats)")
    for name, column, colour, dashes in curves:
        steps, values = _finite(history, column)
        if len(values):
            drawn[name] = steps, values
            marker = "o" if len(values) == 1 else None
            ax.plot(steps, values, dashes, color=colour, linewidth=1.3, marker=marker, label=name, rasterized=True)
    if not drawn:
        headline(ax, "No finite ELBO was recorded")
        return
    ranges = [robust_limits(values) for _, values in drawn.values()]
    bottom, top = min(low for low, _ in ranges), max(high for _, high in ranges)
    ax.set_ylim(bottom, top)
    values = np.concatenate([values for _, values in drawn.values()])
    note = ""
    outside = values[(values < bottom) | (values > top)]
    if outside.size:
        furthest = outside[np.argmax(np.abs(outside - (bottom + top) / 2))]
        note = f"; {plural(outside.size, 'value')} off this scale, the furthest {_number(furthest)}"
    if len(drawn) > 1:
        ax.legend(frameon=False, fontsize=CAPTION_SIZE, loc="lower right")
    name = "validation" if "validation" in drawn else "training"
    steps, values = drawn[name]
    headline(
        ax,
        f"{name.capitalize()} ELBO {_number(values[-1])} at step {steps[-1]:,.0f}",
        f"best {_number(values.max())} at step {steps[np.argmax(values)]:,.0f}{note}",
    )


def _draw_components(history: pd.DataFrame, ax: Axes) -> None:
    steps, counts = _finite(history, "components_in_use")
    tidy(ax, "training step", "components in use")
    if not len(counts):
        headline(ax, "Components in use were not recorded")
        return
    marker = "o" if len(counts) == 1 else None
    ax.plot(
        steps,
        counts,
        color=PRIMARY,
        linewidth=1.6,
        drawstyle="steps-post",
        marker=marker,
        label="components",
        rasterized=True,
    )
    ax.set_ylim(0, counts.max() * 1.08 + 0.5)
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    note = "before joining: clusters may be fewer"
    steps, clusters = _finite(history, "clusters_in_use")
    if len(clusters):
        ax.plot(steps, clusters, "o--", color=SECONDARY, linewidth=1.0, markersize=3, label="clusters, joined")
        ax.legend(frameon=False, fontsize=CAPTION_SIZE)
        note = f"joined: {plural(int(clusters[-1]), 'cluster')} of the observations that were counted"
    headline(ax, f"{plural(int(counts[-1]), 'component')} in use at the end", note)
