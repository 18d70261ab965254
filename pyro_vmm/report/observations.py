"""What the fitted model and its input add to the tables: labels, batches, gene counts, a diagnosis."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.data import Dataset, load_input, load_labels
from pyro_vmm.data.arrays import listed
from pyro_vmm.diagnosis import Diagnosis, Stability
from pyro_vmm.diagnosis.stability_table import SEED, stability_from_table
from pyro_vmm.errors import UserError
from pyro_vmm.report.fit_folder import FitFolder


@dataclass(eq=False)
class Observations:
    """All that is known of the observations beside their clusters; what could not be had is told in ``notices``.

    Attributes
    ----------
    model
        The fitted :class:`~pyro_vmm.VMM` or :class:`~pyro_vmm.SingleCellVMM`; None where it needs an input that is gone.
    responsibilities
        Asks the model for those of all observations, [N, K], as ``pyro-vmm score`` does; None where the input is gone.
    diagnosis
        What the model's ``diagnose`` found.
    labels, label_name
        Labels, [N], and what the user called them.
    batches, batch_name
        Batches, [N], and their column.
    stability
        How far fits with other seeds agree, where ``pyro-vmm stability`` has made some.
    notices
        Sentences about what is missing from the report, and why.
    """

    model: Any = None
    responsibilities: Callable[[], NDArray[np.float64]] | None = None
    diagnosis: Diagnosis | None = None
    labels: NDArray[Any] | None = None
    label_name: str | None = None
    batches: NDArray[Any] | None = None
    batch_name: str | None = None
    stability: Stability | None = None
    notices: list[str] = field(default_factory=list)


def observe(fit: FitFolder, labels: str | None = None, batch_key: str | None = None) -> Observations:
    """Load the model of a finished fit and what goes with it.

    Parameters
    ----------
    fit
        A finished fit.
    labels
        Column or file of labels, as for ``pyro-vmm score``; those that the fit was scored with where None.
    batch_key
        Column of the cells' batches by which to look for a batch effect; the fit's own where None.

    Raises
    ------
    UserError
        If the model is damaged, or labels or batches were asked for and cannot be read, or labels were given to the fit.
    """
    asked = labels or (fit.scores or {}).get("labels")
    seen = Observations(label_name=asked)
    seen.stability = _read_stability(fit, seen)
    if batch_key is not None and not fit.of_cells:
        raise UserError(f"--batch-key {batch_key} is of single cells, and {fit.path} is a fit of arrays: leave it out.")
    known = _observe_cells(fit, seen, batch_key) if fit.of_cells else _observe_arrays(fit, seen)
    assert fit.clusters is not None
    if asked is not None:
        try:
            if asked in known.given_to_the_fit:
                raise UserError(f"--labels {asked} was given to the fit, so clusters against it mean nothing.")
            seen.labels = load_labels(asked, fit.clusters["id"].tolist(), dataset_labels=known.columns)
        except UserError as error:
            if labels is not None:
                raise
            seen.notices.append(f"Pictures with labels are left out: {error}")
    return seen


@dataclass(frozen=True)
class _Known:
    """Labels that came with the input, by name, and the names that the fit has read."""

    columns: dict[str, NDArray[Any]]
    given_to_the_fit: tuple[str, ...]


def _observe_arrays(fit: FitFolder, seen: Observations) -> _Known:
    from pyro_vmm.vmm import VMM

    seen.model = VMM.load(fit.path)
    seen.model.stability_ = seen.stability
    dataset = _load_input(fit, seen)
    _diagnose(seen, None if dataset is None else dataset.x)
    if dataset is None:
        return _Known({}, ())
    seen.responsibilities = partial(seen.model.predict_proba, dataset.x)
    columns = {} if dataset.labels is None else {dataset.label_name or "label": dataset.labels}
    return _Known(columns, tuple(name for name in dataset.feature_names.tolist() if name != dataset.label_name))


def _read_stability(fit: FitFolder, seen: Observations) -> Stability | None:
    path = fit.path / "stability.csv"
    if not path.exists():
        return None
    assert fit.clusters is not None
    try:
        table = pd.read_csv(path)
        found = stability_from_table(table)
        # What the fit's own seed found, now.
        of_this_fit = table[f"{SEED}{found.seeds[0]}"]
    except (OSError, ValueError, UserError):  # pandas' own errors are ValueErrors
        raise UserError(f"{path} is damaged: run pyro-vmm stability again, or remove it.") from None
    if of_this_fit.tolist() != fit.clusters["cluster"].tolist():
        seen.notices.append(
            f"{path.name} is of an earlier state of this fit and is left out: run pyro-vmm stability again."
        )
        return None
    return found


def _load_input(fit: FitFolder, seen: Observations) -> Dataset | None:
    facts = fit.facts
    try:
        dataset = load_input(facts["input"], data_root=facts.get("data_root"), label_column=facts.get("label_column"))
    except UserError as error:
        seen.notices.append(f"The input could not be read again: {error}")
        return None
    if hashlib.sha256(np.ascontiguousarray(dataset.x).tobytes()).hexdigest() != facts["data_sha256"]:
        seen.notices.append(f"The input {facts['input']} has changed since the fit, so nothing was taken from it.")
        return None
    return dataset


def _observe_cells(fit: FitFolder, seen: Observations, batch_key: str | None) -> _Known:
    from pyro_vmm.data.cell_files import read_cells
    from pyro_vmm.single_cell import SingleCellVMM

    path = fit.path / "adata.h5ad"
    if not Path(path).exists():
        seen.notices.append(
            f"{path.name} is missing, so batches, genes and the diagnosis are left out; pyro-vmm fit with the same options "
            "and --resume writes it."
        )
        return _Known({}, ())
    adata = read_cells(path)
    seen.model = model = SingleCellVMM.load(fit.path, adata)
    model.stability_ = seen.stability
    seen.responsibilities = model.predict_proba
    setup = model.setup
    if setup.batch_key is not None:
        seen.batch_name = setup.batch_key
        seen.batches = np.array(model.batch_categories, dtype=object)[model.cells.batch]
    unambiguous = adata.obs.loc[:, ~adata.obs.columns.duplicated(keep=False)]
    given = (setup.batch_key, setup.size_factor_key, *setup.categorical_keys, *setup.continuous_keys)
    known = _Known(
        {str(name): unambiguous[name].to_numpy() for name in unambiguous.columns},
        tuple(name for name in given if name is not None),
    )
    if batch_key is not None and batch_key not in known.columns:
        raise UserError(f"--batch-key {batch_key} is no column of {path}: give one of {listed(sorted(known.columns))}.")
    columns = {} if batch_key is None else {"batch_key": batch_key}
    if seen.label_name in known.columns and seen.label_name not in known.given_to_the_fit:
        columns["labels_key"] = seen.label_name
    _diagnose(seen, adata if columns else None, **columns)
    return known


def _diagnose(seen: Observations, observed: Any, **columns: str) -> None:
    try:
        seen.diagnosis = seen.model.diagnose(observed, **columns)
    except UserError as error:
        seen.notices.append(f"No diagnosis: {error}")
