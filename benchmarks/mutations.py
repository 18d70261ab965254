"""Do the tests notice faults in the mathematics? Each fault is seeded in a copy of the checkout, where its tests must fail.

    python benchmarks/mutations.py                     # all faults, one after the other
    python benchmarks/mutations.py --only evidence     # those with this word in the name of the file

Prints a table and writes benchmarks/results/mutations.json. The checkout itself is only read.
"""

import argparse
import functools
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seeded_faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("pyro_vmm", "tests", "pyproject.toml", "README.md", "CONTRIBUTING.md")
# Loaded once and inherited by every run, none of which has to wait for them again.
PRELOADED = ("torch", "pyro", "pandas", "sklearn.mixture", "scipy.stats", "anndata", "mpmath", "pytest")
# Plugins of pytest among the modules loaded before it have no assertions of interest.
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
VERDICTS = {0: "SURVIVED", 1: "killed"}
TOO_SLOW = -signal.SIGALRM


def copy_checkout(folder: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def run_tests(folder: Path, tests: Sequence[str], seconds: int) -> int:
    """Exit status of pytest on ``tests`` of the copy in ``folder``: 0 if all pass, 1 if one fails."""
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        sys.dont_write_bytecode = True
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
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def try_fault(fault: Fault, seconds: int) -> dict[str, Any]:
    text = (ROOT / "pyro_vmm" / fault.file).read_text()
    if text.count(fault.right) != 1:
        raise RuntimeError(f"pyro_vmm/{fault.file} holds {text.count(fault.right)} times: {fault.right}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        copy_checkout(folder)
        (folder / "pyro_vmm" / fault.file).write_text(text.replace(fault.right, fault.wrong))
        status = run_tests(folder, fault.tests.split(), seconds)
        if status not in (0, 1, TOO_SLOW):
            raise RuntimeError((folder / "log.txt").read_text() + f"\n{fault}: pytest's status {status}.")
    verdict = "too slow" if status == TOO_SLOW else VERDICTS[status]
    return vars(fault) | {"verdict": verdict, "seconds": round(time.monotonic() - begun, 1)}


def write(path: Path, rows: Sequence[dict[str, Any]], facts: dict[str, Any]) -> None:
    """Write what was found so far: a run that is cut short leaves the faults it came to."""
    result = {
        "command": " ".join(["python benchmarks/mutations.py", *sys.argv[1:]]),
        "versions": {name: version(name) for name in ("pyro-vmm", "torch", "pyro-ppl", "pytest")},
        "python": ".".join(map(str, sys.version_info[:3])),
        "cores": os.cpu_count(),
        "threads": 1,
        "faults_tried": len(rows),
        "killed": sum(row["verdict"] == "killed" for row in rows),
        **facts,
        "faults": rows,
    }
    path.write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="faults of files with this in their name")
    parser.add_argument("--seconds", type=int, default=300, help="longest run of one fault's tests")
    parser.add_argument("--jobs", type=int, default=1, help="faults tried at once")
    parser.add_argument("--faults-only", action="store_true", help="trust that the tests pass without a fault")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "mutations.json")
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if arguments.only in fault.file]
    for module in PRELOADED:
        importlib.import_module(module)
    importlib.import_module("torch").set_num_threads(1)

    begun = time.monotonic()
    tests = sorted({name for fault in faults for name in fault.tests.split()})
    if not arguments.faults_only:
        with tempfile.TemporaryDirectory() as name:
            copy_checkout(Path(name).resolve())
            if status := run_tests(Path(name).resolve(), tests, 10 * arguments.seconds):
                raise SystemExit((Path(name) / "log.txt").read_text() + f"\nWithout a fault: pytest's status {status}.")
        print(f"{len(tests)} files of tests pass without a fault.", flush=True)

    rows = []
    # Forked: the workers, too, inherit what was loaded.
    with multiprocessing.get_context("fork").Pool(arguments.jobs) as pool:
        for row in pool.imap(functools.partial(try_fault, seconds=arguments.seconds), faults):
            rows.append(row)
            told = row["wrong"].strip() or "left out"
            print(f"{row['verdict']:9} {row['seconds']:6.1f} s  {row['file']}: {told}", flush=True)
            write(arguments.output, rows, {"faults_known": len(FAULTS), "seconds": round(time.monotonic() - begun)})
    print(f"{sum(row['verdict'] == 'killed' for row in rows)} of {len(rows)} faults killed.")


if __name__ == "__main__":
    main()
