"""Arguments of ``pyro-vmm`` and its exit status."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

# Busy-waiting threads slow each other several times over when cores are shared; OpenMP reads this once, before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pyro_vmm import __version__
from pyro_vmm.command_line.failures import failure
from pyro_vmm.command_line.flags import add_flags, flags_of, in_the_commands_words
from pyro_vmm.command_line.printing import printing, tell
from pyro_vmm.command_line.results import ResultsMissing
from pyro_vmm.command_line.warnings_in_one_line import warnings_in_one_line
from pyro_vmm.errors import UserError
from pyro_vmm.modalities.registry import from_outside
from pyro_vmm.options import ALL, COMMON, HOW_DATA_ARE_READ, OF_ARRAYS, OF_COUNTS, WHERE_ARRAYS_ARE, WHERE_COUNTS_ARE

FAILED, USER_MISTAKE, INTERRUPTED = 1, 2, 130
THE_SAME_COMMAND = "the same command with --resume"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        options = "" if " " in self.prog else f", {self.prog} COMMAND --help the options of each"
        self.exit(USER_MISTAKE, f"pyro-vmm: {message} ({self.prog} --help lists what there is{options})\n")


def _folder(name: str) -> Path:
    if not name:
        raise argparse.ArgumentTypeError("name a folder; this one is empty")
    return Path(name)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = _Parser(prog="pyro-vmm", description="Clusters and an embedding by a VampPrior mixture model.")
    top.add_argument("--version", action="version", version=f"pyro-vmm {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    demo = commands.add_parser("demo", help="fit scikit-learn's digits and score the clusters: minutes on two cores")
    demo.add_argument("--output", type=_folder, default=Path("demo-output"), metavar="DIR")
    demo.add_argument("--seed", type=int, default=0)
    demo.set_defaults(how_to_go_on="the same command")

    fit = commands.add_parser("fit", help="fit a model to images, an array file or single cells")
    fit.add_argument(
        "input",
        metavar="INPUT",
        help="digits, mnist, fashion-mnist, FILE.npz/.npy/.csv/.parquet, or single cells, FILE.h5ad/.zarr",
    )
    fit.add_argument("--output", type=_folder, required=True, metavar="DIR")
    add_flags(fit, (*HOW_DATA_ARE_READ, *WHERE_ARRAYS_ARE, *COMMON, *OF_ARRAYS))
    fit.add_argument("--threads", type=int, help="processor threads; torch's own choice by default")
    fit.add_argument(
        "--deterministic",
        action="store_true",
        help="the same seed, the same bits: deterministic operations only, on one thread unless --threads says otherwise",
    )
    fit.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=60.0,
        help="a crash loses at most this much work (default 60; 0: a checkpoint after every step)",
    )
    fit.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR")

    fit.set_defaults(how_to_go_on=THE_SAME_COMMAND)

    cells = fit.add_argument_group("single cells (.h5ad, .zarr)", "raw counts and what else is known of the cells")
    add_flags(cells, (*WHERE_COUNTS_ARE, *OF_COUNTS))
    _add_flags_from_outside(fit)

    score = commands.add_parser("score", help="score a fit against labels, which no fit ever sees")
    score.add_argument("directory", type=Path, metavar="DIR")
    score.add_argument(
        "--labels",
        required=True,
        metavar="COLUMN|FILE",
        help="'label' for the images' own classes; a column of obs for single cells",
    )
    score.add_argument(
        "--batch-key",
        metavar="COLUMN",
        help="for single cells: score their integration over these batches, too (needs the package scib-metrics)",
    )
    score.add_argument(
        "--num-clusters",
        type=int,
        metavar="C",
        help="score C clusters rather than those found: join more components, or fewer",
    )
    score.add_argument("--no-surgery", action="store_true", help="leave out the ELBO surgery, which takes a minute")

    predict = commands.add_parser("predict", help="find clusters and novelty of new cells on a fitted model")
    predict.add_argument("directory", type=Path, metavar="MODEL", help="the folder of a single-cell fit")
    predict.add_argument(
        "input", type=Path, metavar="NEW", help="new cells, FILE.h5ad or FILE.zarr, with counts as in the fit"
    )
    predict.add_argument("--output", type=_folder, required=True, metavar="DIR")
    predict.add_argument("--batch-free", action="store_true", help="do not use the batches of the new cells")

    stability = commands.add_parser("stability", help="fit again with other seeds and say how far the clusters agree")
    stability.add_argument("directory", type=Path, metavar="DIR", help="a finished fit; the others go into DIR/seeds")
    stability.add_argument("--num-seeds", type=int, default=5, metavar="S", help="seeds in all (default 5)")
    stability.set_defaults(how_to_go_on="the same command")
    stability.add_argument("--quiet", action="store_true", help="no progress bars")

    report = commands.add_parser("report", help="write DIR/report.html: one page with pictures, diagnosis and tables")
    report.add_argument("directory", type=Path, metavar="DIR")
    report.add_argument(
        "--labels",
        metavar="COLUMN|FILE",
        help="colour and score by these; by default those that pyro-vmm score was given",
    )
    report.add_argument(
        "--batch-key",
        metavar="COLUMN",
        help="look for a batch effect by this column of the cells; by default the fit's own",
    )

    benchmark = commands.add_parser("benchmark", help="reproduce a table of the folder benchmarks/ (in a checkout)")
    benchmark.add_argument(
        "name",
        metavar="NAME",
        help="images, ablation, sensitivity, elbo-surgery, tabular, scaling, integration, joining, throughput, from-disk, "
        "step-cost, faults, long-run or mutations",
    )
    benchmark.add_argument("--quick", action="store_true", help="a small form: minutes on one core")
    benchmark.add_argument("--seeds", type=int, metavar="S", help="seeds 0 to S-1; the default is the table's")
    benchmark.add_argument(
        "--only", metavar="PATTERN", help="run the trials whose name holds it (* and ? as in a shell)"
    )
    benchmark.add_argument("--list", action="store_true", help="show the trials, done and to do, and run none")
    benchmark.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, of one thread each (default 1)")
    benchmark.add_argument("--devices", nargs="+", default=["cpu"], metavar="DEVICE", help="cpu (default), cuda:0 ...")
    benchmark.add_argument("--data-root", type=Path, metavar="DIR", help="where data lie, or are downloaded to")
    benchmark.add_argument(
        "--output",
        type=Path,
        default=Path("runs/benchmark"),
        metavar="DIR",
        help="finished trials, each a file: the command goes on where it stopped (default runs/benchmark)",
    )
    benchmark.add_argument(
        "--results", type=Path, metavar="DIR", help="the table and its page (default: DIR of --output)"
    )
    return top


def _add_flags_from_outside(fit: argparse.ArgumentParser) -> None:
    """Flags of modalities that are not of the package; one that is there already serves several."""
    there = {entry.flag_name for entry in ALL if entry.flag}
    for modality in from_outside().values():
        if modality.input is not None:
            group = fit.add_argument_group(modality.input.described)
            add_flags(group, flags_of(modality), there)
            there |= {entry.flag_name for entry in flags_of(modality) if entry.flag}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        Exit status: 0 on success, 2 for a mistake of the user (said in one line on stderr), 1 when a number ceased to be
        finite, disk or memory did not suffice, or a part of the results could not be written (said likewise), 130 when
        interrupted.
    """
    if arguments is None:
        # The command's own process: no display is needed, and none that was chosen for others has to be there.
        os.environ["MPLBACKEND"] = "agg"
    with printing():
        return _run(list(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    options.command_line = arguments
    try:
        with warnings_in_one_line(options):
            return _command(options)
    except UserError as error:
        tell(in_the_commands_words(error, options))
        return USER_MISTAKE
    except (ArithmeticError, ImportError, OSError, MemoryError, RuntimeError, ResultsMissing) as error:
        reason = failure(error, options)
        if reason is None:
            raise
        tell(reason)
        return FAILED
    except KeyboardInterrupt:
        tell("interrupted.")
        return INTERRUPTED


def _command(options: argparse.Namespace) -> int:
    if options.command == "score":
        from pyro_vmm.command_line.score import score

        score(
            options.directory,
            options.labels,
            batch_key=options.batch_key,
            num_clusters=options.num_clusters,
            surgery=not options.no_surgery,
        )
        return 0
    if options.command == "predict":
        from pyro_vmm.command_line.predict import predict

        predict(options.directory, options.input, options.output, batch_free=options.batch_free)
        return 0
    if options.command == "report":
        from pyro_vmm.command_line.report import report

        report(options.directory, options.labels, options.batch_key)
        return 0
    if options.command == "stability":
        from pyro_vmm.command_line.stability import stability

        return 0 if stability(options.directory, options.num_seeds, quiet=options.quiet) else INTERRUPTED
    if options.command == "benchmark":
        from pyro_vmm.command_line.benchmark import benchmark

        return 0 if benchmark(options) else FAILED
    from pyro_vmm.command_line.fit import demo, fit
    from pyro_vmm.command_line.fit_request import FitRequest

    finished = demo(options) if options.command == "demo" else fit(FitRequest.of(options))
    return 0 if finished else INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
