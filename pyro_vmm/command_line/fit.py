"""``pyro-vmm fit`` and ``pyro-vmm demo``."""

import argparse
import hashlib
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyro_vmm.command_line.determinism import determinism
from pyro_vmm.command_line.fit_cells import FOR_CELLS, check_same_data, fit_cells, refuse
from pyro_vmm.command_line.flags import given
from pyro_vmm.command_line.interruption import StopOnSignal
from pyro_vmm.command_line.output_folder import OutputFolder, in_words
from pyro_vmm.command_line.printing import say
from pyro_vmm.command_line.report import how_to_report
from pyro_vmm.command_line.score import score
from pyro_vmm.data import Dataset, load_input
from pyro_vmm.data.inputs import SINGLE_CELL_SUFFIXES
from pyro_vmm.data.other_formats import check_format
from pyro_vmm.errors import UserError
from pyro_vmm.options import COMMON, OF_ARRAYS
from pyro_vmm.persistence import storable_options
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.training import CheckpointWriter, InterruptedWarning
from pyro_vmm.vmm import VMM

DIGITS = {
    # 8 x 8 blocks of 4 x 4 binary pixels: the likelihood of the bitmaps that the grey values were counted from.
    "likelihood_options": {"pixels_per_feature": 16},
    "batch_size": 128,
    "learning_rate": 1e-3,
    "max_epochs": 200,
}
# The networks first: components that die before there is an embedding take their observations to wrong neighbours.
MNIST = {"kl_warmup_steps": 5_000, "prior_rest_steps": 5_000, "max_epochs": 60}
DEFAULTS: dict[str, dict[str, Any]] = {"digits": DIGITS, "mnist": MNIST, "fashion-mnist": MNIST | {"latent_dim": 30}}
MOST_THREADS = max(256, os.cpu_count() or 1)
"""More than a process may start crash it."""
OPTIONS = tuple(entry for entry in (*COMMON, *OF_ARRAYS) if entry.part != "process")
"""Those that are left to the estimator where they are not given."""


def demo(options: argparse.Namespace) -> bool:
    """Fit scikit-learn's digits, then score the clusters; whether the fit came to its end.

    Deterministic: on so few observations another number of threads, which rounds otherwise, finds other clusters.
    """
    from pyro_vmm.command_line.main import parser

    command = ["fit", "digits", "--output", str(options.output), "--seed", str(options.seed)]
    command += ["--device", "cpu", "--deterministic"]
    arguments = parser().parse_args(command)
    arguments.command_line, arguments.overwrite = command, True
    arguments.how_to_go_on = options.how_to_go_on = shlex.join(["pyro-vmm", *command, "--resume"])
    if not fit(arguments):
        return False
    score(options.output, "label")
    return True


def fit(arguments: argparse.Namespace) -> bool:
    """Fit a model and write the output folder; False if it was interrupted (``--resume`` then goes on)."""
    if arguments.threads is not None and not 1 <= arguments.threads <= MOST_THREADS:
        raise UserError(f"--threads is {arguments.threads}: it must be at least 1 and at most {MOST_THREADS}.")
    if not arguments.checkpoint_seconds >= 0:
        raise UserError(f"--checkpoint-seconds is {arguments.checkpoint_seconds}: it must be a number of at least 0.")
    if not 0 <= arguments.seed < 2**32:
        raise UserError(f"--seed is {arguments.seed}: it must be a whole number from 0 to {2**32 - 1}.")
    with usual_settings(), determinism(arguments.deterministic, threads=arguments.threads), warnings.catch_warnings():
        # Pyro's word on a loss for which the fit stops with an error that says more.
        warnings.filterwarnings("ignore", "Encountered (NaN|\\+?-?inf)", UserWarning)
        warnings.simplefilter("ignore", InterruptedWarning)  # the command says how to go on
        if Path(arguments.input).suffix.lower() in SINGLE_CELL_SUFFIXES:
            return fit_cells(arguments)
        return _fit_arrays(arguments)


def _fit_arrays(arguments: argparse.Namespace) -> bool:
    check_format(Path(arguments.input))
    refuse(arguments, FOR_CELLS, "can be used with single-cell input (.h5ad or .zarr) only")
    dataset = load_input(arguments.input, data_root=arguments.data_root, label_column=arguments.label_column)
    estimator = VMM(**_options(arguments, dataset), random_state=arguments.seed, verbose=not arguments.quiet)
    facts = {
        "input": str(arguments.input),
        "data_root": None if arguments.data_root is None else str(arguments.data_root),
        "label_column": arguments.label_column,
        "num_observations": len(dataset.x),
        "data_sha256": hashlib.sha256(np.ascontiguousarray(dataset.x).tobytes()).hexdigest(),
        "command": shlex.join(["pyro-vmm", *arguments.command_line]),
        "threads": torch.get_num_threads(),
        "deterministic": arguments.deterministic,
    }
    check_same_data(arguments, facts)
    with OutputFolder(arguments.output) as folder:
        resume = folder.resume(facts, storable_options(estimator)) if arguments.resume else None
        if not arguments.resume:
            folder.start(facts, storable_options(estimator), overwrite=arguments.overwrite)
        with StopOnSignal() as stop:
            checkpoints = CheckpointWriter(folder.checkpoint, arguments.checkpoint_seconds)
            estimator.fit(dataset.x, watchers=(stop, checkpoints), resume=resume)
        if not estimator.trainer_finished_:
            print(
                f"Stopped {stop.where}; {arguments.how_to_go_on} goes on from there.",
                file=sys.stderr,
            )
            return False
        folder.write_results(estimator, dataset, facts, arguments.how_to_go_on)
    say(
        f"{in_words(estimator.clusters_)}; "
        f"results, pictures and the model are in {arguments.output}.\n"
        f"One page for readers: {how_to_report(arguments.output)}"
    )
    return True


def _options(arguments: argparse.Namespace, dataset: Dataset) -> dict[str, Any]:
    options: dict[str, Any] = {"likelihood": dataset.likelihood, "device": arguments.device}
    options |= DEFAULTS.get(str(arguments.input), {})
    told = given(arguments, OPTIONS)
    if "likelihood" in told:
        options.pop("likelihood_options", None)
        if told["likelihood"] == "bernoulli" and str(arguments.input) == "digits":
            options["likelihood_options"] = DIGITS["likelihood_options"]
    options |= told
    if dataset.image_shape is not None:
        options["image_shape"] = dataset.image_shape
    else:
        options["standardize"] = options["likelihood"] in ("normal", "student-t")
    return options
