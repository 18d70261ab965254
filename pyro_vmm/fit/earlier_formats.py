"""Configurations that version 0.1 wrote, in today's form."""

import json
from collections.abc import Mapping
from io import StringIO
from typing import Any

import pandas as pd

from pyro_vmm.history_frames import as_elbos
from pyro_vmm.modalities import named
from pyro_vmm.options import ALL, ARRAYS, SINGLE_CELL, canonical, of_earlier_versions


def as_of_today(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of format 1, which had a form for arrays and one for cells.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError, OverflowError
        If the configuration is not of one piece.
    """
    kind = config.get("kind", ARRAYS)
    today = {
        "kind": kind,
        **{name: value for name, value in config.items() if name not in ("estimator", "fitted", "setup")},
    }
    facts = dict(config.get("fit", {}))
    stored = canonical(config["estimator"] | facts.pop("training", {}), ALL, kind)
    modality = named(kind)
    today["options"] = modality.with_defaults({}) | of_earlier_versions(modality.entries()) | stored
    if "fit" in config:
        today["fit"] = facts | _run(kind, facts, config)
    if "fitted" in config:
        of_kind = _of_cells if kind == SINGLE_CELL else _of_arrays
        today["fitted"] = {"clusters": config["fitted"]["clusters"], **of_kind(config, config["fitted"])}
    return today


def _run(kind: str, facts: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """What today's ``pyro-vmm fit`` notes, and that of version 0.1 noted elsewhere or left to its command."""
    setup = facts.get("setup", {})
    if kind == SINGLE_CELL:
        covariates = [*setup["categorical_covariate_keys"], *setup["continuous_covariate_keys"]]
        where = {name: setup[name] for name in ("layer", "batch_key", "size_factor_key")}
        where |= {"covariates": covariates or None, "allow_non_counts": config.get("allow_non_counts", False)}
    else:
        where = {name: facts.get(name) for name in ("data_root", "label_column")}
    return {"arguments": where, "setup": setup, "checkpoint_seconds": 60.0}


def _of_arrays(config: Mapping[str, Any], fitted: Mapping[str, Any]) -> dict[str, Any]:
    if int(fitted["n_features_in"]) != len(fitted["feature_mean"]):
        raise ValueError("sizes differ")
    return {
        "modality": {
            "mean": fitted["feature_mean"],
            "scale": fitted["feature_scale"],
            "dtype": fitted.get("feature_dtype", "float32"),
            "names": fitted["feature_names_in"] or None,
        },
        "labels": fitted["labels"],
        "held_out": fitted.get("validation_rows"),
        "history": fitted["history"],
        "rows_sha256": None,
    }


def _of_cells(config: Mapping[str, Any], fitted: Mapping[str, Any]) -> dict[str, Any]:
    learned = {
        name: fitted[name] for name in ("gene_names", "categories", "batch_categories", "encoding", "batch_shares")
    }
    frames = pd.read_json(StringIO(json.dumps(fitted["history"])), orient="records").set_index("epoch")
    history = as_elbos({name: frames[[name]] for name in frames.columns})
    return {
        "modality": learned | {name: config[name] for name in ("setup", "allow_non_counts")},
        "labels": None,
        "held_out": fitted.get("validation_indices"),
        "history": json.loads(history.to_json(orient="records", double_precision=15)),
        "rows_sha256": fitted.get("cells_sha256"),
    }
