"""Text that a page takes from elsewhere in the repository, so that nothing is told twice.

``<!-- include: CHANGELOG.md -->``   a file, without its title
``<!-- command line -->``            every command's help

Of a package whose members a page lists, functions that are called like the file they are in would be passed over, the file
being a member of that name, too: they are added.
"""

import ast
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
INCLUDE = re.compile(r"<!-- include: (\S+) -->")
PACKAGE = re.compile(r"^::: pyro_vmm\.(\w+)$(?:\n .*)*", re.MULTILINE)
RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what the markers ask for."""
    markdown = INCLUDE.sub(lambda match: _included(match[1]), markdown)
    if "<!-- command line -->" in markdown:
        markdown = markdown.replace("<!-- command line -->", _command_line())
    return PACKAGE.sub(lambda match: match[0] + _called_like_their_files(match[1]), markdown)


def _called_like_their_files(package: str) -> str:
    source = ROOT / "pyro_vmm" / package / "__init__.py"
    tree = ast.parse(source.read_text()) if source.is_file() else ast.Module([], [])
    imports = [statement for statement in ast.walk(tree) if isinstance(statement, ast.ImportFrom)]
    names = [f"{each.module}.{alias.name}" for each in imports for alias in each.names]
    return "".join(f"\n\n::: {name}" for name in names if name.endswith(".{0}.{0}".format(name.rpartition(".")[2])))


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
