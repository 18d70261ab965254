"""From the folder of a fit to ``report.html``."""

from pathlib import Path
from typing import Any

from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.errors import UserError
from pyro_vmm.report.cluster_table import cluster_rows
from pyro_vmm.report.contents import Contents, consensus_table, facts_of, history_rows, options_of, score_tables, told
from pyro_vmm.report.fit_folder import FitFolder, read_fit
from pyro_vmm.report.observations import Observations, observe
from pyro_vmm.report.page import render
from pyro_vmm.report.pictures import colours_of, pictures_of_clusters, pictures_of_training
from pyro_vmm.scoring import cluster_scores, scores_of_responsibilities

UNFINISHED = (
    "This fit has not come to its end: what follows is its training so far. The same command with --resume goes on; "
    "write the report again afterwards."
)


def write_report(directory: str | Path, *, labels: str | None = None, batch_key: str | None = None) -> Path:
    """Write ``report.html`` into the folder of a fit, and return its path.

    Parameters
    ----------
    directory
        What ``pyro-vmm fit`` wrote. A fit stopped at a checkpoint gets a report of its training so far.
    labels
        Column or file of labels, as for ``pyro-vmm score``; those that the fit was scored with where None.
    batch_key
        Column of single cells' batches by which to look for a batch effect; the fit's own where None.

    Raises
    ------
    UserError
        If it is no folder of a fit, a file in it is damaged, labels cannot be read, or the report cannot be written.
    """
    fit = read_fit(Path(directory))
    try:
        page = render(_contents(fit, labels, batch_key)).encode("utf-8", "replace")
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{fit.path / 'config.json'} is damaged or not of this version ({error}): fit again.") from None
    path = fit.path / "report.html"
    try:
        write_atomically(path, page)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): make room or check the folder's permissions."
        ) from None
    return path


def _contents(fit: FitFolder, labels: str | None, batch_key: str | None) -> Contents:
    finished = fit.clusters is not None
    seen = observe(fit, labels, batch_key) if finished else Observations(notices=[UNFINISHED])
    rows = cluster_rows(fit, seen) if finished else []
    pictures = [*(pictures_of_clusters(fit, seen) if finished else ()), *pictures_of_training(fit)]
    columns, history, note = history_rows(fit.history)
    what = "cells" if fit.of_cells else "observations"
    number = told(fit.facts.get("num_observations"))
    found = f"{len(rows):,} cluster{'' if len(rows) == 1 else 's'} found in" if finished else "Unfinished fit of"
    return Contents(
        title=Path(str(fit.facts.get("input"))).name,
        summary=f"{found} {number} {what} by a VampPrior mixture model."
        if fit.config["estimator"].get("prior") == "vamp-mixture"
        else f"{found} {number} {what}.",
        facts=facts_of(fit, seen, len(rows)),
        notices=seen.notices,
        diagnosis=seen.diagnosis,
        clusters=rows,
        colours=colours_of(fit, seen) if finished else {},
        pictures=pictures,
        scores=[
            *score_tables(fit, _scores(fit, seen, asked=labels is not None), seen.label_name),
            *consensus_table(seen.stability),
        ],
        columns=columns,
        history=history,
        history_note=note,
        command=str(fit.facts.get("command", "")),
        options=options_of(fit),
        versions=[(str(name), str(version)) for name, version in fit.config.get("versions", {}).items()],
        data_sha256=str(fit.facts.get("data_sha256", "")),
    )


def _scores(fit: FitFolder, seen: Observations, *, asked: bool) -> dict[str, Any] | None:
    """Scores against labels that were asked for now; those stored may be of others."""
    if not asked or seen.labels is None or fit.clusters is None:
        return None
    if seen.responsibilities is not None:
        return scores_of_responsibilities(seen.labels, seen.responsibilities())
    return cluster_scores(seen.labels, fit.clusters["cluster"].to_numpy(), fit.clusters["probability"].to_numpy())
