"""Whether the tests notice a fault in the mathematics: it is seeded in a copy of the checkout, where its tests must fail.

The checkout itself is only read.
"""

import importlib
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fitted import Fitted
from benchmarks.measurements.seeded_faults import FAULTS, Fault
from benchmarks.run import Run

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("pyro_vmm", "tests", "pyproject.toml", "README.md", "CONTRIBUTING.md")
# Loaded once and inherited by every run, none of which has to wait for them again.
PRELOADED = ("torch", "pyro", "pandas", "sklearn.mixture", "scipy.stats", "anndata", "mpmath", "pytest")
# Plugins of pytest among the modules loaded before it have no assertions of interest.
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
PASSED, NOTICED, TOO_SLOW = 0, 1, -signal.SIGALRM


def copy_checkout(folder: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def run_tests(folder: Path, tests: Sequence[str], seconds: int) -> int:
    """Exit status of pytest on ``tests`` of the copy in ``folder``.

    Raises
    ------
    RuntimeError
        Where pytest neither passed nor failed nor was too slow.
    """
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        sys.dont_write_bytecode = True
        for name in [name for name in sys.modules if name.partition(".")[0] in ("pyro_vmm", "benchmarks")]:
            del sys.modules[name]
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)
        status = 3
        try:
            package = importlib.import_module("pyro_vmm")
            assert Path(str(package.__file__)).is_relative_to(folder)
            pytest = importlib.import_module("pytest")
            status = int(pytest.main([*OPTIONS, *(f"tests/{name}" for name in tests)]))
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (PASSED, NOTICED, TOO_SLOW):
        raise RuntimeError(f"{(folder / 'log.txt').read_text()}\npytest's status {status}")
    return status


def seed_fault(folder: Path, fault: Fault) -> None:
    """Put the fault into the copy.

    Raises
    ------
    RuntimeError
        Where its place is not there, or there more than once.
    """
    path = folder / "pyro_vmm" / fault.file
    text = path.read_text()
    if text.count(fault.right) != 1:
        raise RuntimeError(f"pyro_vmm/{fault.file} holds {text.count(fault.right)} times: {fault.right}")
    path.write_text(text.replace(fault.right, fault.wrong))


def measure_mutation(x: None, options: Mapping[str, Any], run: Run) -> Fitted:
    """Run the tests of the fault ``options["number"]`` with it, or without any (None) those of all faults.

    Raises
    ------
    AssertionError
        Where tests fail without a fault.
    """
    for module in PRELOADED:
        importlib.import_module(module)
    number = options["number"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        copy_checkout(folder)
        if number is None:
            tests = sorted({name for fault in FAULTS for name in fault.tests.split()})
            status = run_tests(folder, tests, 10 * options["seconds"])
            assert status == PASSED, f"{(folder / 'log.txt').read_text()}\nwithout a fault pytest's status is {status}"
            return Fitted(numbers={"files_of_tests": float(len(tests))})
        seed_fault(folder, FAULTS[number])
        status = run_tests(folder, FAULTS[number].tests.split(), options["seconds"])
    return Fitted(numbers={"noticed": float(status == NOTICED), "too_slow": float(status == TOO_SLOW)})
