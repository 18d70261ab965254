"""Training on counts that stay on disk, compared with the same counts in memory.

Counts of 2,000 genes, 6.5 % of them not zero, in twelve groups, written as AnnData writes them and sorted by batch.
"""

import resource
import tempfile
import time
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fitted import Fitted
from benchmarks.run import Run

NUM_BATCHES, NUM_GROUPS, DEPTH = 8, 12, 170.0
CELLS_AT_ONCE = 1_000


def write_counts(path: Path, num_cells: int, num_genes: int, seed: int) -> None:
    """An ``.h5ad`` of cells sorted by batch, written a few at a time."""
    import h5py
    import pandas as pd
    from anndata import AnnData
    from scipy import sparse

    rng = np.random.default_rng(seed)
    shares = (rng.gamma(0.3, size=num_genes) + 0.01) * np.exp(rng.normal(size=(NUM_GROUPS, num_genes)))
    effects = np.exp(0.3 * rng.normal(size=(NUM_BATCHES, num_genes)))
    batch, group = np.sort(rng.integers(NUM_BATCHES, size=num_cells)), rng.integers(NUM_GROUPS, size=num_cells)
    depth = rng.lognormal(np.log(DEPTH), 0.35, size=num_cells)
    names = pd.Index([f"cell{number}" for number in range(num_cells)])
    obs = pd.DataFrame({"batch": pd.Categorical([f"batch{number}" for number in batch])}, index=names)
    var = pd.DataFrame(index=pd.Index([f"gene{number}" for number in range(num_genes)]))
    AnnData(obs=obs, var=var).write_h5ad(path)
    with h5py.File(path, "a") as file:
        if "X" in file:
            del file["X"]
        matrix = file.create_group("X")
        matrix.attrs.update(
            {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [num_cells, num_genes]}
        )
        parts = {
            name: matrix.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(2**16,))
            for name, dtype in (("data", np.float32), ("indices", np.int32))
        }
        ends = [0]
        for first in range(0, num_cells, CELLS_AT_ONCE):
            rows = slice(first, first + CELLS_AT_ONCE)
            means = shares[group[rows]] * effects[batch[rows]]
            means *= depth[rows, None] / means.sum(1, keepdims=True)
            counts = rng.poisson(means)
            counts[:, 0] += counts.sum(1) == 0
            block = sparse.csr_array(counts)
            for name, dataset in parts.items():
                dataset.resize((ends[-1] + block.nnz,))
                dataset[ends[-1] :] = getattr(block, name)
            ends += (ends[-1] + block.indptr[1:].astype(np.int64)).tolist()
        matrix["indptr"] = np.array(ends, dtype=np.int64)


def measure_from_disk(x: None, options: Mapping[str, Any], run: Run) -> Fitted:
    """Train on ``options["num_cells"]`` cells, ``options["how"]`` is ``"disk"`` or ``"memory"``; read minibatches alone, too."""
    import anndata
    import torch

    from pyro_vmm import SingleCellVMM
    from pyro_vmm.training import Trainer

    seconds: dict[str, float] = {}

    train = Trainer.run

    def timed(self: Trainer) -> None:
        begun = time.process_time()
        order = self.observations.order(0, self.batch_size, run.seed)
        for rows in order:
            self.observations.minibatch(rows, torch.device("cpu"))
        seconds["reading"] = time.process_time() - begun
        begun = time.process_time()
        train(self)
        seconds["training"] = time.process_time() - begun

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, "cells.h5ad")
        write_counts(path, options["num_cells"], options["num_genes"], run.seed)
        cells = anndata.read_h5ad(path) if options["how"] == "memory" else path
        before = _peak()
        SingleCellVMM.setup_anndata(cells, batch_key="batch")
        model = SingleCellVMM(cells, random_state=run.seed, **options["model"])
        try:
            Trainer.run = timed  # type: ignore[method-assign]
            model.train(max_epochs=options["epochs"], accelerator="cpu", enable_progress_bar=False)
        finally:
            Trainer.run = train  # type: ignore[method-assign]
        number = 0.9 * options["num_cells"]
        numbers = {
            "read_rows_a_cpu_second": number / seconds["reading"],
            "trained_cells_a_cpu_second": number * options["epochs"] / seconds["training"],
            "memory_before_mb": before,
            "peak_memory_mb": _peak(),
            "held_out_elbo": -float(model.history["elbo_validation"].iloc[-1, 0]),
        }
    return Fitted(numbers=numbers, versions={"anndata": version("anndata"), "h5py": version("h5py")})


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
