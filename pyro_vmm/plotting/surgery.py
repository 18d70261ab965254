"""The ELBO taken apart, for one fit or several."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import CAPTION_SIZE, LABEL_SIZE, TICK_SIZE, headline, one_line, plural, tidy
from pyro_vmm.plotting.palette import INK, MUTED, cluster_colours

DIVERGENCES = {
    "average_kl": "average KL",
    "marginal_kl": "marginal KL",
    "mutual_information": "mutual information",
}
LOG_PROBABILITIES = {
    "expected_log_likelihood": "E log p(x | z)",
    "elbo": "ELBO",
    "importance_weighted_log_prob": "log p(x), importance-weighted",
    "reconstruction_log_prob": "log p(x | x)",
}
"""Names in :class:`~pyro_vmm.scoring.elbo_surgery.ElboSurgery`, and what they are called in the picture."""


def elbo_surgery_bars(
    fits: Mapping[str, Mapping[str, float]], *, axes: tuple[Axes, Axes] | None = None
) -> tuple[Axes, Axes]:
    """Draw the quantities of an ELBO surgery, all in nats an observation.

    Above stand bars from zero: the average KL(q(z|x) || p(z)) and its two parts, the marginal KL and the index-code
    mutual information. Below stand the log-probabilities as points, because bars from zero would hide their differences.

    Parameters
    ----------
    fits : mapping of str to mapping
        For each fit, by name, what ``ElboSurgery.as_dict()`` gives, or ``scores.json`` holds as ``"elbo_surgery"``.
    axes : pair of Axes, optional
        Upper and lower axes; a new figure where absent.

    Returns
    -------
    tuple of Axes
        The axes of the divergences and of the log-probabilities.

    Raises
    ------
    UserError
        Where there is no fit, or one lacks a quantity.

    References
    ----------
    M. Hoffman and M. Johnson (2016), "ELBO surgery: yet another way to carve up the variational evidence lower bound".
    """
    if not fits:
        raise UserError("There is no fit to draw: pass at least one ELBO surgery by name")
    told = {one_line(name, 40): _with_elbo(name, quantities) for name, quantities in fits.items()}
    colours = list(cluster_colours(range(len(told))).values())
    if axes is None:
        height = 3.6 + 7 * max(len(told), 2) * (0.16 if len(told) <= 6 else 0.08)
        axes = tuple(Figure(figsize=(7.5, height), layout="constrained").subplots(2, 1, height_ratios=[3, 4]))
    upper, lower = axes
    _draw_bars(upper, told, colours)
    _draw_points(lower, told, colours)
    if len(told) > 1:
        lower.legend(frameon=False, fontsize=CAPTION_SIZE, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    first = next(iter(told.values()))
    share = first["mutual_information"] / first["average_kl"] if first["average_kl"] > 0 else 0.0
    headline(
        upper,
        f"Average KL {first['average_kl']:.3g} nats, {100 * share:.0f} % of it mutual information"
        if len(told) == 1
        else f"The ELBO of {plural(len(told), 'fit')}, taken apart",
        "average KL = marginal KL + mutual information",
    )
    headline(lower, "Log-probabilities", "points, because this axis does not begin at zero")
    return upper, lower


def _with_elbo(name: str, quantities: Mapping[str, float]) -> dict[str, float]:
    try:
        values = {key: float(quantities[key]) for key in (*DIVERGENCES, *LOG_PROBABILITIES) if key != "elbo"}
    except KeyError as error:
        raise UserError(f"The ELBO surgery of {name!r} lacks {error.args[0]!r}: pass what elbo_surgery gave") from None
    return values | {"elbo": values["expected_log_likelihood"] - values["average_kl"]}


def _offsets(number: int) -> tuple[np.ndarray, float]:
    """Where in a row each fit stands, and how thick its bar is."""
    thickness = 0.8 / number
    return (np.arange(number) - (number - 1) / 2) * thickness, thickness


def _name_rows(ax: Axes, names: Mapping[str, str]) -> None:
    ax.set_yticks(range(len(names)), list(names.values()), fontsize=LABEL_SIZE, color=INK)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(names) - 0.45, -0.55)


def _draw_bars(ax: Axes, told: Mapping[str, Mapping[str, float]], colours: list[str]) -> None:
    tidy(ax, "nats an observation")
    offsets, thickness = _offsets(len(told))
    for (name, values), offset, colour in zip(told.items(), offsets, colours, strict=True):
        widths = [values[key] for key in DIVERGENCES]
        bars = ax.barh(np.arange(3) + offset, widths, height=0.9 * thickness, color=colour, label=name)
        if len(told) <= 6:
            ax.bar_label(bars, [f"{width:.2f}" for width in widths], padding=3, fontsize=TICK_SIZE, color=MUTED)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.margins(x=0.1)
    _name_rows(ax, DIVERGENCES)


def _draw_points(ax: Axes, told: Mapping[str, Mapping[str, float]], colours: list[str]) -> None:
    tidy(ax, "nats an observation")
    offsets, _ = _offsets(len(told))
    for (name, values), offset, colour in zip(told.items(), offsets, colours, strict=True):
        places = [values[key] for key in LOG_PROBABILITIES]
        rows = np.arange(len(places)) + offset
        ax.plot(places, rows, "o", color=colour, markersize=6 if len(told) <= 6 else 4, label=name)
        if len(told) <= 6:
            for place, row in zip(places, rows, strict=True):
                ax.annotate(
                    f"{place:,.5g}".replace("-", "−"),
                    (place, row),
                    (7, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=TICK_SIZE,
                    color=MUTED,
                )
    ax.margins(x=0.15)
    ax.grid(axis="x", color="#ececec", linewidth=0.8)
    ax.set_axisbelow(True)
    _name_rows(ax, LOG_PROBABILITIES)
