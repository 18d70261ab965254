"""``pyro-vmm stability``: the same fit with other seeds, each in a folder of its own, and how far they agree."""

import shlex
from pathlib import Path

import numpy as np

from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.command_line.fit import fit
from pyro_vmm.command_line.fit_request import FitRequest
from pyro_vmm.command_line.printing import say
from pyro_vmm.command_line.report import how_to_report
from pyro_vmm.diagnosis import stability as agreement
from pyro_vmm.diagnosis.stability_table import stability_table
from pyro_vmm.errors import UserError
from pyro_vmm.fit.config import read_config
from pyro_vmm.fit.storage import stored_options
from pyro_vmm.modalities import named
from pyro_vmm.report.fit_folder import FitFolder, read_fit


def stability(directory: Path, num_seeds: int, *, quiet: bool = False) -> bool:
    """Fit with further seeds in ``DIR/seeds``, print how far all agree, and write ``DIR/stability.csv``.

    A fit of another seed is made as the first was, checkpoints included: what was interrupted goes on, and what is finished
    is not fitted again.

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
    own_seed = first.config["options"].get("random_state")
    if not isinstance(own_seed, int):
        raise UserError(f"{directory / 'config.json'} does not say with which seed it was fitted: fit again.")
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


def _same_fit(first: FitFolder, folder: Path, seed: int, *, quiet: bool) -> FitRequest:
    """The same fit but for the seed and the folder."""
    facts, modality = first.facts, named(first.config["kind"])
    spec, arguments = facts.get("input"), facts.get("arguments")
    if not (isinstance(spec, str) and isinstance(arguments, dict)):
        raise UserError(f"{first.path / 'config.json'} does not say by which command it was fitted: fit again.")
    options = stored_options(first.path, modality, first.config["options"], {})
    return FitRequest(
        modality,
        spec,
        folder,
        options | {"random_state": seed, "verbose": options["verbose"] and not quiet},
        arguments,
        threads=facts.get("threads"),
        deterministic=facts.get("deterministic", False),
        checkpoint_seconds=facts.get("checkpoint_seconds", 60.0),
        resume=(folder / "config.json").exists(),
        data_sha256=facts["data_sha256"],
        # For readers. Where an option is given twice, the last one holds.
        command=f"{facts.get('command')} {shlex.join(['--output', str(folder), '--seed', str(seed)])}",
    )


def _is_done(folder: Path, first: FitFolder) -> bool:
    """Whether the folder holds a finished fit that differs in its seed alone."""
    # Not all are there where a disk was full: resuming writes the rest.
    if not all((folder / name).exists() for name in ("config.json", "latent.npy", "clusters.csv", "history.csv")):
        return False
    return "fitted" in read_config(folder) and _definition(read_fit(folder)) == _definition(first)


def _definition(fit: FitFolder) -> tuple[object, ...]:
    options = {name: value for name, value in fit.config["options"].items() if name not in ("random_state", "verbose")}
    return options, fit.facts.get("setup"), fit.facts["data_sha256"]


def _clusters(fit: FitFolder, first: FitFolder) -> np.ndarray:
    assert fit.clusters is not None
    assert first.clusters is not None
    if fit.clusters["id"].tolist() != first.clusters["id"].tolist():
        raise UserError(f"{fit.path} names other observations than {first.path}: remove it, and run this again.")
    return fit.clusters["cluster"].to_numpy()
