"""How long a training is by default."""

from typing import Any

import numpy as np
import pytest

from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.modalities.length import default_epochs
from pyro_vmm.single_cell import simulate_cells
from pyro_vmm.training import Trainer


@pytest.mark.parametrize(
    ("num_observations", "batch_size", "epochs"),
    [
        pytest.param(256, 256, 1000, id="no more than the most"),
        pytest.param(9_000, 256, 139, id="5,000 steps"),
        pytest.param(100_000, 256, 50, id="no fewer than the least"),
        pytest.param(160_000, 256, 50, id="as many as scvi-tools'"),
        pytest.param(1_000_000, 256, 8, id="as few as scvi-tools'"),
        pytest.param(1_000_000, 4096, 21, id="5,000 steps nevertheless"),
        pytest.param(50_000_000, 256, 1, id="never none"),
    ],
)
def test_epochs(num_observations: int, batch_size: int, epochs: int) -> None:
    assert default_epochs(num_observations, batch_size, least=50, most=1000) == epochs


def test_both_facades_go_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Stopped(Exception):
        pass

    def run(self: Trainer) -> Any:
        seen.append(self.max_epochs)
        raise Stopped

    monkeypatch.setattr(Trainer, "run", run)
    monkeypatch.setattr("pyro_vmm.modalities.length.ENOUGH_STEPS", 100)
    monkeypatch.setattr("pyro_vmm.modalities.length.ENOUGH_OBSERVATIONS", 3600)
    adata = simulate_cells(200, 12, seed=0)
    SingleCellVMM.setup_anndata(adata)
    with pytest.raises(Stopped):
        SingleCellVMM(adata, num_components=5).train(batch_size=10)  # 180 cells, 18 steps an epoch
    with pytest.raises(Stopped):
        VMM(2, 5, hidden=(8,), batch_size=10, device="cpu").fit(np.random.default_rng(0).random((200, 4)).round())
    assert seen == [20, 20]
