"""Every Python block of the README and of CONTRIBUTING runs as it stands."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, int, str]]:
    return [
        (name, number, code)
        for name in ("README.md", "CONTRIBUTING.md")
        for number, code in enumerate(BLOCK.findall((ROOT / name).read_text()))
    ]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_python_blocks_run(name: str) -> None:
    torch.manual_seed(0)
    names: dict[str, object] = {}
    mine = [block for block in blocks() if block[0] == name]
    assert mine, f"{name} has no Python block"
    for _, number, code in mine:
        exec(compile(code, f"{name}, Python block {number}", "exec"), names)
    if name == "README.md":
        assert names["certainty"].shape == (1797, 30)  # type: ignore[attr-defined]
        assert names["embedding"].shape == (1797, 10)  # type: ignore[attr-defined]
        assert names["new"].shape == (5, 64)  # type: ignore[attr-defined]
        assert (names["coarser"] == names["clusters"]).all()  # type: ignore[attr-defined]
