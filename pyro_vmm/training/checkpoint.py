"""Checkpoints on disk: safetensors and JSON, whole or not at all."""

import hashlib
import json
import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.errors import UserError
from pyro_vmm.option_checks import as_folder, check_whole_number
from pyro_vmm.training.trainer import Trainer

FORMAT, VERSION = "pyro-vmm-checkpoint", 1
_NAME = re.compile(r"state-(\d{10})\.json")
_ANY_FILE = re.compile(r"\.?(state-\d{10})\.(json|safetensors)")


def write_checkpoint(directory: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, step: int) -> Path:
    """Write ``state-<step>.safetensors`` and then ``.json`` with the SHA-256 of both; keep this pair and the one before.

    A pair counts only once its JSON is there and the checksums hold, so that a crash at any moment leaves the pair
    before it in use. Everything else of ours is removed: what a crash left half-written, and pairs of later steps, which
    are damaged or of a training that was given up.

    Returns
    -------
    Path
        The JSON file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    content = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
    stem = directory / f"state-{step:010d}"
    write_atomically(stem.with_suffix(".safetensors"), content)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "step": step,
        "sha256": hashlib.sha256(content).hexdigest(),
        "facts_sha256": _digest(facts),
    }
    write_atomically(stem.with_suffix(".json"), json.dumps(header | {"facts": facts}, indent=1).encode())
    files = sorted(directory.iterdir())
    earlier = [path.stem for path in files if _NAME.fullmatch(path.name) and path.stem < stem.name]
    for path in files:
        ours = _ANY_FILE.match(path.name)
        if ours and (path.name.startswith(".") or ours[1] not in (stem.name, *earlier[-1:])):
            path.unlink()
    return stem.with_suffix(".json")


def read_checkpoint(directory: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
    """Read the newest whole checkpoint.

    Returns
    -------
    tuple
        Tensors by name, facts, and one sentence for each newer checkpoint that had to be passed over.

    Raises
    ------
    UserError
        If there is none, or none that is whole; the message says what is wrong with each.
    """
    candidates = _candidates(directory)
    if not candidates:
        raise UserError(f"{directory} holds no checkpoint: fit again, into another folder.")
    faults: list[str] = []
    for path in candidates:
        try:
            return *_read_pair(path), faults
        except UserError as error:
            faults.append(str(error))
    raise UserError(f"No checkpoint in {directory} is whole ({' '.join(faults)}): fit again, into another folder.")


def holds_checkpoint(directory: Path) -> bool:
    """Whether a checkpoint was ever written there in full, be it whole still or damaged since."""
    return bool(_candidates(directory))


def resume_training(trainer: Trainer, directory: Path) -> None:
    """Take up training where the newest whole checkpoint in ``directory`` left it.

    Raises
    ------
    UserError
        If there is none, or it belongs to another fit.

    Warns
    -----
    UserWarning
        For every damaged checkpoint that is passed over.
    """
    tensors, facts, faults = read_checkpoint(directory)
    for fault in faults:
        # Of the facade that calls this from a method of its own.
        warnings.warn(f"{fault} The checkpoint before it is used.", stacklevel=3)
    trainer.load_state_dict(tensors, facts)
    trainer.resumed_from = directory


def _candidates(directory: Path) -> list[Path]:
    """JSON files of checkpoints, the newest first."""
    if not directory.is_dir():
        return []
    return sorted((path for path in directory.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _read_pair(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        header = json.loads(path.read_text())
        found = (header["format"], int(header["version"]))
        checksum, facts = header["sha256"], header["facts"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path.name} is damaged.") from None
    if found[0] != FORMAT:
        raise UserError(f"{path.name} is no checkpoint of pyro-vmm.")
    if found[1] > VERSION:
        raise UserError(f"{path.name} was written by a newer pyro-vmm (format {found[1]}, this one reads {VERSION}).")
    # Absent from the checkpoints of the first weeks.
    if header.get("facts_sha256", _digest(facts)) != _digest(facts):
        raise UserError(f"{path.name} is damaged (its checksum does not match).")
    tensor_path = path.with_suffix(".safetensors")
    try:
        with tensor_path.open("rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest() == checksum
        if not whole:
            raise UserError(f"{tensor_path.name} is damaged (its checksum does not match).")
        return load_file(tensor_path), facts
    except FileNotFoundError:
        raise UserError(f"{tensor_path.name} is missing.") from None
    except SafetensorError:
        raise UserError(f"{tensor_path.name} is no safetensors file.") from None


@dataclass
class CheckpointWriter:
    """A :class:`~pyro_vmm.training.Watcher` that writes a checkpoint every ``every_seconds``, and at the end.

    Attributes
    ----------
    directory
        Where to; made when missing. It may hold a checkpoint only of the training that is resumed.
    every_seconds
        A crash loses at most this much work (and one step).
    every_steps
        Also after each multiple of this many steps, when given.
    """

    directory: str | Path
    every_seconds: float = 60.0
    every_steps: int | None = None

    def __post_init__(self) -> None:
        self._folder = as_folder(self.directory)
        self.every_steps = check_whole_number(self.every_steps, "every_steps", or_none="for no such rule")
        self._last = time.monotonic()
        self._is_ours = False

    def step_ended(self, trainer: Trainer) -> None:
        """Write when it is time, when training has finished, and when it was asked to stop or failed.

        Raises
        ------
        UserError
            After the first step, if the folder holds the checkpoint of another training.
        """
        if not self._is_ours:
            self._refuse_to_overwrite(trainer)
        due = time.monotonic() - self._last >= self.every_seconds
        if self.every_steps is not None:
            due = due or trainer.svi.steps_taken % self.every_steps == 0
        if due or trainer.progress.finished or trainer.stop_requested:
            self.write(trainer)
            self._last = time.monotonic()

    def _refuse_to_overwrite(self, trainer: Trainer) -> None:
        before = trainer.resumed_from
        if holds_checkpoint(self._folder) and (before is None or before.resolve() != self._folder.resolve()):
            raise UserError(
                f"{self._folder} holds the checkpoint of another training: give another folder, or continue that one with "
                f"resume={str(self._folder)!r}."
            )
        self._is_ours = True

    def write(self, trainer: Trainer) -> None:
        """Write a checkpoint now."""
        write_checkpoint(self._folder, *trainer.state_dict(), step=trainer.svi.steps_taken)

    def epoch_ended(self, trainer: Trainer) -> None:
        """Nothing: an epoch's last step has been told of already."""
