r"""Formulas as pictures drawn here, so that a page needs no script and no network.

``pymdownx.arithmatex`` finds ``$...$`` and ``$$...$$``; matplotlib's mathtext (a subset of LaTeX) sets each as the paths of an
inline SVG in the colour of the text, with its source for screen readers. A formula that mathtext cannot read stops the build.
"""

import html
import re
from functools import cache
from typing import Any

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextToPath
from mkdocs.exceptions import PluginError

SIZE = 20.0
FONT = FontProperties(size=SIZE, math_fontfamily="stix")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
NOT_IN_MATHTEXT = {"tfrac": r"\frac", "ge": r"\geq", "le": r"\leq", "ne": r"\neq", "lvert": "|", "rvert": "|"}
COMMANDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}


def on_page_content(content: str, **_: Any) -> str:
    """Replace every formula of a page."""
    return FORMULA.sub(_drawn, content)


def _drawn(match: re.Match[str]) -> str:
    source = html.unescape(match[2])
    lines = [line.strip() for line in source.split("\\\\\n")]
    if match[1] == "div":
        lines = [line.replace(r"\frac", r"\dfrac") for line in lines]
    pictures = "".join(f"<span>{svg(line)}</span>" if len(lines) > 1 else svg(line) for line in lines)
    return f'<{match[1]} class="maths">{pictures}</{match[1]}>'


@cache
def svg(formula: str) -> str:
    """One line of LaTeX as an inline SVG measured in the surrounding text's em."""
    told = " ".join(formula.split())
    for name, known in NOT_IN_MATHTEXT.items():
        told = re.sub(rf"\\{name}(?![A-Za-z])", known.replace("\\", r"\\"), told)
    text = TextToPath()
    try:
        # The parser answers for 72 dots an inch, where a point is a unit; paths come in units of a font of size 100.
        width, height, descent = text.get_text_width_height_descent(f"${told}$", FONT, ismath=True)
        vertices, codes = text.get_text_path(FONT, f"${told}$", ismath=True)
    except (ValueError, AttributeError) as error:
        # The second is how mathtext meets a character that no font has.
        raise PluginError(f"matplotlib cannot set the formula {told!r}: {error}") from None
    scale = SIZE / text.FONT_SCALE
    path = Path([(x * scale, -y * scale) for x, y in vertices], codes)
    ascent, margin = height - descent, 1.0
    box = f"{-margin} {-ascent - margin:.1f} {width + 2 * margin:.1f} {height + 2 * margin:.1f}"
    style = (
        f"width:{(width + 2 * margin) / SIZE:.3f}em;height:{(height + 2 * margin) / SIZE:.3f}em;"
        f"vertical-align:{-(descent + margin) / SIZE:.3f}em"
    )
    label = html.escape(told, quote=True)
    return (
        f'<svg class="formula" role="img" aria-label="{label}" viewBox="{box}" style="{style}">'
        f'<path d="{_commands(path)}"/></svg>'
    )


def _commands(path: Path) -> str:
    words = []
    for points, code in path.iter_segments(simplify=False, curves=True):
        words.append("Z" if code == Path.CLOSEPOLY else COMMANDS[code] + " ".join(f"{point:.1f}" for point in points))
    return "".join(words)
