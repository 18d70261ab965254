"""The package's docstrings, which are numpy's and reStructuredText, as the Markdown that mkdocstrings expects."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(class|meth|func|mod|attr|data|exc):`(~?)([^`]+)`")
INLINE_FORMULA = re.compile(r":math:`([^`]+)`")
FORMULA = re.compile(r"^( *)\.\. math::(.*(?:\n\1 +.*)*)", re.MULTILINE)
SEVERAL_NAMES = re.compile(r"^(\w+(?:, \w+)+)( : .*)?\n((?: {4}.*\n?|\n(?= {4}))+)", re.MULTILINE)
LITERAL_BLOCK = re.compile(r"::(?=\n\n +)")


class Markdown(griffe.Extension):
    """Roles become links (where there is something to link to), formulas dollars, and ``::`` a colon.

    Parameters told together are told one by one: griffe would give all of them the first one's default.
    """

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value, obj)


def markdown(text: str, obj: griffe.Object) -> str:
    """Markdown of a docstring of ``obj``."""

    def linked(match: re.Match[str]) -> str:
        role, short, target = match.groups()
        shown = target.rpartition(".")[2] if short else target
        return f'<autoref identifier="{_identifier(role, target, obj)}" optional><code>{shown}</code></autoref>'

    def displayed(match: re.Match[str]) -> str:
        body = " ".join(line.strip() for line in match[2].splitlines())
        return f"\n{match[1]}$$\n{match[1]}{body}\n{match[1]}$$\n"

    def one_by_one(match: re.Match[str]) -> str:
        names, kind, body = match.groups()
        return "\n".join(f"{name}{kind or ''}\n{body.rstrip()}" for name in names.split(", ")) + "\n"

    text = SEVERAL_NAMES.sub(one_by_one, text)
    text = FORMULA.sub(displayed, text)
    text = INLINE_FORMULA.sub(r"$\1$", text)
    return LITERAL_BLOCK.sub(":", ROLE.sub(linked, text))


def _identifier(role: str, target: str, obj: griffe.Object) -> str:
    if "." in target:
        return target
    scope = obj
    while scope.parent is not None and not (scope.is_class if role in ("meth", "attr") else scope.is_module):
        scope = scope.parent
    return f"{scope.path}.{target}"
