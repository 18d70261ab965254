"""The notebooks as pages, with the outputs that they were committed with; nothing is run."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

FOLDER = Path(__file__).parents[2] / "notebooks"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page, its pictures and the notebook itself for every notebook."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        text, pictures = page(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the list of notebooks where a page asks for it, ``<!-- notebooks -->``."""
    lines = []
    for path in sorted(FOLDER.glob("*.ipynb")):
        title, _, first, *_ = page(path)[0].removeprefix("# ").split("\n\n")
        lines.append(f"* [{title}](notebooks/{path.stem}.md)\n\n    {' '.join(first.split())}\n")
    return markdown.replace("<!-- notebooks -->", "\n".join(lines) or "None in this version.")


def page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Markdown of a notebook, and its pictures by name."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(LINK.sub(_link, source))
        elif cell["cell_type"] == "code" and source:
            parts.append(_fenced(source, "python"))
            parts += _outputs(cell["outputs"], path.stem, pictures)
    title, _, rest = "\n\n".join(parts).partition("\n")
    return f"{title}\n\n[Download the notebook]({path.name})\n\n{rest.strip()}", pictures


def _outputs(outputs: list[Any], stem: str, pictures: dict[str, bytes]) -> Iterator[str]:
    for output in outputs:
        data = output.get("data", {"text/plain": output.get("text", "")})
        if "image/png" in data:
            name = f"{stem}_{len(pictures)}.png"
            pictures[name] = base64.b64decode("".join(data["image/png"]))
            yield f"![Output of the cell above]({name})"
        elif text := COLOUR.sub("", "".join(data.get("text/plain", ""))).rstrip():
            yield _fenced(text, "text")


def _fenced(text: str, language: str) -> str:
    return f"````{language}\n{text}\n````"


def _link(match: re.Match[str]) -> str:
    """A link from notebook to notebook; what else a notebook links to lies outside the site, and its name will do."""
    name, target = match.groups()
    other = FOLDER / target
    return f"[{name}]({other.stem}.md)" if other.suffix == ".ipynb" and other.is_file() else name
