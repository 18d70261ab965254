"""What the fitted model and its input add to the tables: labels, batches, profiles of clusters, a diagnosis."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.data import load_labels
from pyro_vmm.data.arrays import listed
from pyro_vmm.diagnosis import Diagnosis, Stability
from pyro_vmm.diagnosis.fits import diagnose
from pyro_vmm.diagnosis.stability_table import SEED, stability_from_table
from pyro_vmm.errors import UserError
from pyro_vmm.fit import Fit, ObservedFit
from pyro_vmm.modalities import Input
from pyro_vmm.modalities.profiles import ClusterProfiles
from pyro_vmm.observations import Groups
from pyro_vmm.process_settings import undisturbed
from pyro_vmm.report.fit_folder import FitFolder


@dataclass(eq=False)
class Seen:
    """All that is known of the observations beside their clusters; what could not be had is told in ``notices``.

    Attributes
    ----------
    fit
        The fit; None of one that has not come to its end.
    input, observed
        What was fitted, read again, and the fit beside it; None where it is gone or has changed.
    diagnosis
        How the fit went.
    labels, label_name
        Labels, [N], and what the user called them.
    stability
        How far fits with other seeds agree, where ``pyro-vmm stability`` has made some.
    notices
        Sentences about what is missing from the report, and why.
    """

    fit: Fit | None = None
    input: Input | None = None
    observed: ObservedFit | None = None
    diagnosis: Diagnosis | None = None
    labels: NDArray[Any] | None = None
    label_name: str | None = None
    stability: Stability | None = None
    notices: list[str] = field(default_factory=list)

    @property
    def batches(self) -> Groups | None:
        """Batches that the fit was told of."""
        return None if self.observed is None else self.observed.groups.get("batch")

    def profiles(self, clusters: NDArray[np.int64]) -> ClusterProfiles | None:
        """What clusters ``[N]`` are like, where the modality says more than the centres that the model decodes."""
        if self.observed is None:
            return None
        fit = self.observed.fit
        return fit.modality.profiles(fit.evaluation, self.observed.observations, clusters)


def look(folder: FitFolder, labels: str | None = None, batch_key: str | None = None) -> Seen:
    """Load the model of a finished fit and what goes with it.

    Parameters
    ----------
    folder
        Of a finished fit.
    labels
        Column or file of labels, as for ``pyro-vmm score``; those that the fit was scored with where None.
    batch_key
        Column of batches by which to look for a batch effect; the fit's own where None.

    Raises
    ------
    UserError
        If the model is damaged, or labels or batches were asked for and cannot be read, or labels were given to the fit.
    """
    asked = labels or (folder.scores or {}).get("labels")
    fit = Fit.load(folder.path)
    seen = Seen(fit, label_name=asked)
    fit.stability = seen.stability = _read_stability(folder, seen)
    _read_input(fit, folder, seen)
    columns = {} if seen.input is None else seen.input.columns
    batches = None if batch_key is None or seen.input is None else _batches(seen.input, batch_key)
    _diagnose(fit, seen, columns, batches, batch_key)
    assert folder.clusters is not None
    if asked is not None:
        try:
            if _given_to_the_fit(seen):
                raise UserError(f"--labels {asked} was given to the fit, so clusters against it mean nothing.")
            seen.labels = load_labels(asked, folder.clusters["id"].tolist(), dataset_labels=columns)
        except UserError as error:
            if labels is not None:
                raise
            seen.notices.append(f"Pictures with labels are left out: {error}")
    return seen


def _read_input(fit: Fit, folder: FitFolder, seen: Seen) -> None:
    facts, reader = folder.facts, fit.modality.input
    spec, arguments = facts["input"], facts["arguments"]
    if reader is None:
        seen.notices.append(
            f"Data of the modality {fit.modality.name!r} are not read again, so they were not looked at."
        )
        return
    try:
        found = reader.read_beside(folder.path, spec, arguments, fit.modality)
        observed = fit.observe(found.data)
    except UserError as error:
        seen.notices.append(f"The input could not be read again: {error}")
        return
    if found.sha256(observed.observations) != facts["data_sha256"]:
        seen.notices.append(f"The input {found.spec} has changed since the fit, so nothing was taken from it.")
        return
    seen.input, seen.observed = found, observed


def _batches(found: Input, column: str) -> Groups:
    if column not in found.columns:
        advice = f"give one of {listed(sorted(found.columns))}" if found.columns else "leave it out"
        raise UserError(f"--batch-key {column} is no column of {found.spec}: {advice}.")
    batches = found.batches(column)
    if batches is None:
        raise UserError(f"--batch-key {column} names batches, which {found.spec} does not have: leave it out.")
    return batches


def _diagnose(
    fit: Fit, seen: Seen, columns: Mapping[str, NDArray[Any]], batches: Groups | None, batch_key: str | None
) -> None:
    if seen.observed is None and fit.labels is None:
        return  # version 0.1 stored nothing of clusters of cells, and the notice says what is left out
    left_out = seen.input is not None and batch_key not in seen.input.names_read
    labels = None if seen.label_name is None else columns.get(seen.label_name)
    if labels is not None and (pd.Series(labels).nunique() < 2 or _given_to_the_fit(seen)):
        labels = None
    try:
        with undisturbed():
            seen.diagnosis = diagnose(
                fit, seen.observed, labels=labels, batches=batches, batch_key=batch_key if left_out else None
            )
    except UserError as error:
        seen.notices.append(f"No diagnosis: {error}")


def _given_to_the_fit(seen: Seen) -> bool:
    return seen.input is not None and seen.label_name in seen.input.names_read


def _read_stability(folder: FitFolder, seen: Seen) -> Stability | None:
    path = folder.path / "stability.csv"
    if not path.exists():
        return None
    assert folder.clusters is not None
    try:
        table = pd.read_csv(path)
        found = stability_from_table(table)
        # What the fit's own seed found, now.
        of_this_fit = table[f"{SEED}{found.seeds[0]}"]
    except (OSError, ValueError, UserError):  # pandas' own errors are ValueErrors
        raise UserError(f"{path} is damaged: run pyro-vmm stability again, or remove it.") from None
    if of_this_fit.tolist() != folder.clusters["cluster"].tolist():
        seen.notices.append(
            f"{path.name} is of an earlier state of this fit and is left out: run pyro-vmm stability again."
        )
        return None
    return found
