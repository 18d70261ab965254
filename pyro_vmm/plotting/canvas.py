"""The plain page every picture is drawn on: axes without pyplot, titles that say the finding, quiet frames."""

import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyro_vmm.plotting.palette import FAINT, INK, MUTED
from pyro_vmm.process_lock import PROCESS_LOCK

TITLE_SIZE = 12.0
CAPTION_SIZE = 9.0
LABEL_SIZE = 10.0
TICK_SIZE = 9.0


def blank_axes(width: float, height: float) -> Axes:
    """Axes of a new figure that no backend and no pyplot state knows of.

    Parameters
    ----------
    width, height : float
        Size of the figure in inches.
    """
    return Figure(figsize=(width, height), layout="constrained").subplots()


def tidy(ax: Axes, x_label: str = "", y_label: str = "") -> None:
    """Label the axes and leave only the two spines that carry ticks."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(labelsize=TICK_SIZE, color=FAINT, labelcolor=MUTED)
    ax.set_xlabel(x_label, fontsize=LABEL_SIZE, color=INK)
    ax.set_ylabel(y_label, fontsize=LABEL_SIZE, color=INK)


def headline(ax: Axes, title: str, caption: str = "") -> None:
    """Say the finding above the axes, flush left, and how to read it in smaller grey type beneath.

    Long lines are wrapped to the width of the axes, since matplotlib would let them run off the page.
    """
    settle(ax)
    inches = ax.get_window_extent().width / ax.figure.dpi
    title = _wrapped(title, inches, TITLE_SIZE)
    caption = _wrapped(caption, inches, CAPTION_SIZE)
    lines = caption.count("\n") + 1 if caption else 0
    ax.set_title(title, loc="left", fontsize=TITLE_SIZE, color=INK, pad=6 + lines * CAPTION_SIZE * 1.35)
    if caption:
        ax.annotate(
            caption,
            (0, 1),
            (0, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            va="bottom",
            fontsize=CAPTION_SIZE,
            color=MUTED,
        )


def named(title: str, finding: str) -> str:
    """A finding after the name of its picture, where it has one."""
    return f"{one_line(title, 60)}: {finding}" if title else finding


def settle(ax: Axes) -> None:
    """Lay the figure out now, so that lengths measured on the axes are those it will be drawn with."""
    figure = ax.get_figure(root=True)
    engine = figure.get_layout_engine() if figure is not None else None
    if figure is not None and engine is not None:
        with any_letter():
            engine.execute(figure)


@contextmanager
def any_letter() -> Iterator[None]:
    """Draw names that hold a letter which matplotlib's typeface lacks: a box stands in its place, without a warning."""
    with PROCESS_LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def _wrapped(text: str, inches: float, size: float) -> str:
    # 0.55 em is a mean letter of matplotlib's default typeface.
    columns = max(24, int(inches * 72 / (0.55 * size)))
    # A number stays on the line of its per cent sign.
    return textwrap.fill(text.replace(" %", "\u00a0%"), columns).replace("\u00a0", " ")


def percent(share: float) -> str:
    """Write a share as a percentage, never rounding something to nothing."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.1f} %"


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Write a count and its noun: "1 cluster", "1,200 clusters"; ``nouns`` where adding an s will not do."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def one_line(name: object, longest: int) -> str:
    """A name from the data as it may be drawn: one line, at most so many letters, and no mathematics in its dollars."""
    text = " ".join(str(name).split())
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    # A leading underscore would keep an entry out of a key.
    return text.replace("$", r"\$") if not text.startswith("_") else " " + text.replace("$", r"\$")
