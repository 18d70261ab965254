"""Fits on disk: JSON and safetensors, nothing that could execute."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pyro_vmm.clustering import Clusters
from pyro_vmm.errors import Option, UserError
from pyro_vmm.fit.config import header, read_config, refuse_to_overwrite
from pyro_vmm.fit.fit import Fit
from pyro_vmm.fit.fitting import rebuilt
from pyro_vmm.fit.own_objects import storable
from pyro_vmm.fit.stored_shapes import check_stored_shapes
from pyro_vmm.fit.weights import load_weights, write_model
from pyro_vmm.modalities import Modality, named
from pyro_vmm.modalities.components import stored_components
from pyro_vmm.option_checks import as_folder, check_boolean
from pyro_vmm.options import checked, of_earlier_versions
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.random_numbers import OwnRandomNumbers
from pyro_vmm.training.history import present_names


def save_checked(fit: Fit, directory: Any, *, overwrite: Any, prefix: Any = None) -> None:
    """As :func:`save`, for a user: a model that the folder holds is replaced only where ``overwrite`` is True.

    Raises
    ------
    UserError
        If the folder holds a model and ``overwrite`` is False, or cannot be written; for a prefix that no file name has.
    """
    folder, prefix = as_folder(directory), check_prefix(prefix)
    if not check_boolean(overwrite, "overwrite"):
        refuse_to_overwrite(folder, prefix)
    save(fit, folder, prefix=prefix)


def check_prefix(prefix: Any) -> str:
    """The beginning of the names of a stored model's files; None for none.

    Raises
    ------
    UserError
        If no file name begins so.
    """
    if prefix is None:
        return ""
    if not isinstance(prefix, str) or set(prefix) & set("/\\\0"):
        raise UserError(f"prefix is {prefix!r}: give the beginning of a file's name, without a folder.")
    return prefix


def save(fit: Fit, directory: Path, *, extra: Mapping[str, Any] | None = None, prefix: str = "") -> None:
    """Write ``config.json`` (options, clusters, versions) and ``model.safetensors`` (weights), each atomically.

    ``prefix`` comes before both names.

    Raises
    ------
    UserError
        If the folder cannot be made or written.
    """
    fitted = {
        "modality": fit.modality.to_dict(),
        "clusters": fit.clusters.to_dict(),
        "labels": None if fit.labels is None else fit.labels.tolist(),
        "held_out": None if fit.held_out is None else fit.held_out.tolist(),
        "history": json.loads(fit.history.to_json(orient="records", double_precision=15)),
        "rows_sha256": fit.rows_sha256,
    }
    config = header(fit.modality.name, storable(fit.options)) | {"fitted": fitted} | dict(extra or {})
    write_model(directory, config, fit.model, fit.guide, prefix)


@usual_settings()
def load(directory: Path, objects: Mapping[str, Any] | None = None, kind: str | None = None, prefix: str = "") -> Fit:
    """Read a folder written by :func:`save`.

    Parameters
    ----------
    directory
        The folder.
    objects
        What cannot be stored, by the option's name.
    kind
        The modality that is expected, if any.
    prefix
        Before the names of the files.

    Raises
    ------
    UserError
        If a file is missing, damaged, foreign or newer than this version, the fit is of another kind, or an object has to
        be given again.
    """
    config = read_config(directory, prefix)
    if kind is not None and config["kind"] != kind:
        other = named(config["kind"])
        raise UserError(f"{directory} holds {other.model_in_words}: load it with {other.loaded_by}.")
    if "fitted" not in config:
        raise UserError(f"The fit in {directory} has not come to its end: go on with it, pyro-vmm fit ... --resume.")
    modality = named(config["kind"])
    options = stored_options(directory, modality, config.get("options"), objects or {})
    path, damaged = (
        directory / f"{prefix}model.safetensors",
        f"{directory / f'{prefix}config.json'} is damaged or not of this version: fit again.",
    )
    try:
        fitted = config["fitted"]
        learned = modality.from_dict(fitted["modality"], options)
        clusters = Clusters.from_dict(fitted["clusters"])
        # A column without numbers is read as one of objects.
        history = pd.DataFrame(fitted["history"]).apply(pd.to_numeric)
        history = history.rename(columns=present_names(history.columns))
        labels, held_out = (
            None if fitted[name] is None else np.array(fitted[name], dtype=np.int64) for name in ("labels", "held_out")
        )
        if any(rows is not None and rows.ndim != 1 for rows in (labels, held_out)):
            raise ValueError("rows of several dimensions")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise UserError(damaged) from None
    number = stored_components(options["num_components"], len(clusters.order))
    check_stored_shapes(path, lambda: rebuilt(learned, None, number), num_layers=learned.num_layers)
    with OwnRandomNumbers(0):
        model, guide = rebuilt(learned, None, number)
    load_weights(model, guide, path, config.get("weights_sha256"))
    if model.prior.num_components != len(clusters.weights):
        raise UserError(damaged)
    return Fit(learned, model, guide, clusters, labels, history, held_out, rows_sha256=fitted.get("rows_sha256"))


def stored_options(
    directory: Path, modality: type[Modality], stored: Any, objects: Mapping[str, Any]
) -> dict[str, Any]:
    """Options as they were stored, checked, with the user's objects given again.

    Raises
    ------
    UserError
        If there are none, or an object of the user's own is not given again.
    """
    entries = modality.entries()
    if not isinstance(stored, dict):
        raise UserError(f"{directory / 'config.json'} is damaged or not of this version: fit again.")
    options = of_earlier_versions(entries) | stored
    for name, value in options.items():
        if isinstance(value, dict) and "object" in value and name not in objects:
            raise UserError(
                f"The model in {directory} was fitted with an object of one's own as ",
                Option(name),
                f" ({value['object']}), which is not stored: give it again, load(directory, ",
                Option(name),
                "=...).",
            )
        if isinstance(value, list):
            options[name] = tuple(value)
    try:
        known = checked(options | dict(objects), entries)
        return {entry.name: known[entry.name] for entry in entries}
    except KeyError:
        raise UserError(f"{directory / 'config.json'} is damaged or not of this version: fit again.") from None
