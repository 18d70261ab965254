"""The latent space coloured by something other than the cluster: batches, labels, a probability."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import CAPTION_SIZE, blank_axes, headline, named, one_line, percent, plural, tidy
from pyro_vmm.plotting.palette import FAINT, cluster_colours
from pyro_vmm.plotting.points import MAX_POINTS, DrawnPoints, choose_points, scatter_points
from pyro_vmm.plotting.projection import Method, Plane

MOST_NAMED, ROWS = 50, 25
"""Categories in the key, and how many of them stand in one column."""
PLURALS = {"batch": "batches", "category": "categories"}


def latent_by_category(
    latent: ArrayLike | Plane,
    categories: ArrayLike,
    *,
    name: str = "batch",
    method: Method = "auto",
    max_points: int = MAX_POINTS,
    seed: int = 0,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the latent space in two dimensions, coloured by a category of each observation, with a key.

    The largest categories get the colours that are easiest to tell apart, and the key names the fifty largest.

    Parameters
    ----------
    latent : array [N, D] or Plane
        As for :func:`~pyro_vmm.plotting.latent.latent_space`.
    categories : array [N]
        Batch, label, ... of each observation; None and NaN are grey.
    name : str
        What the categories are, in the singular.
    method, max_points, seed, title
        As for :func:`~pyro_vmm.plotting.latent.latent_space`.
    ax : Axes, optional
        Where to draw; a new figure where absent.

    Raises
    ------
    UserError
        Where shapes disagree or a latent coordinate is not finite.
    """
    drawn = choose_points(latent, method=method, max_points=max_points, seed=seed)
    values = pd.Series(np.asarray(categories, dtype=object).ravel())
    _check_length(drawn, len(values), name)
    codes, names = pd.factorize(values.map(str, na_action="ignore"))
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    colour_of = cluster_colours(order)
    # A last entry for the code -1 of what is missing.
    colours = np.array([*(colour_of[code] for code in range(len(names))), FAINT])
    if ax is None:
        ax = blank_axes(7.5 + 1.4 * -(-min(len(names) + 1, MOST_NAMED) // ROWS), 6.6)
    _draw_plane(ax, drawn, c=colours[codes[drawn.order]] if len(codes) else None)
    entries = [(f"{one_line(names[code], 28)}  {counts[code]:,}", colour_of[code]) for code in order]
    missing = int((codes < 0).sum())
    left_out = entries[MOST_NAMED:]
    entries = entries[:MOST_NAMED] + ([(f"none  {missing:,}", FAINT)] if missing else [])
    if entries:
        _draw_key(ax, entries)
    note = f"; the key leaves out {len(left_out):,} smaller ones" if left_out else ""
    finding = plural(len(names), one_line(name, 40), PLURALS.get(name)) if len(codes) else "No observations"
    headline(ax, named(title, finding), drawn.told + note)
    return ax


def latent_by_value(
    latent: ArrayLike | Plane,
    values: ArrayLike,
    *,
    name: str = "probability",
    limits: tuple[float, float] | None = None,
    method: Method = "auto",
    max_points: int = MAX_POINTS,
    seed: int = 0,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the latent space in two dimensions, coloured by a number of each observation.

    Parameters
    ----------
    latent : array [N, D] or Plane
        As for :func:`~pyro_vmm.plotting.latent.latent_space`.
    values : array [N]
        For instance the probability of each observation's cluster. Values that are not finite are grey.
    name : str
        What the numbers are.
    limits : tuple of float, optional
        Values of the ends of the colour scale; the smallest and the largest value where absent.
    method, max_points, seed, title
        As for :func:`~pyro_vmm.plotting.latent.latent_space`.
    ax : Axes, optional
        Where to draw; a new figure where absent.

    Raises
    ------
    UserError
        Where shapes disagree or a latent coordinate is not finite.
    """
    drawn = choose_points(latent, method=method, max_points=max_points, seed=seed)
    number = np.asarray(values, dtype=np.float64).ravel()
    _check_length(drawn, len(number), name)
    finite = number[np.isfinite(number)]
    if ax is None:
        ax = blank_axes(8.2, 6.6)
    low, high = limits if limits is not None else (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    # The palest sixth of the scale would vanish on white paper.
    scale = ListedColormap(colormaps["cividis"](np.linspace(0, 0.84, 256))).with_extremes(bad=FAINT)
    points = _draw_plane(
        ax, drawn, c=np.ma.masked_invalid(number[drawn.order]), cmap=scale, vmin=low, vmax=high, plotnonfinite=True
    )
    if not finite.size:
        headline(ax, named(title, f"No {name} is finite" if len(number) else "No observations"), drawn.told)
        return ax
    bar = ax.figure.colorbar(points, ax=ax, shrink=0.7, pad=0.02)
    if bar.solids is not None:
        bar.solids.set_alpha(1.0)
    bar.set_label(one_line(name, 40), fontsize=CAPTION_SIZE)
    bar.ax.tick_params(labelsize=CAPTION_SIZE, length=0)
    bar.outline.set_visible(False)
    middle = low + 0.5 * (high - low)
    headline(
        ax,
        named(title, f"Median {one_line(name, 40)} {np.median(finite):.3g}"),
        f"{percent(float(np.mean(finite < middle)))} below {middle:.3g}, the middle of the scale; {drawn.told}",
    )
    return ax


def _check_length(drawn: DrawnPoints, length: int, name: str) -> None:
    if length != len(drawn.plane.points):
        raise UserError(f"{name} has {length} values: pass one for each of the {len(drawn.plane.points)} observations")


def _draw_plane(ax: Axes, drawn: DrawnPoints, **colours: object) -> PathCollection:
    points = scatter_points(ax, drawn.plane.points[drawn.order], **colours)
    tidy(ax, *drawn.plane.axis_names)
    if not drawn.plane.axis_names[1]:
        ax.set_yticks([])
    elif len(drawn.order):
        ax.set_aspect("equal", adjustable="datalim")
    return points


def _draw_key(ax: Axes, entries: list[tuple[str, str]]) -> None:
    handles = [Line2D([], [], linestyle="", marker="o", markersize=6, color=colour) for _, colour in entries]
    ax.legend(
        handles,
        [text for text, _ in entries],
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        ncols=-(-len(entries) // ROWS),
        frameon=False,
        fontsize=CAPTION_SIZE if len(entries) <= ROWS else 7.5,
        handletextpad=0.3,
        columnspacing=1.0,
    )
