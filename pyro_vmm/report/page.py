"""The page itself: one HTML file that loads nothing and runs no script but its own."""

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pyro_vmm import __version__
from pyro_vmm.report.contents import SEVERITIES, Contents, told


def render(contents: Contents) -> str:
    """The whole page.

    Every string is escaped by the template engine. None is put into the script, which only reads the finished page; a
    Content-Security-Policy names that script and the style by their hashes, so that nothing else would run.
    """
    folder = files("pyro_vmm.report")
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["told"] = told
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return template.render(
        page=contents,
        policy=policy,
        style=Markup(style),
        script=Markup(script),
        severities=SEVERITIES,
        version=__version__,
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
