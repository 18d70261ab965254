"""ELBO against the number of components in use, for one fit or several."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import CAPTION_SIZE, blank_axes, headline, one_line, plural, settle, tidy
from pyro_vmm.plotting.history import History, as_table
from pyro_vmm.plotting.label_placement import spread_labels
from pyro_vmm.plotting.palette import INK, PRIMARY, cluster_colours
from pyro_vmm.plotting.training import robust_limits

MOST_NAMED = 20


def elbo_against_clusters(histories: History | Mapping[str, History], *, ax: Axes | None = None) -> Axes:
    """Draw each fit's way through components in use and ELBO, with a marker where it came out.

    The marker stands at the epoch of the best validation ELBO, the state that a fit keeps, or at the last epoch where
    nothing was held out. Of one fit the bulk and the end of the way are in view, as in ``training_curves``; of several,
    where they came out: the beginnings of their ways then lie outside. Components that are one
    cluster are joined only after training: clusters may be fewer.

    Parameters
    ----------
    histories : history or mapping of str to history
        ``VMM.history_`` or ``SingleCellVMM.history`` of one fit, or of several by name; or columns ``components_in_use`` and
        ``validation_elbo`` or ``elbo``, in nats an observation. Where any of several fits has no validation ELBO, training
        ELBOs are drawn.
    ax : Axes, optional
        Where to draw; a new figure where absent.

    Raises
    ------
    UserError
        Where a column is missing, or there is no finite value.
    """
    if isinstance(histories, pd.DataFrame) or "elbo_train" in histories:
        several = {"": as_table(cast(History, histories))}
    else:
        several = {str(name): as_table(history) for name, history in histories.items()}
    validation = all("validation_elbo" in each and each["validation_elbo"].notna().any() for each in several.values())
    column = "validation_elbo" if validation else "elbo"
    ways = {one_line(name, 30): _way(name, history, column) for name, history in several.items()}
    if not ways:
        raise UserError("There is no fit to draw: pass at least one history")
    if ax is None:
        ax = blank_axes(7.5, 5.0)
    tidy(
        ax,
        "components in use (before joining)",
        f"{'validation' if validation else 'training'} ELBO per observation (nats)",
    )
    colours = list(cluster_colours(range(len(ways))).values()) if len(ways) > 1 else [PRIMARY]
    ends = np.array([_end(way, validation) for way in ways.values()])
    for (name, way), end, colour in zip(ways.items(), ends, colours, strict=True):
        ax.plot(way[:, 0], way[:, 1], color=colour, linewidth=1.0, alpha=0.5, rasterized=True)
        ax.plot(*end, "o", color=colour, markersize=8, markeredgecolor="white", label=name)
    _set_limits(ax, list(ways.values()), ends)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    state = "the best validation ELBO, the state that is kept" if validation else "the last epoch"
    if len(ways) == 1:
        components, elbo = ends[0]
        title = f"ELBO {elbo:,.5g} with {plural(int(components), 'component')} in use".replace("-", "−")
    else:
        title = f"{plural(len(ways), 'fit')}, from {ends[:, 0].min():.0f} to {ends[:, 0].max():.0f} components in use"
    headline(ax, title, f"line: a fit's way, epoch by epoch; marker: {state}")
    if 1 < len(ways) <= MOST_NAMED:
        _write_names(ax, list(ways), ends)
    return ax


def _way(name: str, history: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Components and ELBO [T, 2] of the epochs where both are finite."""
    missing = {"components_in_use", column} - set(history.columns)
    if missing:
        raise UserError(
            f"history {name!r} lacks the column {sorted(missing)[0]!r}: pass the history that a fit returned"
        )
    values = history[["components_in_use", column]].to_numpy(dtype=np.float64, na_value=np.nan)
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        raise UserError(f"history {name!r} has no finite ELBO: nothing can be drawn of it")
    return values


def _end(way: NDArray[np.float64], validation: bool) -> NDArray[np.float64]:
    end: NDArray[np.float64] = way[way[:, 1].argmax()] if validation else way[-1]
    return end


def _set_limits(ax: Axes, ways: list[NDArray[np.float64]], ends: NDArray[np.float64]) -> None:
    if len(ways) == 1:
        ax.set_ylim(*robust_limits(ways[0][:, 1]))
        ax.set_xlim(0, ways[0][:, 0].max() * 1.05 + 0.5)
        return
    low, high = ends[:, 1].min(), ends[:, 1].max()
    spread = (high - low) or max(1e-3 * abs(high), 1e-6)
    ax.set_ylim(low - spread, high + 0.3 * spread)
    ax.set_xlim(0, ends[:, 0].max() * 1.25 + 0.5)


def _write_names(ax: Axes, names: list[str], ends: NDArray[np.float64]) -> None:
    settle(ax)
    pixel = ax.figure.dpi / 72
    boxes = np.array([[0.55 * CAPTION_SIZE * len(name) + 4, CAPTION_SIZE + 3] for name in names]) * pixel
    wanted = ax.transData.transform(ends) + np.stack([boxes[:, 0] / 2 + 7 * pixel, np.zeros(len(names))], axis=1)
    places = ax.transData.inverted().transform(spread_labels(wanted, boxes))
    for name, (x, y) in zip(names, places, strict=True):
        ax.text(float(x), float(y), name, ha="center", va="center", fontsize=CAPTION_SIZE, color=INK)
