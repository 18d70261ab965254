"""Fitted estimators on disk: JSON and safetensors, nothing that could execute."""

import copy
import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import nn

from pyro_vmm.assembly import stored_components
from pyro_vmm.atomic_writing import write_together
from pyro_vmm.clustering import Clusters
from pyro_vmm.errors import UserError
from pyro_vmm.plain_values import plain
from pyro_vmm.random_numbers import OwnRandomNumbers
from pyro_vmm.random_states import is_generator
from pyro_vmm.stored_shapes import check_stored_shapes
from pyro_vmm.training.history import present_names
from pyro_vmm.training.resumption import OF_EARLIER_MODELS

if TYPE_CHECKING:
    from pyro_vmm.vmm import VMM

FORMAT, VERSION = "pyro-vmm-model", 1
ARRAYS, SINGLE_CELL = "arrays", "single-cell"
"""Kinds of models: :class:`pyro_vmm.VMM` and :class:`pyro_vmm.SingleCellVMM`."""
FEATURE_DTYPES = {"float32": np.float32, "float64": np.float64}
"""Types of the mean and the scale of features."""
PACKAGES = ("pyro-vmm", "torch", "pyro-ppl", "numpy", "scikit-learn")


def save(estimator: "VMM", directory: Path, *, extra: dict[str, Any] | None = None) -> None:
    """Write ``config.json`` (options, clusters, versions) and ``model.safetensors`` (weights), each atomically.

    Raises
    ------
    UserError
        If the folder cannot be made or written.
    """
    fitted = {
        "n_features_in": int(estimator.n_features_in_),
        "feature_names_in": [str(name) for name in getattr(estimator, "feature_names_in_", [])],
        "n_iter": int(estimator.n_iter_),
        "labels": estimator.labels_.tolist(),
        "validation_rows": None if estimator.validation_rows_ is None else estimator.validation_rows_.tolist(),
        "clusters": estimator.clusters_.to_dict(),
        "feature_mean": estimator.feature_mean_.tolist(),
        "feature_scale": estimator.feature_scale_.tolist(),
        "feature_dtype": estimator.feature_mean_.dtype.name,
        "history": json.loads(estimator.history_.to_json(orient="records", double_precision=15)),
    }
    config = {
        "format": FORMAT,
        "version": VERSION,
        "kind": ARRAYS,
        "estimator": storable_options(estimator),
        "fitted": fitted,
        "versions": versions(),
    } | (extra or {})
    write_model(directory, config, estimator.model_, estimator.guide_)


def write_model(directory: Path, config: dict[str, Any], model: nn.Module, guide: nn.Module) -> None:
    """Write ``config.json`` and the weights of model and guide, ``model.safetensors``, each atomically.

    Raises
    ------
    UserError
        If the folder cannot be made or written.
    """
    tensors = {
        f"{owner}.{name}": tensor.detach().cpu().contiguous().clone()
        for owner, module in (("model", model), ("guide", guide))
        for name, tensor in module.state_dict().items()
    }
    content = save_tensors(tensors)
    # One may be of an earlier fit, if we are killed between writing the two.
    config = config | {"weights_sha256": hashlib.sha256(content).hexdigest()}
    files = {
        directory / "model.safetensors": content,
        directory / "config.json": json.dumps(config, indent=1).encode(),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_together(files)
    except OSError as error:
        raise UserError(f"{directory} cannot be written ({error.strerror}): choose another folder.") from error


def refuse_to_overwrite(directory: Path) -> None:
    """Raise :class:`UserError` if the folder holds a model, or a part of one."""
    for name in ("config.json", "model.safetensors"):
        if (directory / name).exists():
            raise UserError(
                f"{directory} holds a model already ({name}): give another folder, or overwrite=True to replace it."
            )


def load(cls: type["VMM"], directory: Path, objects: dict[str, Any]) -> "VMM":
    """Read a folder written by :func:`save`.

    Raises
    ------
    UserError
        If a file is missing, damaged, foreign or newer than this version, or an object has to be given again.
    """
    config = read_config(directory)
    if "fitted" not in config:
        raise UserError(f"The fit in {directory} has not come to its end: go on with it, pyro-vmm fit ... --resume.")
    if config.get("kind", ARRAYS) != ARRAYS:
        raise UserError(f"{directory} holds a single-cell model: load it with SingleCellVMM.load(directory, adata).")
    options = stored_options(directory, config.get("estimator"), objects)
    try:
        estimator = cls(**options)
        fitted = config["fitted"]
        estimator.n_features_in_ = int(fitted["n_features_in"])
        if fitted["feature_names_in"]:
            estimator.feature_names_in_ = np.asarray(fitted["feature_names_in"], dtype=object)
        estimator.n_iter_ = int(fitted["n_iter"])
        estimator.labels_ = np.asarray(fitted["labels"], dtype=np.int64)
        estimator.clusters_ = Clusters.from_dict(fitted["clusters"])
        # Absent from the models of version 0.1.
        dtype = FEATURE_DTYPES[fitted.get("feature_dtype", "float32")]
        estimator.feature_mean_ = np.asarray(fitted["feature_mean"], dtype=dtype)
        estimator.feature_scale_ = np.asarray(fitted["feature_scale"], dtype=dtype)
        history = pd.DataFrame(fitted["history"])
        estimator.history_ = history.rename(columns=present_names(history.columns))
        estimator.stability_ = None
        # Absent from the models of version 0.1.
        held_out = fitted.get("validation_rows")
        estimator.validation_rows_ = None if held_out is None else np.array(held_out, dtype=np.int64)
        check_fitted(estimator)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise UserError(f"{directory / 'config.json'} is damaged or not of this version: fit again.") from None
    number = stored_components(estimator.num_components, len(estimator.clusters_.order))
    hidden = options.get("hidden") or ()
    check_stored_shapes(
        directory / "model.safetensors",
        lambda: estimator._build_anew(estimator.n_features_in_, number),
        num_layers=len(hidden) if isinstance(hidden, tuple) else 0,
    )
    with OwnRandomNumbers(0):
        estimator.model_, estimator.guide_ = estimator._build_anew(estimator.n_features_in_, number)
    load_weights(estimator.model_, estimator.guide_, directory / "model.safetensors", config.get("weights_sha256"))
    if estimator.model_.prior.num_components != len(estimator.weights_):
        raise UserError(f"{directory / 'config.json'} is damaged or not of this version: fit again.")
    return estimator


def check_fitted(estimator: "VMM") -> None:
    """Raise :class:`ValueError` unless what a config says of the fit is of one piece."""
    features = estimator.n_features_in_
    names = getattr(estimator, "feature_names_in_", None)
    whole = features >= 1 and all(
        values.shape == (features,) for values in (estimator.feature_mean_, estimator.feature_scale_)
    )
    if not whole or (names is not None and len(names) != features) or estimator.labels_.ndim != 1:
        raise ValueError("sizes differ")


def stored_options(directory: Path, stored: Any, objects: dict[str, Any]) -> dict[str, Any]:
    """Options as :func:`storable` left them in JSON, with the user's objects given again.

    Raises
    ------
    UserError
        If there are none, or an object of the user's own is not given again.
    """
    if not isinstance(stored, dict):
        raise UserError(f"{directory / 'config.json'} is damaged or not of this version: fit again.")
    options = OF_EARLIER_MODELS | stored
    for name, value in options.items():
        if isinstance(value, dict) and "object" in value and name not in objects:
            raise UserError(
                f"The model in {directory} was fitted with an object of one's own as {name} ({value['object']}), which is "
                f"not stored: give it again, load(directory, {name}=...)."
            )
        if isinstance(value, list):
            options[name] = tuple(value)
    return options | objects


def read_config(directory: Path) -> dict[str, Any]:
    """Read and check ``config.json`` of a saved model.

    Raises
    ------
    UserError
        If it is missing, damaged, foreign or newer than this version.
    """
    path = directory / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())
        found = (config["format"], int(config["version"]))
    except NotADirectoryError:
        raise UserError(f"{directory} is a file, not the folder of a fit: give the folder.") from None
    except FileNotFoundError:
        raise UserError(f"{directory} holds no model (no config.json): give the folder of a fit.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path} is damaged or not a model of pyro-vmm: fit again.") from None
    if found[0] != FORMAT:
        raise UserError(f"{path} is not a model of pyro-vmm: give the folder of a fit.")
    if found[1] > VERSION:
        raise UserError(f"{path} was written by a newer pyro-vmm (format {found[1]}): update pyro-vmm to read it.")
    return config


def load_weights(model: nn.Module, guide: nn.Module, path: Path, sha256: str | None = None) -> None:
    """Read the weights that :func:`write_model` wrote into a model and a guide of the same options.

    ``sha256`` is their checksum in ``config.json``; the first weeks' models have none.

    Raises
    ------
    UserError
        If the file is missing or damaged, or its weights are of another model.
    """
    try:
        tensors = load_file(path)
        with path.open("rb") as file:
            whole = sha256 in (None, hashlib.file_digest(file, "sha256").hexdigest())
    except FileNotFoundError:
        raise UserError(f"{path} is missing: fit again, or go on from a checkpoint with --resume.") from None
    except (SafetensorError, OSError):
        raise UserError(f"{path} is damaged or no safetensors file: fit again.") from None
    if not whole:
        raise UserError(
            f"{path} is damaged or of another fit than config.json beside it (its checksum does not match): fit again, or "
            "go on from a checkpoint with --resume."
        )
    for owner, module in (("model", model), ("guide", guide)):
        prefix = owner + "."
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        try:
            module.load_state_dict(own)
        except RuntimeError:
            raise UserError(
                f"The weights in {path} do not fit the options in config.json beside it: fit again."
            ) from None
        module.eval()


def storable_options(estimator: "VMM") -> dict[str, Any]:
    """The estimator's options for JSON; an object of the user's own becomes a note of its class, a generator None."""
    options = estimator.get_params(deep=False)
    if is_generator(options["random_state"]):
        options["random_state"] = None
    return storable(options)


def storable(options: dict[str, Any]) -> dict[str, Any]:
    """Options for JSON; an object of the user's own becomes a note of its class."""
    own = {name: plain(value) for name, value in options.items()}
    return {name: value if _of_json(value) else {"object": type(value).__qualname__} for name, value in own.items()}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}


def with_copies(options: dict[str, Any]) -> dict[str, Any]:
    """The options, with a copy of every module among them: two fits must not share parameters.

    Copied at once, so that what one of them shares with another (tied weights, an encoder) its copy shares, too.
    """
    return options | copy.deepcopy({name: value for name, value in options.items() if isinstance(value, nn.Module)})


def _of_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _of_json(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_of_json, value))
    return value is None or isinstance(value, bool | int | float | str)
