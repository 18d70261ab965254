"""``pyro-vmm benchmark``: tables whose code lies in the folder ``benchmarks`` of the source repository."""

import argparse
import fnmatch
import importlib
import shlex
import sys
from pathlib import Path
from typing import Any

import pyro_vmm
from pyro_vmm.command_line.printing import say, tell
from pyro_vmm.devices import choose_device
from pyro_vmm.errors import UserError


def benchmark(options: argparse.Namespace) -> bool:
    """Run what is left of a table's trials, then write the table; whether no trial failed.

    Raises
    ------
    UserError
        Without the repository, for an unknown table, a pattern that no trial has, or numbers that cannot be used.
    """
    root = find_repository()
    tables = importlib.import_module("benchmarks.tables").TABLES
    if options.name not in tables:
        raise UserError(f"There is no benchmark {options.name!r}: choose {', '.join(tables)}.")
    if options.seeds is not None and options.seeds < 1:
        raise UserError(f"--seeds is {options.seeds}: it must be at least 1.")
    table: Any = tables[options.name]
    devices = [str(choose_device(device, option="devices")) for device in options.devices]
    folder, results = _folders(options)
    trials = _planned(table, options)
    chosen = _chosen(trials, options.only)
    harness = importlib.import_module("benchmarks.harness")
    left = [trial for trial in chosen if harness.finished(folder, trial) is None]
    if options.list:
        for trial in chosen:
            say(f"{'to do' if trial in left else 'done '}  {trial.name}")
        return True
    table.check(options.data_root, options.quick)
    _tell_of_other_sources(harness, folder, [trial for trial in chosen if trial not in left])
    say(f"{options.name}: {len(chosen) - len(left)} of {len(chosen)} trials done before, {len(left)} to do")
    failed: list[str] = harness.run_trials(
        left,
        folder,
        jobs=options.jobs,
        devices=devices,
        data_root=options.data_root,
        own_process=table.own_process,
    )
    contents = harness.collect(table, trials, folder, _command(options), quick=options.quick)
    if contents["finished"]:
        written = harness.write_table(contents, results)
        say(f"\n{written.read_text()}\n{written} (and .csv, .json); code in {root / 'benchmarks'}")
    if failed:
        tell(f"{len(failed)} trials failed: {', '.join(failed)}")
    return not failed


def find_repository() -> Path:
    """The checkout that holds ``benchmarks``, put on the path of imports: beside the package, or the working directory.

    Raises
    ------
    UserError
        Where there is none.
    """
    for root in (Path(pyro_vmm.__file__).resolve().parents[1], Path.cwd()):
        if (root / "benchmarks" / "harness" / "__init__.py").is_file():
            if str(root) not in sys.path:
                sys.path.insert(0, str(root))
            return root
    raise UserError(
        "pyro-vmm benchmark needs the folder benchmarks/ of the source repository, which an installed package does not hold: run "
        "it in a checkout."
    )


def _folders(options: argparse.Namespace) -> tuple[Path, Path]:
    """Where trials and where the table go."""
    if options.jobs < 0:
        raise UserError(f"--jobs is {options.jobs}: it must be at least 1, or 0 to run the trials in this process.")
    folder = options.output / (options.name + ("-quick" if options.quick else ""))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output {options.output} cannot be written ({error.strerror}): give another folder."
        ) from None
    return folder, options.results or options.output


def _planned(table: Any, options: argparse.Namespace) -> list[Any]:
    """All trials of the table, the first seed of everything first."""
    number = options.seeds
    if number is None:
        number = table.quick_seeds if options.quick else table.seeds
    return [trial for seed in range(number) for trial in table.trials(options.quick, seed)]


def _chosen(trials: list[Any], pattern: str | None) -> list[Any]:
    """Trials whose name holds the pattern."""
    chosen = [trial for trial in trials if pattern is None or fnmatch.fnmatch(trial.name, f"*{pattern}*")]
    if not chosen:
        raise UserError(f"--only {pattern}: no trial has such a name; --list shows them.")
    return chosen


def _tell_of_other_sources(harness: Any, folder: Path, done: list[Any]) -> None:
    """Say how many finished trials another state of the package or of the benchmarks has made."""
    now = importlib.import_module("benchmarks.source_digest").source_digest
    present = {part: now(part) for part in ("pyro_vmm", "benchmarks")}
    others = [trial.name for trial in done if harness.finished(folder, trial)["facts"]["source"] != present]
    if others:
        tell(
            f"{len(others)} finished trials were made by another state of the source, whose defaults may differ "
            f"({others[0]} is one): remove them from {folder} to run them again."
        )


def _command(options: argparse.Namespace) -> str:
    """The command that makes the whole table, without what is this machine's own."""
    words = ["pyro-vmm", "benchmark", options.name]
    words += ["--quick"] if options.quick else []
    words += ["--seeds", str(options.seeds)] if options.seeds is not None else []
    words += ["--devices", *options.devices] if options.devices != ["cpu"] else []
    return shlex.join(words)
