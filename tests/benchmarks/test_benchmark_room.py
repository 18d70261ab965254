"""The folder benchmarks/ has one harness, imports point one way, and every result says what makes it again."""

import ast
import graphlib
import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import pyro_vmm
from benchmarks import tables
from pyro_vmm.command_line.main import parser

ROOM = Path(pyro_vmm.__file__).parents[1] / "benchmarks"
MODULES = {
    ".".join(path.relative_to(ROOM.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOM.rglob("*.py"))
}


def imported(path: Path) -> Iterator[str]:
    """Names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, path
            assert not node.level, path
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def needed(name: str) -> set[str]:
    """Modules of the room that this one imports; packages that hold it have been imported before."""
    found = set()
    for other in imported(MODULES[name]):
        parts = other.split(".")
        found |= {".".join(parts[: number + 1]) for number in range(len(parts))} & MODULES.keys()
    return {other for other in found if other != name and not name.startswith(f"{other}.")}


def test_no_two_files_import_each_other() -> None:
    """A cycle is named by the error."""
    graph = {name: needed(name) for name in MODULES}
    assert "benchmarks.methods" in graph["benchmarks.harness.trial"]
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) == set(MODULES)


def test_there_is_one_harness() -> None:
    """No file parses a command line, and none is a script."""
    for path in MODULES.values():
        assert "argparse" not in set(imported(path)), path
        assert "__main__" not in path.read_text(), path


def test_every_measurement_and_method_is_in_a_table() -> None:
    from benchmarks.measurements import MEASUREMENTS
    from benchmarks.methods import FITS, FITS_THAT_SEE_LABELS

    used = {trial.fit for table in tables.TABLES.values() for trial in table.trials(False, 0)}
    assert used == {*MEASUREMENTS, *FITS, *FITS_THAT_SEE_LABELS}


def test_the_page_of_results_says_what_makes_every_file_again() -> None:
    results = ROOM / "results"
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", (results / "README.md").read_text(), re.MULTILINE)
    files = {path.name for path in results.iterdir()} - {"README.md"}
    for name in files:
        assert sum(fnmatch(name, pattern) for pattern, _ in rows) == 1, f"{name} has not one row"
    for pattern, command in rows:
        assert any(fnmatch(name, pattern) for name in files), f"there is no {pattern}"
        words = shlex.split(command)
        assert words[0] == "pyro-vmm"
        options = parser().parse_args(words[1:])
        if words[1] == "benchmark":
            assert options.name in tables.TABLES
            if pattern.endswith(".*"):
                assert pattern == options.name + "-quick" * options.quick + ".*"
                assert options.results == Path("benchmarks/results")


def test_the_command_names_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["benchmark", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert all(name in told for name in tables.TABLES)
