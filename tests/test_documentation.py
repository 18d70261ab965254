"""The documentation site builds without a warning and without a network, and tells of everything public."""

import importlib
import inspect
import os
import re
import subprocess
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path

import pytest

import pyro_vmm

ROOT = Path(__file__).parents[1]
FROM_ELSEWHERE = re.compile(
    r"""<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)|(?:url\(|@import\s*)["']?((?:https?:)?//[^"')]+)"""
)

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")),
    reason="the documentation needs mkdocs-material and mkdocstrings: pip install pyro-vmm[docs]",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("site")
    # Not --quiet: it would keep warnings from being counted.
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(built)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return built


@pytest.fixture(scope="module")
def documented(site: Path) -> set[str]:
    """Names in the inventory, which Sphinx's readers use to link to us."""
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split()[0] for line in zlib.decompress(inventory).decode().splitlines()}


def test_every_public_name_is_documented(documented: set[str]) -> None:
    names = []
    for name in [*pyro_vmm.__all__, "testing"]:
        thing = getattr(pyro_vmm, name) if name != "testing" else importlib.import_module("pyro_vmm.testing")
        if inspect.ismodule(thing):
            members = {public: getattr(thing, public) for public in thing.__all__}
            names += [(f"pyro_vmm.{name}.{public}", member) for public, member in members.items()]
        else:
            names.append((f"pyro_vmm.{name}", thing))
    for name, thing in names:
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert {name, f"{thing.__module__}.{thing.__qualname__}"} & documented, f"{name} has no place in docs/api"
    for facade in (pyro_vmm.VMM, pyro_vmm.SingleCellVMM):
        ours = [base for base in facade.__mro__ if base.__module__.startswith("pyro_vmm.")]
        for member, value in {name: value for base in ours for name, value in vars(base).items()}.items():
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert f"pyro_vmm.{facade.__name__}.{member}" in documented


def test_every_command_is_documented(site: Path) -> None:
    page = (site / "api" / "command-line.html").read_text()
    for option in ("--output DIR", "--prior-weight M", "--batch-key COLUMN", "--num-clusters C"):
        assert option in page


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*"):
        if path.suffix in (".html", ".css"):
            found = [one for groups in FROM_ELSEWHERE.findall(path.read_text()) for one in groups if one]
            assert not found, f"{path.relative_to(site)} fetches {found}"


def test_formulas_are_drawn_and_docstrings_are_markdown(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text()
        assert 'class="arithmatex"' not in text, path.name
        # A role or directive of reStructuredText that was left standing.
        assert not re.search(r":(class|func|meth|math|mod|attr|data):(`|<code)|\.\. math::", text), path.name
    assert (site / "method.html").read_text().count('<svg class="formula"') > 40
