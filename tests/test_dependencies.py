"""What pyproject.toml asks for has a reason in CONTRIBUTING.md, and its lowest versions stand in constraints-lowest.txt."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def name_of(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0]


def test_every_dependency_has_its_reason() -> None:
    table = [line.split("|") for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if line.startswith("| ")]
    told = {}
    for _, packages, reason, _ in table[1:]:
        extra = re.search(r"\(extra `(\w+)`\)", packages)
        names = re.sub(r"\(.*\)", "", packages).split(",")
        told |= {name.strip(): (extra[1] if extra else None, reason.strip()) for name in names}
    for requirement in PROJECT["dependencies"]:
        assert told[name_of(requirement)][0] is None, f"{requirement} is no extra"
    for extra, requirements in EXTRAS.items():
        for requirement in requirements:
            name = name_of(requirement)
            assert told[name][1], f"{name} has no reason"
            assert told[name][0] in {other for other, those in EXTRAS.items() if name in map(name_of, those)}, extra
    asked_for = {name_of(each) for those in (PROJECT["dependencies"], *EXTRAS.values()) for each in those}
    assert set(told) <= asked_for, "a row for what nothing asks for"


def test_the_lowest_versions_are_those_of_pyproject() -> None:
    requirements = [
        *PROJECT["dependencies"],
        *EXTRAS["test"],
        *EXTRAS["parquet"],
        *EXTRAS["arviz"],
        *EXTRAS["compiled"],
    ]
    lowest = {f"{bound[1]}=={bound[2]}" for each in requirements if (bound := re.match(r"([\w.-]+)>=([\w.]+)", each))}
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    assert {line for line in lines if not line.startswith("#")} == lowest
    for requirement in PROJECT["dependencies"]:
        assert ">=" in requirement, f"{requirement} has no lower bound"


def test_the_makefile_names_no_machine() -> None:
    assert not re.search(r"(?<![\w.$*])/(?!dev/null)[a-z]+/[a-z]", (ROOT / "Makefile").read_text())
