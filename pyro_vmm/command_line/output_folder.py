"""The folder that a fit writes."""

import csv
import fcntl
import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.clustering import Clusters
from pyro_vmm.clustering.row_blocks import RowBlocks
from pyro_vmm.command_line.fitted_input import facts_of_fit
from pyro_vmm.command_line.printing import tell, warn
from pyro_vmm.command_line.results import Results, storing_the_model
from pyro_vmm.diagnosis.sampled_rows import sampled_rows, told
from pyro_vmm.errors import UserError
from pyro_vmm.fit import ObservedFit
from pyro_vmm.fit.config import header, read_config
from pyro_vmm.fit.storage import save
from pyro_vmm.modalities import Input, Modality
from pyro_vmm.options import begun_with_earlier_defaults
from pyro_vmm.training.checkpoint import holds_checkpoint
from pyro_vmm.training.resumption import check_same_options

MOST_SHOWN = 100_000
"""Observations that pictures are drawn of."""


class OutputFolder:
    """``config.json``, ``checkpoint/``, ``model.safetensors``, ``history.csv``, ``clusters.csv``, ``latent.npy``, ``figures/``.

    A context manager: inside it no other fit may write the folder.

    Raises
    ------
    UserError
        If the folder is in use by another fit, holds an earlier one, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.checkpoint = path, path / "checkpoint"
        self._started = False

    def __enter__(self) -> "OutputFolder":
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no valid path"
            raise UserError(f"--output {self.path} cannot be written ({reason}): give another folder.") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise UserError(
                f"--output {self.path} is in use by another fit: wait for it or give another folder."
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._started and isinstance(error, UserError) and not self.checkpoint.exists():
            # An option that could not be used: the corrected command is not to find an earlier fit here.
            (self.path / "config.json").unlink(missing_ok=True)
        self._lock.close()

    def start(
        self,
        modality: type[Modality],
        options: Mapping[str, Any],
        facts: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ) -> None:
        """Note what is about to be fitted, in a folder that holds no fit yet."""
        if not overwrite and ((self.path / "config.json").exists() or self.checkpoint.exists()):
            raise UserError(
                f"--output {self.path} holds an earlier fit: give another folder, or --resume to go on with it."
            )
        if self.checkpoint.exists():
            shutil.rmtree(self.checkpoint)
        config = header(modality.name, dict(options)) | {"fit": facts}
        try:
            write_atomically(self.path / "config.json", json.dumps(config, indent=1).encode())
        except OSError as error:
            raise UserError(
                f"--output {self.path} cannot be written ({error.strerror}): make room, or give another folder."
            ) from None
        self._started = True

    def earlier_defaults(self, modality: type[Modality]) -> dict[str, Any]:
        """Options of the fit to go on with that are an earlier version's defaults: they hold where the command says nothing.

        Raises
        ------
        UserError
            If there is no fit to go on with.
        """
        return begun_with_earlier_defaults(modality.entries(), read_config(self.path)["options"])

    def resume(self, modality: type[Modality], options: Mapping[str, Any], facts: Mapping[str, Any]) -> Path | None:
        """Where to go on from: the checkpoints, or None for a fit that was killed before it had written its first.

        Raises
        ------
        UserError
            If the folder holds a fit of other data or with other options, or none.
        """
        config = read_config(self.path)
        begun = facts_of_fit(config, self.path)
        if begun.get("data_sha256") != facts["data_sha256"]:
            raise UserError(f"{self.path} holds a fit of other data than {facts['input']}: resume with the same input.")
        entries = (*modality.entries(), *(modality.input.flags if modality.input else ()))
        check_same_options(
            {**config["options"], **begun.get("setup", {})},
            {**options, **facts["setup"]},
            f"The fit in {self.path}",
            entries,
        )
        threads = begun.get("threads", facts["threads"])
        if threads != facts["threads"]:
            warn(
                f"the fit was begun with {threads} threads, not {facts['threads']}: sums round "
                f"otherwise, so it will not end in the same bits as an uninterrupted one (--threads {threads} would)."
            )
        if "fitted" not in config and not holds_checkpoint(self.checkpoint):
            tell("the fit was stopped before its first checkpoint and begins anew.")
            return None
        return self.checkpoint

    def write_results(self, observed: ObservedFit, source: Input, facts: Mapping[str, Any], how_to_go_on: str) -> None:
        """Write everything that a finished fit leaves behind, the model first; labels of the input are not read.

        Raises
        ------
        ResultsMissing
            If the model could be stored, but not all that goes with it.
        """
        with storing_the_model():
            save(observed.fit, self.path, extra={"fit": facts})
        results = Results(self.path, how_to_go_on)
        with results.part("clusters and embedding"):
            latents, probabilities = observed.latents, observed.probability_blocks
            with results.part("history.csv, latent.npy and clusters.csv"):
                self.write_tables(observed.fit.history, source.ids, latents, probabilities)
            if source.results_file:
                with results.part(source.results_file):
                    fit = observed.fit
                    source.write_results(self.path, fit.modality, fit.n_clusters_, latents, probabilities)
            with results.pictures():
                from pyro_vmm.plotting import save_figures

                rows = sampled_rows(len(observed), MOST_SHOWN)
                shown = observed
                if len(rows) < len(observed):
                    tell(f"the pictures show {told(len(rows), len(observed), observed.fit.modality.noun)}.")
                    shown = observed.subset(np.sort(rows))
                save_figures(self.path / "figures", shown, feature_names=source.feature_names)
        results.finish()

    def write_tables(self, history: pd.DataFrame, ids: Any, latent: Any, responsibilities: RowBlocks) -> None:
        """Write ``latent.npy``, ``clusters.csv`` and ``history.csv``, each atomically.

        Parameters
        ----------
        history
            A row an epoch.
        ids
            Name of each observation, ``[N]``.
        latent
            ``[N, D]``.
        responsibilities
            ``[N, K]``.
        """
        embedding = io.BytesIO()
        np.save(embedding, latent)
        write_atomically(self.path / "latent.npy", embedding.getvalue())
        table = _clusters(ids, responsibilities).encode(errors="backslashreplace")
        write_atomically(self.path / "clusters.csv", table)
        # Last: by its epochs a report knows whether the three are of the model that is stored.
        write_atomically(self.path / "history.csv", history.to_csv(index=False).encode())


def in_words(clusters: Clusters) -> str:
    """What a fit found: clusters, and the components that they were joined from."""
    number, used = clusters.number, clusters.components_in_use
    found, total = f"{number} cluster{'' if number == 1 else 's'}", len(clusters.weights)
    if used == number:
        return f"{found} in use of {total} components"
    return f"{found}, joined from {used} components in use of {total}"


def _clusters(ids: Any, responsibilities: RowBlocks) -> str:
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["id", "cluster", "probability", "second_choice"])
    names = iter(ids)
    for block in responsibilities:
        order = np.argsort(-block, axis=1, kind="stable")[:, :2]
        for shares, choice, name in zip(block, order, names, strict=False):
            second = int(choice[1]) if len(choice) > 1 else ""
            # In full: cells are ranked by it, and rounded ones tie.
            writer.writerow([name, int(choice[0]), repr(float(shares[choice[0]])), second])
    return table.getvalue()
