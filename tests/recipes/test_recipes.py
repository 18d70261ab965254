"""Every recipe of CONTRIBUTING, followed in a copy of the package, leads where it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```(python|diff)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NEW = "count_clusters_on"
"""The option that the recipe adds."""
RECIPES = {title: BLOCK.findall(text) for title, text in SECTION.findall((ROOT / "CONTRIBUTING.md").read_text())}


def copy(folder: Path) -> Path:
    for name in ("pyro_vmm", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("what", ["prior", "likelihood", "modality", "data source"])
def test_what_is_added_keeps_its_contract(what: str, tmp_path: Path) -> None:
    code = [block for kind, block in RECIPES[f"Add a {what}"] if kind == "python"]
    assert len(code) == 2
    (copy(tmp_path) / "test_recipe.py").write_text("\n\n".join(code))
    done = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "test_recipe.py")
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\d+ passed", done.stdout)


def test_an_option_is_one_entry_and_what_the_tests_then_ask_for(tmp_path: Path) -> None:
    ((_, diff),) = RECIPES["Add an option"]
    parts = dict(
        zip(
            re.findall(r"^--- a/(\S+)", diff, re.MULTILINE),
            re.split(r"^(?=--- a/)", diff, flags=re.MULTILINE)[1:],
            strict=True,
        )
    )
    assert len(parts) == 4
    copy(tmp_path)
    entry = "pyro_vmm/options/every_modality.py"
    apply(tmp_path, parts.pop(entry))
    forgotten = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_options.py", "-k", NEW)
    assert forgotten.returncode == 1
    for face in ("arrays", "single-cell"):
        assert f"documents_it[{face}-{NEW}]" in forgotten.stdout
    apply(tmp_path, "".join(parts.values()))
    done = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_options.py", "-k", NEW)
    assert done.returncode == 0, done.stdout[-3000:]
    told = run(tmp_path, "pyro_vmm", "fit", "--help")
    assert "--count-clusters-on N" in told.stdout
    fitted = run(tmp_path, "pyro_vmm", "fit", "digits", "--output", "out", "--count-clusters-on", "0", "--quiet")
    assert fitted.returncode == 2
    assert "--count-clusters-on is 0: it must be a whole number, at least 1." in fitted.stderr


def apply(folder: Path, diff: str) -> None:
    done = subprocess.run(["git", "apply", "-C1", "-"], cwd=folder, input=diff, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
