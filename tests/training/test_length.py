"""How long a training is by default."""

from typing import Any

import numpy as np
import pytest

from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.single_cell import simulate_cells
from pyro_vmm.training import Trainer
from pyro_vmm.training.length import default_epochs, default_patience


@pytest.mark.parametrize(
    ("steps_per_epoch", "epochs", "patience"),
    [
        pytest.param(1, 1000, 500, id="256 cells"),
        pytest.param(4, 1000, 125, id="1,000 cells"),
        pytest.param(36, 139, 15, id="10,000 cells"),
        pytest.param(352, 50, 15, id="100,000 cells"),
        pytest.param(3516, 6, 2, id="1,000,000 cells"),
        pytest.param(35157, 1, 1, id="10,000,000 cells"),
    ],
)
def test_lengths(steps_per_epoch: int, epochs: int, patience: int) -> None:
    assert default_epochs(steps_per_epoch, least=50, most=1000) == epochs
    assert default_patience(steps_per_epoch) == patience


def test_both_facades_go_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int | None]] = []

    class Stopped(Exception):
        pass

    def run(self: Trainer) -> Any:
        seen.append((self.max_epochs, self.early_stopping.patience))
        raise Stopped

    monkeypatch.setattr(Trainer, "run", run)
    monkeypatch.setattr("pyro_vmm.training.length.MOST_STEPS", 200)
    adata = simulate_cells(200, 12, seed=0)
    SingleCellVMM.setup_anndata(adata)
    with pytest.raises(Stopped):
        SingleCellVMM(adata, num_components=5).train(batch_size=10)  # 18 steps an epoch
    with pytest.raises(Stopped):
        VMM(2, 5, hidden=(8,), batch_size=10, device="cpu").fit(np.random.default_rng(0).random((200, 4)).round())
    assert seen == [(12, 28), (12, 30)]
