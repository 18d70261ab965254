"""Where a trial runs, and what a stopped one has left: the checkpoint of its training and the time that it took."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.training import CheckpointWriter, Trainer, Watcher
from pyro_vmm.training.checkpoint import holds_checkpoint


@dataclass
class TrialCheckpoint(CheckpointWriter):
    """Writes the state of a trial's training and the time spent so far; a run that comes later goes on from there.

    Attributes
    ----------
    directory
        The trial's own.
    belongs_to
        Definition, device and source: what was left by others is removed.
    """

    belongs_to: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._began = time.process_time(), time.perf_counter()
        left = self._left()
        if left is None:
            self.remove()
        self._before = (0.0, 0.0) if left is None else (left["cpu_seconds"], left["wall_seconds"])

    @property
    def resume(self) -> Path | None:
        """The checkpoint to go on from, if a stopped run has left one."""
        return self.directory if holds_checkpoint(self.directory) else None

    def spent(self) -> dict[str, float]:
        """``cpu_seconds`` and ``wall_seconds`` of this run and, up to their last checkpoints, of those that it goes on from."""
        cpu, wall = self._began
        return {
            "cpu_seconds": self._before[0] + time.process_time() - cpu,
            "wall_seconds": self._before[1] + time.perf_counter() - wall,
        }

    def write(self, trainer: Trainer) -> None:
        """The state, then the time."""
        super().write(trainer)
        write_atomically(self._note, json.dumps({"belongs_to": self.belongs_to, **self.spent()}).encode())

    def remove(self) -> None:
        """Nothing is to be gone on from any more."""
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _note(self) -> Path:
        return self.directory / "trial.json"

    def _left(self) -> dict[str, Any] | None:
        """The note of a stopped run of the same definition and source."""
        try:
            left = json.loads(self._note.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return left if left.get("belongs_to") == self.belongs_to else None


@dataclass(frozen=True)
class Run:
    """What a fit is told besides data and options.

    Attributes
    ----------
    seed, device
        Of the fit.
    checkpoint
        For a fit that can be gone on with.
    """

    seed: int
    device: str = "cpu"
    checkpoint: TrialCheckpoint | None = None

    @property
    def resume(self) -> Path | None:
        """The checkpoint to go on from, if there is one."""
        return None if self.checkpoint is None else self.checkpoint.resume

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """What is told of the training."""
        return () if self.checkpoint is None else (self.checkpoint,)
