"""The integration benchmark, whose stages are its own: fits, scores, table."""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

from pyro_vmm.errors import UserError

FOLDER = Path(__file__).resolve().parents[1]
QUICK = {"files": ("starmap_mpfc_spatial",), "methods": ("pca", "normal", "vmm")}
SEEDS, QUICK_SEEDS = 5, 1
NEEDED = ("scanpy", "igraph")
"""By every fit; what a single method needs fails with that method."""


def run(options: Any) -> bool:
    """Fit, score and gather by the stages of ``benchmarks/integration.py``; whether nothing failed.

    Raises
    ------
    UserError
        Without the folder of the files, for a package that is missing, or for processes and devices, which it does not take.
    """
    # Its files are scripts that import each other by their bare names.
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    import integration
    from integration_data import FILES
    from integration_methods import METHODS

    if options.jobs not in (0, 1) or options.devices != ["cpu"]:
        raise UserError("The benchmark integration runs one fit at a time on the CPU: leave out --jobs and --devices.")
    if options.data_root is None or not any((options.data_root / f"{file}.h5ad").is_file() for file in FILES):
        raise UserError(
            f"The benchmark integration reads {FILES[0]}.h5ad and others: give their folder as --data-root."
        )
    seeds = options.seeds or (QUICK_SEEDS if options.quick else SEEDS)
    name = "integration-quick" if options.quick else "integration"
    chosen = QUICK if options.quick else {"files": FILES, "methods": tuple(METHODS)}
    arguments = argparse.Namespace(
        work=options.output / name,
        files=[file for file in chosen["files"] if (options.data_root / f"{file}.h5ad").is_file()],
        methods=chosen["methods"],
        seeds=range(seeds),
        only=f"*{options.only or ''}*",
        data=options.data_root,
        threads=1,
        no_scib=options.quick,
        output=options.results or options.output,
        name=name,
    )
    if not any(True for _ in integration.runs(arguments)):
        raise UserError(f"--only {options.only}: no fit has such a name; --list shows them.")
    if options.list:
        for file, method, seed, folder in integration.runs(arguments):
            print(f"{'done ' if folder.exists() else 'to do'}  {file}/{method}/seed{seed}")
        return True
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"The benchmark integration needs {', '.join(missing)}: install pyro-vmm with its extra [benchmark]."
        )
    problems = []
    for stage in (integration.fit, integration.score):
        try:
            stage(arguments)
        except SystemExit as failure:
            problems.append(str(failure))
    # Finished before, whatever was chosen now, belongs into the table.
    arguments.only = "*"
    try:
        integration.table(arguments)
    except SystemExit as failure:
        problems.append(str(failure))
    for problem in problems:
        print(f"pyro-vmm: {problem}", file=sys.stderr)
    return not problems
