"""``config.json`` of a stored fit: read and checked, those of earlier versions as today's."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pyro_vmm.errors import UserError
from pyro_vmm.fit.earlier_formats import as_of_today

FORMAT, VERSION = "pyro-vmm-model", 2
"""Raise the version when an earlier release could not read what this one writes."""
PACKAGES = ("pyro-vmm", "torch", "pyro-ppl", "numpy", "scikit-learn")


def header(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """What the configuration of every fit begins with, finished or not."""
    return {"format": FORMAT, "version": VERSION, "kind": kind, "options": options, "versions": versions()}


def read_config(directory: Path, prefix: str = "") -> dict[str, Any]:
    """Read and check ``config.json`` of a saved model, whose files' names begin with ``prefix``.

    Raises
    ------
    UserError
        If it is missing, damaged, foreign or newer than this version.
    """
    path = directory / f"{prefix}config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())
        found = (config["format"], int(config["version"]))
    except NotADirectoryError:
        raise UserError(f"{directory} is a file, not the folder of a fit: give the folder.") from None
    except FileNotFoundError:
        raise UserError(f"{directory} holds no model (no {path.name}): give the folder of a fit.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path} is damaged or not a model of pyro-vmm: fit again.") from None
    if found[0] != FORMAT:
        raise UserError(f"{path} is not a model of pyro-vmm: give the folder of a fit.")
    if found[1] > VERSION:
        raise UserError(f"{path} was written by a newer pyro-vmm (format {found[1]}): update pyro-vmm to read it.")
    try:
        today = config if found[1] == VERSION else as_of_today(config)
        if not (isinstance(today["kind"], str) and isinstance(today["options"], dict)):
            raise TypeError("kind and options of another form")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise UserError(f"{path} is damaged or not of this version: fit again.") from None
    return today


def refuse_to_overwrite(directory: Path, prefix: str = "") -> None:
    """Raise :class:`UserError` if the folder holds a model, or a part of one, under names that begin with ``prefix``."""
    for name in (f"{prefix}config.json", f"{prefix}model.safetensors"):
        if (directory / name).exists():
            raise UserError(
                f"{directory} holds a model already ({name}): give another folder, or overwrite=True to replace it."
            )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}
