"""From the folder of a fit to ``report.html``."""

from pathlib import Path
from typing import Any

from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.errors import UserError
from pyro_vmm.report.cluster_table import cluster_rows
from pyro_vmm.report.contents import (
    Contents,
    consensus_table,
    facts_of,
    history_rows,
    options_of,
    score_tables,
    told,
    unreliable,
)
from pyro_vmm.report.fit_folder import FitFolder, read_fit
from pyro_vmm.report.page import render
from pyro_vmm.report.pictures import colours_of, pictures_of_clusters, pictures_of_training
from pyro_vmm.report.seen import Seen, look
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
    folder = read_fit(Path(directory))
    try:
        page = render(_contents(folder, labels, batch_key)).encode("utf-8", "replace")
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{folder.path / 'config.json'} is damaged or not of this version ({error}): fit again."
        ) from None
    path = folder.path / "report.html"
    try:
        write_atomically(path, page)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): make room or check the folder's permissions."
        ) from None
    return path


def _contents(folder: FitFolder, labels: str | None, batch_key: str | None) -> Contents:
    finished = folder.clusters is not None
    seen = look(folder, labels, batch_key) if finished else Seen(notices=[UNFINISHED])
    rows = cluster_rows(folder, seen) if finished else []
    pictures = [*(pictures_of_clusters(folder, seen) if finished else ()), *pictures_of_training(folder)]
    columns, history, note = history_rows(folder.history)
    found = f"{len(rows):,} cluster{'' if len(rows) == 1 else 's'} found in" if finished else "Unfinished fit of"
    summary = f"{found} {told(folder.facts.get('num_observations'))} {folder.modality.noun}"
    return Contents(
        title=Path(str(folder.facts.get("input"))).name,
        summary=unreliable(seen.stability)
        + summary
        + (" by a VampPrior mixture model." if folder.options.get("prior") == "vamp-mixture" else "."),
        facts=facts_of(folder, seen, len(rows)),
        notices=seen.notices,
        diagnosis=seen.diagnosis,
        clusters=rows,
        colours=colours_of(folder, seen) if finished else {},
        pictures=pictures,
        scores=[
            *score_tables(folder, _scores(folder, seen, asked=labels is not None), seen.label_name),
            *consensus_table(seen.stability),
        ],
        columns=columns,
        history=history,
        history_note=note,
        command=str(folder.facts.get("command", "")),
        options=options_of(folder),
        versions=[(str(name), str(version)) for name, version in folder.config.get("versions", {}).items()],
        data_sha256=str(folder.facts.get("data_sha256", "")),
    )


def _scores(folder: FitFolder, seen: Seen, *, asked: bool) -> dict[str, Any] | None:
    """Scores against labels that were asked for now; those stored may be of others."""
    if not asked or seen.labels is None or folder.clusters is None:
        return None
    if seen.observed is not None:
        return scores_of_responsibilities(seen.labels, seen.observed.probabilities)
    return cluster_scores(seen.labels, folder.clusters["cluster"].to_numpy(), folder.clusters["probability"].to_numpy())
