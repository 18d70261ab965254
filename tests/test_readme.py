"""Code in the README, in CONTRIBUTING and in the documentation runs as it stands, and its commands exist."""

import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from pyro_vmm.command_line.main import parser

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))]
# A block may stand indented, in a tab.
BLOCK = re.compile(r"^( *)```([a-z]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
COMMANDS = ("", "console", "bash", "sh")


def blocks(name: str, *languages: str) -> list[str]:
    found = BLOCK.findall((ROOT / name).read_text())
    return [textwrap.dedent(code) for _, language, code in found if language in languages]


WITH_CODE = [name for name in PAGES if blocks(name, "python")]
WITH_COMMANDS = [name for name in [*PAGES, "benchmarks/README.md"] if blocks(name, *COMMANDS)]


def test_no_block_is_passed_over() -> None:
    assert {"README.md", "CONTRIBUTING.md"} < set(WITH_CODE)
    for name in PAGES:
        text = (ROOT / name).read_text()
        assert text.count("```") == 2 * len(BLOCK.findall(text)), f"{name} has a block that is not closed or not read"
        assert len(re.findall("```python", text)) == len(blocks(name, "python"))


@pytest.mark.parametrize("name", WITH_CODE)
def test_python_blocks_run(name: str) -> None:
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "page"}
    for number, code in enumerate(blocks(name, "python")):
        exec(compile(code, f"{name}, Python block {number}", "exec"), names)
    if name == "README.md":
        assert names["certainty"].shape == (1797, 30)
        assert names["embedding"].shape == (1797, 10)
        assert names["new"].shape == (5, 64)
        assert (names["coarser"] == names["clusters"]).all()


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_commands_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in "\n".join(blocks(name, *COMMANDS)).replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words[:1] == ["pyro-vmm"]:
            # Leaves with status 2 and a message where a command, an option or its type is not known.
            parser().parse_args(words[1:])
        elif words[:1] == ["make"]:
            assert set(words[1:]) <= targets, f"{name}: the Makefile has no {line}"
        elif words[:1] == ["python"]:
            assert (ROOT / words[1]).is_file(), f"{name}: there is no {words[1]}"
