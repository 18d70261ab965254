"""``pyro-vmm stability``: the same fit with other seeds, each in a folder of its own, and how far they agree."""

import argparse
import shlex
from pathlib import Path

import numpy as np

from pyro_vmm import persistence
from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.command_line.fit import fit
from pyro_vmm.command_line.printing import say
from pyro_vmm.command_line.report import how_to_report
from pyro_vmm.diagnosis import stability as agreement
from pyro_vmm.diagnosis.stability_table import stability_table
from pyro_vmm.errors import UserError
from pyro_vmm.report.fit_folder import FitFolder, read_fit


def stability(directory: Path, num_seeds: int, *, quiet: bool = False) -> bool:
    """Fit with further seeds in ``DIR/seeds``, print how far all agree, and write ``DIR/stability.csv``.

    A fit of another seed repeats the command that made the first, checkpoints included: what was interrupted goes on, and
    what is finished is not fitted again.

    Returns
    -------
    bool
        False if it was interrupted.

    Raises
    ------
    UserError
        If the folder holds no finished fit, its input has changed or gone, or ``num_seeds`` is below 2.
    """
    first = read_fit(directory)
    if first.clusters is None:
        raise UserError(f"The fit in {directory} has not come to its end: go on with it first, by --resume.")
    if num_seeds < 2:
        raise UserError(f"--num-seeds is {num_seeds}: give at least 2, this fit and another.")
    own_seed = first.config["estimator"].get("random_state")
    if not (isinstance(own_seed, int) and isinstance(first.facts.get("command"), str)):
        raise UserError(f"{directory / 'config.json'} does not say by which command it was fitted: fit again.")
    fits = {own_seed: first}
    for seed in range(own_seed + 1, own_seed + num_seeds):
        folder = directory / "seeds" / str(seed)
        if not _is_done(folder, first):
            say(f"Seed {seed}, fit {len(fits) + 1} of {num_seeds}, in {folder}")
            if not fit(_same_fit(first, folder, seed, quiet=quiet)):
                return False
        fits[seed] = read_fit(folder)
    runs = [_clusters(other, first) for other in fits.values()]
    found = agreement(runs, list(fits))
    table = stability_table(found, runs, first.clusters["id"].to_numpy())
    write_atomically(directory / "stability.csv", table.to_csv(index=False, float_format="%.6f").encode())
    say(str(found))
    say(f"Consensus clusters are in {directory / 'stability.csv'}.\nOne page for readers: {how_to_report(directory)}")
    return True


def _same_fit(first: FitFolder, folder: Path, seed: int, *, quiet: bool) -> argparse.Namespace:
    """What ``pyro-vmm fit`` was told, but for the seed and the folder."""
    from pyro_vmm.command_line.main import parser

    told = shlex.split(first.facts["command"])[1:]
    if told[:1] != ["fit"]:
        raise UserError(f"{first.path / 'config.json'} does not say by which command it was fitted: fit again.")
    told = [word for word in told if word != "--resume"]
    told += ["--output", str(folder), "--seed", str(seed)]  # where an option is given twice, the last one holds
    arguments = parser().parse_args(told)
    arguments.command_line = told
    arguments.resume = (folder / "config.json").exists()
    arguments.quiet |= quiet
    arguments.data_sha256 = first.facts["data_sha256"]
    arguments.how_to_go_on = "the same command"
    return arguments


def _is_done(folder: Path, first: FitFolder) -> bool:
    """Whether the folder holds a finished fit that differs in its seed alone."""
    # Not all are there where a disk was full: resuming writes the rest.
    if not all((folder / name).exists() for name in ("config.json", "latent.npy", "clusters.csv", "history.csv")):
        return False
    return "fitted" in persistence.read_config(folder) and _definition(read_fit(folder)) == _definition(first)


def _definition(fit: FitFolder) -> tuple[object, ...]:
    options = {
        name: value for name, value in fit.config["estimator"].items() if name not in ("random_state", "verbose")
    }
    return options, fit.facts.get("training"), fit.facts.get("setup"), fit.facts["data_sha256"]


def _clusters(fit: FitFolder, first: FitFolder) -> np.ndarray:
    assert fit.clusters is not None
    assert first.clusters is not None
    if fit.clusters["id"].tolist() != first.clusters["id"].tolist():
        raise UserError(f"{fit.path} names other observations than {first.path}: remove it, and run this again.")
    return fit.clusters["cluster"].to_numpy()
