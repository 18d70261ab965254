"""``pyro-vmm fit`` and ``pyro-vmm demo``."""

import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pyro_vmm.command_line.determinism import determinism
from pyro_vmm.command_line.fit_request import FitRequest
from pyro_vmm.command_line.fitted_input import facts_of_fit
from pyro_vmm.command_line.interruption import StopOnSignal
from pyro_vmm.command_line.output_folder import OutputFolder, in_words
from pyro_vmm.command_line.printing import say, tell
from pyro_vmm.command_line.report import how_to_report
from pyro_vmm.command_line.score import score
from pyro_vmm.data.other_formats import is_zarr_array
from pyro_vmm.errors import UserError
from pyro_vmm.fit import Fit, ObservedFit
from pyro_vmm.fit.config import read_config
from pyro_vmm.fit.fitting import train
from pyro_vmm.fit.own_objects import storable
from pyro_vmm.modalities import Input, recognised
from pyro_vmm.observations import Observations
from pyro_vmm.options import checked
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.training import CheckpointWriter, InterruptedWarning


def demo(arguments: argparse.Namespace) -> bool:
    """Fit scikit-learn's digits, then score the clusters; whether the fit came to its end.

    Deterministic: on so few observations another number of threads, which rounds otherwise, finds other clusters.
    """
    words = ["pyro-vmm", "fit", "digits", "--output", str(arguments.output), "--seed", str(arguments.seed)]
    command = shlex.join([*words, "--device", "cpu", "--deterministic"])
    arguments.how_to_go_on = f"{command} --resume"
    modality = recognised("digits")
    request = FitRequest(
        modality,
        "digits",
        arguments.output,
        checked({"random_state": arguments.seed, "device": "cpu", "verbose": True}, modality.entries()),
        deterministic=True,
        overwrite=True,
        command=command,
        how_to_go_on=arguments.how_to_go_on,
    )
    if not fit(request):
        return False
    score(arguments.output, "label")
    return True


def fit(request: FitRequest) -> bool:
    """Fit a model and write the output folder; False if it was interrupted (``--resume`` then goes on)."""
    with usual_settings(), determinism(request.deterministic, threads=request.threads), warnings.catch_warnings():
        # Pyro's word on a loss for which the fit stops with an error that says more.
        warnings.filterwarnings("ignore", "Encountered (NaN|\\+?-?inf)", UserWarning)
        warnings.simplefilter("ignore", InterruptedWarning)  # the command says how to go on
        return _fit(request)


def _fit(request: FitRequest) -> bool:
    modality, reader = request.modality, request.reader
    written = reader.further_results
    if written and os.path.realpath(request.input) == os.path.realpath(request.output / written):
        raise UserError(f"--output {request.output} would write over the input {request.input}: give another folder.")
    arguments = _settled_arguments(request)
    source = reader.read(request.input, arguments)
    defaults = OutputFolder(request.output).earlier_defaults(modality) if request.resume else {}
    given = {**defaults, **source.options(request.options), **request.options}
    options = checked(modality.with_defaults(given), modality.entries())
    learned, observations = source.learn(modality, options)
    facts = _facts(request, arguments, source, observations)
    if request.data_sha256 not in (None, facts["data_sha256"]):
        raise UserError(f"The input {request.input} has changed since it was fitted: fit it again.")
    found: list[Fit] = []
    with OutputFolder(request.output) as folder:
        resume = folder.resume(modality, storable(options), facts) if request.resume else None
        if not request.resume:
            folder.start(modality, storable(options), facts, overwrite=request.overwrite)
        with StopOnSignal() as stop:
            checkpoints = CheckpointWriter(folder.checkpoint, request.checkpoint_seconds)
            train(
                learned,
                observations,
                found.append,
                rows_sha256=source.rows_sha256,
                watchers=(stop, checkpoints),
                resume=resume,
            )
        (fitted,) = found
        if not fitted.finished:
            print(f"Stopped {stop.where}; {request.how_to_go_on} goes on from there.", file=sys.stderr)
            return False
        folder.write_results(ObservedFit(fitted, observations, fitted.latents), source, facts, request.how_to_go_on)
    written = source.results_file
    there = f"results, pictures, the model and {written}" if written else "results, pictures and the model"
    say(
        f"{in_words(fitted.clusters)}; {there} are in {request.output}.\n"
        f"One page for readers: {how_to_report(request.output)}"
    )
    return True


def _settled_arguments(request: FitRequest) -> Mapping[str, Any]:
    """How the input is read, with what the flags leave to this machine; a fit that goes on reads it as before."""
    noted = None
    if request.resume and (request.output / "config.json").exists():
        noted = facts_of_fit(read_config(request.output), request.output).get("arguments", {})
    arguments = request.reader.settled(request.input, request.arguments, noted)
    if noted is None and arguments.get("from_disk") and not request.arguments.get("from_disk"):
        why = "is a Zarr array" if is_zarr_array(Path(request.input)) else "is larger than half of the free memory"
        tell(f"{request.input} {why}: the data stay on disk, as with --from-disk.")
    return arguments


def _facts(
    request: FitRequest, arguments: Mapping[str, Any], source: Input, observations: Observations
) -> dict[str, Any]:
    """What ``config.json`` notes of the input and of the run; ``stability`` repeats the fit by it."""
    return {
        "input": request.input,
        "arguments": dict(arguments),
        "setup": dict(source.setup),
        "num_observations": len(observations),
        "num_features": observations.num_features,
        "data_sha256": source.sha256(observations),
        "command": request.command,
        "threads": torch.get_num_threads(),
        "deterministic": request.deterministic,
        "checkpoint_seconds": request.checkpoint_seconds,
    }
