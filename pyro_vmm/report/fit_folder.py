"""What ``pyro-vmm fit`` left in its output folder, read and checked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.fit.config import read_config
from pyro_vmm.modalities import Modality, named
from pyro_vmm.training.checkpoint import read_checkpoint
from pyro_vmm.training.history import present_names

WRITTEN_AGAIN = "pyro-vmm fit with the same options and --resume writes it again"
CLUSTER_COLUMNS = ("id", "cluster", "probability", "second_choice")


@dataclass(frozen=True, eq=False)
class FitFolder:
    """The tables of a fit; an unfinished one has only its configuration and history.

    Attributes
    ----------
    path
        The folder.
    config
        ``config.json``.
    history
        A row an epoch.
    clusters
        ``clusters.csv``: a row an observation, [N]; None where the fit has not come to its end.
    latent
        Posterior means, [N, D]; None likewise.
    scores
        ``scores.json``, where ``pyro-vmm score`` has written one.
    """

    path: Path
    config: dict[str, Any]
    history: pd.DataFrame
    clusters: pd.DataFrame | None = None
    latent: NDArray[np.float32] | None = None
    scores: dict[str, Any] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What ``fit`` noted of its input and itself."""
        facts: dict[str, Any] = self.config["fit"]
        return facts

    @property
    def options(self) -> dict[str, Any]:
        """All options of the model and its training, by name."""
        options: dict[str, Any] = self.config["options"]
        return options

    @property
    def modality(self) -> type[Modality]:
        """What the data are."""
        return named(self.config["kind"])


def read_fit(directory: Path) -> FitFolder:
    """Read the folder of a fit, finished or stopped at a checkpoint.

    Raises
    ------
    UserError
        If it is no folder of ``pyro-vmm fit``, nothing has been fitted yet, or a file is missing or damaged.
    """
    if not directory.is_dir():
        raise UserError(f"There is no folder {directory}: give the folder that pyro-vmm fit wrote.")
    config = read_config(directory)
    if not isinstance(config.get("fit"), dict) or not isinstance(config.get("options"), dict):
        raise UserError(f"{directory} was not written by pyro-vmm fit: give the folder of a fit.")
    if "fitted" not in config:
        return FitFolder(directory, config, _history_so_far(directory))
    history = _read_table(directory / "history.csv", ("epoch", "step", "elbo"))
    history = history.rename(columns=present_names(history.columns))
    clusters = _read_table(directory / "clusters.csv", CLUSTER_COLUMNS, text=("id",))
    latent = _read_latent(directory / "latent.npy")
    if isinstance(config["fitted"], dict) and len(config["fitted"].get("history", history)) != len(history):
        raise UserError(f"{directory / 'history.csv'} is of an earlier state of the fit: {WRITTEN_AGAIN}.")
    number = config["fit"].get("num_observations")
    for name, rows in (("clusters.csv", len(clusters)), ("latent.npy", len(latent))):
        if rows != number:
            raise UserError(f"{directory / name} has {rows} rows, and the fit {number} observations: {WRITTEN_AGAIN}.")
    return FitFolder(directory, config, history, clusters, latent, _read_scores(directory / "scores.json"))


def _history_so_far(directory: Path) -> pd.DataFrame:
    checkpoint = directory / "checkpoint"
    if not checkpoint.is_dir():
        raise UserError(f"The fit in {directory} has not written a checkpoint yet: let it run, or fit again.")
    _, facts, _ = read_checkpoint(checkpoint)
    history = pd.DataFrame(
        facts.get("history", []), columns=None if facts.get("history") else ["epoch", "step", "elbo"]
    )
    return history.rename(columns=present_names(history.columns))


def _read_table(path: Path, columns: tuple[str, ...], text: tuple[str, ...] = ()) -> pd.DataFrame:
    numbers = [column for column in columns if column not in text]
    try:
        # Only numbers may be missing: an observation may well be called NA.
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for column in [*numbers, *(name for name in table if name not in columns)]:
            table[column] = _numbers(table[column])
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {WRITTEN_AGAIN}.") from None
    except (OSError, ValueError, KeyError):
        raise UserError(f"{path} is damaged: {WRITTEN_AGAIN}.") from None
    if "cluster" in columns and not (np.isfinite(table["probability"]).all() and (table["cluster"] >= 0).all()):
        raise UserError(f"{path} is damaged: {WRITTEN_AGAIN}.")
    return table


def _numbers(texts: pd.Series) -> pd.Series:
    """Numbers as Python reads them, to the last digit; empty ones are NaN."""
    try:
        return texts.map(int).astype(np.int64)
    except ValueError:
        return texts.map(lambda text: float(text or "nan")).astype(np.float64)


def _read_latent(path: Path) -> NDArray[np.float32]:
    try:
        latent = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {WRITTEN_AGAIN}.") from None
    except (OSError, ValueError, EOFError):
        raise UserError(f"{path} is damaged: {WRITTEN_AGAIN}.") from None
    if not isinstance(latent, np.ndarray) or latent.ndim != 2 or latent.dtype.kind != "f":
        raise UserError(f"{path} is damaged: {WRITTEN_AGAIN}.")
    return latent


def _read_scores(path: Path) -> dict[str, Any] | None:
    try:
        scores = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        scores = None
    if not isinstance(scores, dict) or not isinstance(scores.get("clusters"), dict):
        raise UserError(f"{path} is damaged: run pyro-vmm score again, or remove it.")
    return scores
