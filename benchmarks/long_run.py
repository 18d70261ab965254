"""Whether a long fit needs ever more memory: resident memory over many steps of a tiny fit, on arrays and on counts.

Memory (RSS) is read every twentieth of the steps, after a garbage collection. The first fifth does not count: allocators
fill their pools then. A leak of one float a step would not show; one of a tensor, a graph or a closure does.
"""

import argparse
import gc
import json
import os
import platform
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyro_vmm import VMM, SingleCellVMM, persistence
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
            self.megabytes.append(round(resident_megabytes(), 2))

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000, help="of each of the two fits")
    parser.add_argument("--output", type=Path, help="write the results here as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/long_run.py", *sys.argv[1:]]),
        "python": platform.python_version(),
        "versions": persistence.versions(),
        "cores": os.cpu_count(),
        "steps": arguments.steps,
    }
    for name, fit in (("arrays", fit_arrays), ("cells", fit_cells)):
        memory, start = Memory(arguments.steps // 20), time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            fit(arguments.steps, [memory, CheckpointWriter(Path(folder), every_steps=max(1, arguments.steps // 20))])
        settled = memory.megabytes[3]
        results[name] = {
            "cpu_seconds": round(time.process_time() - start, 1),
            "megabytes": memory.megabytes,
            "growth after the first fifth, megabytes": round(memory.megabytes[-1] - settled, 2),
        }
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
