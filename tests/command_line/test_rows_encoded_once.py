"""After its training a fit encodes each row once, whatever is made of it: tables, pictures and annotated cells."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pyro_vmm.command_line.main import main
from pyro_vmm.guides import AmortizedCounts, AmortizedNormal
from pyro_vmm.single_cell import simulate_cells
from pyro_vmm.training import Trainer

SMALL = ["--num-components", "4", "--latent-dim", "2", "--max-epochs", "2", "--device", "cpu", "--quiet"]
ROWS = 1500
"""More than training counts clusters on, and than are encoded at a time."""


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows that the guide has encoded since the training's end, call by call."""
    rows: list[int] = []
    posterior, run = AmortizedNormal.posterior, Trainer.run

    def counting(self: AmortizedNormal, x: Any, **covariates: Any) -> Any:
        rows.append(len(x))
        return posterior(self, x, **covariates)

    def trained(self: Trainer) -> Any:
        history = run(self)
        assert rows
        rows.clear()
        return history

    assert AmortizedCounts.posterior is posterior
    monkeypatch.setattr(AmortizedNormal, "posterior", counting)
    monkeypatch.setattr(Trainer, "run", trained)
    return rows


def write_images(folder: Path) -> list[str]:
    np.savez(folder / "x.npz", X=(load_digits().images[:ROWS] / 16).astype(np.float32))
    return [str(folder / "x.npz"), "--likelihood", "bernoulli"]


def write_table(folder: Path) -> list[str]:
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(ROWS, 4)))
    return [str(folder / "x.npy")]


def write_cells(folder: Path) -> list[str]:
    simulate_cells(ROWS, 10, num_batches=2).write_h5ad(folder / "x.h5ad")
    return [str(folder / "x.h5ad"), "--batch-key", "batch"]


@pytest.mark.parametrize("write", [write_images, write_table, write_cells])
def test_every_row_once(write: Any, encoded: list[int], tmp_path: Path) -> None:
    output = tmp_path / "run"
    assert main(["fit", *write(tmp_path), "--output", str(output), *SMALL]) == 0
    assert sum(encoded) == ROWS
    assert (output / "figures" / "latent.png").exists()
    assert (output / "clusters.csv").exists()
    assert (output / "adata.h5ad").exists() == (write is write_cells)
