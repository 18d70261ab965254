"""Whether a long fit needs ever more memory: resident memory over many steps of a tiny fit, on arrays and on counts.

Memory (RSS) is read every twentieth of the steps, after a garbage collection. The first fifth does not count: allocators
fill their pools then. A leak of one float a step would not show; one of a tensor, a graph or a closure does.
"""

import gc
import resource
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fitted import Fitted
from benchmarks.run import Run
from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.single_cell import simulate_cells
from pyro_vmm.training import CheckpointWriter, Trainer


def resident_megabytes() -> float:
    """Memory of this process now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


@dataclass
class Memory:
    """A watcher that writes memory down."""

    every_steps: int
    megabytes: list[float] = field(default_factory=list)

    def step_ended(self, trainer: Trainer) -> None:
        """Look, when it is time."""
        if trainer.svi.steps_taken % self.every_steps == 0:
            self.megabytes.append(resident_megabytes())

    def epoch_ended(self, trainer: Trainer) -> None:
        """Nothing."""


def fit_arrays(steps: int, watchers: list[Any]) -> None:
    x = np.random.default_rng(0).random((200, 16), dtype=np.float32)
    vmm = VMM(latent_dim=2, num_components=5, hidden=(16,), batch_size=20, device="cpu", random_state=0)
    vmm.set_params(max_epochs=-(-steps // 9), patience=None)
    vmm.fit(x, watchers=watchers)


def fit_cells(steps: int, watchers: list[Any]) -> None:
    adata = simulate_cells(200, 20, num_groups=2, num_batches=2)
    SingleCellVMM.setup_anndata(adata, batch_key="batch")
    model = SingleCellVMM(adata, n_latent=2, num_components=5, n_hidden=16)
    model.train(max_epochs=-(-steps // 9), batch_size=20, early_stopping=False, accelerator="cpu", watchers=watchers)


FITS: Mapping[str, Callable[[int, list[Any]], None]] = {"arrays": fit_arrays, "cells": fit_cells}


def measure_long_run(x: None, options: Mapping[str, Any], run: Run) -> Fitted:
    """Fit ``options["fit"]`` for ``options["steps"]`` steps; memory in MB."""
    every = max(1, options["steps"] // 20)
    memory = Memory(every)
    with tempfile.TemporaryDirectory() as folder:
        FITS[options["fit"]](options["steps"], [memory, CheckpointWriter(Path(folder), every_steps=every)])
    settled, end = memory.megabytes[3], memory.megabytes[-1]
    numbers = {"readings": float(len(memory.megabytes)), "settled_mb": settled, "end_mb": end}
    return Fitted(numbers=numbers | {"growth_mb": end - settled})
