"""Text that a page takes from elsewhere in the repository, so that nothing is told twice.

``<!-- include: CHANGELOG.md -->``   a file, without its title
``<!-- command line -->``            every command's help
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
INCLUDE = re.compile(r"<!-- include: (\S+) -->")
RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what the markers ask for."""
    markdown = INCLUDE.sub(lambda match: _included(match[1]), markdown)
    if "<!-- command line -->" in markdown:
        markdown = markdown.replace("<!-- command line -->", _command_line())
    return markdown


def _included(name: str) -> str:
    _, _, body = (ROOT / name).read_text().partition("\n")
    # What a file links to lies beside it, outside the site: its name will do.
    return RELATIVE_LINK.sub(lambda match: match[1] if match[1].startswith("`") else f"`{match[1]}`", body)


def _command_line() -> str:
    # How argparse breaks lines must not depend on the terminal.
    os.environ["COLUMNS"] = "100"
    sys.path.insert(0, str(ROOT))
    from pyro_vmm.command_line.main import parser

    (commands,) = (action.choices for action in parser()._subparsers._group_actions)
    return "\n\n".join(
        f"## `pyro-vmm {name}`\n\n```text\n{command.format_help().rstrip()}\n```" for name, command in commands.items()
    )
