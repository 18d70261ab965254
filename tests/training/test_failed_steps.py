"""Training that meets a NaN stops in its last good state, stores it, and says which rows it was."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_vmm import VMM
from pyro_vmm.command_line.main import FAILED, main
from pyro_vmm.infer import EmpiricalBayesSVI, NonFiniteError, NonFiniteLossError
from pyro_vmm.training import CheckpointWriter, Trainer, read_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:Encountered NaN:UserWarning")


@pytest.fixture
def make_trainer(build_svi: Any, make_data: Any) -> Any:
    def make(*spoilt: int, **options: Any) -> Trainer:
        x = make_data(70, seed=1)
        x[list(spoilt), 0] = math.nan
        torch.manual_seed(0)
        svi = build_svi("vamp-mixture", normalization="batch")
        return Trainer(svi, x, **{"batch_size": 16, "max_epochs": 4, **options})

    return make


class Stop:
    """Asks for a stop after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def step_ended(self, trainer: Trainer) -> None:
        trainer.stop_requested = trainer.svi.steps_taken == self.step

    def epoch_ended(self, trainer: Trainer) -> None: ...


def test_the_rows_at_fault_are_named_and_the_last_good_state_is_stored(make_trainer: Any, tmp_path: Path) -> None:
    numbers = np.arange(70) + 1000
    spoilt = make_trainer(40, row_numbers=numbers, watchers=[CheckpointWriter(tmp_path, every_seconds=1e9)])
    with pytest.raises(NonFiniteError, match=r"The ELBO .* at step \d.*without a finite ELBO.*: 1040 \(1 in all") as e:
        spoilt.run()
    assert e.value.rows == (1040,)
    assert (e.value.step, e.value.epochs) == (spoilt.svi.steps_taken, 0)
    assert not spoilt.stop_requested
    good = make_trainer(watchers=[Stop(e.value.step)])
    if e.value.step:
        good.run()
    tensors, facts, _ = read_checkpoint(tmp_path)
    expected, expected_facts = good.state_dict()
    assert facts["steps_taken"] == expected_facts["steps_taken"]
    assert facts["progress"]["batch"] == expected_facts["progress"]["batch"]
    # The stream of random numbers alone has gone on: a resumed fit tries the step with other noise.
    assert [name for name in expected if not torch.equal(tensors[name], expected[name])] in ([], ["random.cpu"])
    assert tensors.keys() == expected.keys()


def test_a_minibatch_of_which_no_row_is_at_fault_is_named_whole(make_trainer: Any) -> None:
    trainer = make_trainer()
    trainer.svi.partition.elbo["decoder.layers.0.weight"].register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(NonFiniteError, match="in the minibatch, none of which is at fault alone") as raised:
        trainer.run()
    assert len(raised.value.rows) == 14
    assert raised.value.tensor == "gradient of decoder.layers.0.weight"


def test_a_validation_elbo_that_is_nan_is_told_of(make_trainer: Any, make_data: Any) -> None:
    trainer = make_trainer(validation_x=make_data(20, seed=2) * math.nan, max_epochs=1)
    with pytest.warns(UserWarning, match="validation ELBO is nan after epoch 1"):
        trainer.run()


def test_a_facade_calls_rows_what_the_user_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).random((60, 4)).astype(np.float32)
    x[37] = 0.123
    loss = EmpiricalBayesSVI.elbo_loss

    def spoilt(self: EmpiricalBayesSVI, x: Tensor, **covariates: Tensor) -> Tensor:
        return loss(self, x, **covariates) * torch.where((x == 0.123).all(1).any(), math.nan, 1.0)

    monkeypatch.setattr(EmpiricalBayesSVI, "elbo_loss", spoilt)
    monkeypatch.setattr(Trainer, "_finite_alone", lambda self, row: not bool((self.x.x[row] == 0.123).all()))
    vmm = VMM(latent_dim=2, num_components=4, hidden=(8,), batch_size=8, max_epochs=2, device="cpu", random_state=0)
    with pytest.raises(NonFiniteLossError) as raised:
        vmm.fit(x)
    assert raised.value.rows == (37,)


def test_the_command_line_stores_the_last_good_state_and_can_end_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 4)))
    small = ["--num-components", "4", "--latent-dim", "2", "--batch-size", "20", "--device", "cpu", "--quiet"]
    fit = ["fit", str(tmp_path / "x.npy"), *small, "--output", str(tmp_path / "run")]
    update = EmpiricalBayesSVI.elbo_loss

    def spoilt(self: EmpiricalBayesSVI, x: Tensor, **covariates: Tensor) -> Tensor:
        return update(self, x, **covariates) * (math.nan if self.steps_taken == 7 else 1.0)

    with monkeypatch.context() as context:
        context.setattr(EmpiricalBayesSVI, "elbo_loss", spoilt)
        assert main([*fit, "--max-epochs", "4"]) == FAILED
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    for words in ("ELBO is nan at step 7", "Rows of the data", "last good state is kept", "--resume --max-epochs 2 "):
        assert words in told
    assert read_checkpoint(tmp_path / "run" / "checkpoint")[1]["steps_taken"] == 7
    assert main([*fit, "--max-epochs", "2", "--resume"]) == 0
    assert VMM.load(tmp_path / "run").n_iter_ == 2
