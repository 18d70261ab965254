"""Ctrl-C keeps what was learned; an error, and a second Ctrl-C, leave the earlier fit as it was."""

import copy
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch

from pyro_vmm import VMM, SingleCellVMM, UserError
from pyro_vmm.clustering import Clusters
from pyro_vmm.infer import EmpiricalBayesSVI, NonFiniteError
from pyro_vmm.interrupts import SecondInterrupt, interrupts_held
from pyro_vmm.training import CheckpointWriter, InterruptedWarning, Trainer, read_checkpoint

X = np.random.default_rng(0).normal(size=(70, 4))
STEPS_PER_EPOCH = 2


class Interrupt:
    """Raises in every step from one on, or sends as many signals after that one."""

    def __init__(self, step: int, signals: int | None = None) -> None:
        self.step, self.signals, self.steps = step, signals, 0
        self.states: list[dict[str, torch.Tensor]] = []

    def step_ended(self, trainer: Trainer) -> None:
        self.steps = trainer.svi.steps_taken
        if self.steps < self.step:
            return
        if self.signals is None:
            raise KeyboardInterrupt
        while self.signals:
            self.signals -= 1
            signal.raise_signal(signal.SIGINT)

    def epoch_ended(self, trainer: Trainer) -> None:
        self.states.append(copy.deepcopy(trainer.svi.guide.state_dict()))


class Faulty(Interrupt):
    """Makes a mistake of its own after the first step."""

    def __init__(self) -> None:
        super().__init__(1)

    def step_ended(self, trainer: Trainer) -> None:
        raise TypeError


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Whoever starts the tests in the background may have Python ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def new_vmm(**options: Any) -> VMM:
    small = {"num_components": 4, "latent_dim": 2, "hidden": (8,), "max_epochs": 6, "batch_size": 32}
    return VMM(likelihood="normal", random_state=0, **small | options)


@pytest.mark.parametrize("signals", [None, 1])
def test_what_was_learned_is_kept_and_can_be_used(signals: int | None, tmp_path: Path) -> None:
    vmm, interrupt = new_vmm(), Interrupt(7, signals)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.warns(
        InterruptedWarning, match=r"interrupted after 7 steps, 3 of at most 6 epochs\. The state of epoch \d"
    ):
        vmm.fit(X, watchers=[interrupt])
    assert signal.getsignal(signal.SIGINT) is handler
    assert vmm.interrupted_
    assert interrupt.steps == 7, "training went on"
    assert len(vmm.history_) == vmm.n_iter_ == 3
    best = interrupt.states[int(vmm.history_["validation_elbo"].argmax())]
    for name, tensor in vmm.guide_.state_dict().items():
        assert torch.equal(tensor, best[name]), name
    assert not any(module.training for module in (*vmm.model_.modules(), *vmm.guide_.modules()))
    np.testing.assert_array_equal(vmm.labels_, vmm.predict(X))
    vmm.save(tmp_path)
    np.testing.assert_array_equal(VMM.load(tmp_path).transform(X), vmm.transform(X))
    assert not vmm.fit(X).interrupted_


def test_in_the_first_epoch_too(tmp_path: Path) -> None:
    vmm = new_vmm()
    with pytest.warns(InterruptedWarning, match=r"after 1 steps, 0 of .*The state after the last step is kept"):
        vmm.fit(X, watchers=[Interrupt(1)])
    assert np.isfinite(vmm.history_["validation_elbo"]).tolist() == [True]
    print(vmm.diagnose(X))
    vmm.save(tmp_path)
    assert len(VMM.load(tmp_path).history_) == 1


def test_before_the_first_step_there_is_nothing_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(self: EmpiricalBayesSVI, *x: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EmpiricalBayesSVI, "step", step)
    vmm = new_vmm()
    with pytest.raises(KeyboardInterrupt):
        vmm.fit(X)
    assert not [name for name in vars(vmm) if name.endswith("_")]


def test_a_warning_that_is_an_error_keeps_it_as_well() -> None:
    vmm = new_vmm()
    with pytest.raises(InterruptedWarning):  # filters of these tests make errors of warnings
        vmm.fit(X, watchers=[Interrupt(3)])
    assert len(vmm.predict(X)) == len(X)


@pytest.mark.parametrize("fault", ["second Ctrl-C", "option", "data", "columns", "not finite", "watcher"])
def test_an_earlier_fit_survives(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vmm = new_vmm(max_epochs=1).fit(X)
    before, attributes = vmm.transform(X), {name: id(value) for name, value in vars(vmm).items() if name.endswith("_")}
    with monkeypatch.context() as patch:
        if fault == "second Ctrl-C":
            with pytest.raises(KeyboardInterrupt):
                vmm.fit(X, watchers=[Interrupt(1, signals=2)])
        elif fault == "option":
            with pytest.raises(UserError, match="batch_size"):
                vmm.set_params(batch_size=0).fit(X)
        elif fault == "data":
            with pytest.raises(UserError):
                vmm.fit(np.full((9, 3), np.nan))
        elif fault == "columns":
            with pytest.raises(UserError, match="num_components"):
                vmm.set_params(num_components=60).fit(X[:10, :2])
        elif fault == "not finite":
            patch.setattr("pyro_vmm.infer.empirical_bayes_svi.total_norm", lambda named: torch.tensor(torch.nan))
            with pytest.raises(NonFiniteError):
                vmm.fit(X)
        else:
            with pytest.raises(TypeError):
                vmm.fit(X, watchers=[Faulty()])
    assert {name: id(value) for name, value in vars(vmm).items() if name.endswith("_")} == attributes
    np.testing.assert_array_equal(vmm.transform(X), before)


def cell_model() -> SingleCellVMM:
    cells = anndata.AnnData(np.random.default_rng(0).poisson(2.0, (60, 6)).astype(np.float32))
    SingleCellVMM.setup_anndata(cells)
    return SingleCellVMM(cells, num_components=3, n_latent=2, n_hidden=8)


def test_cells_are_kept_and_training_can_be_continued(tmp_path: Path) -> None:
    model, writer = cell_model(), CheckpointWriter(tmp_path)
    with pytest.warns(InterruptedWarning, match="Call train again to continue"):
        model.train(max_epochs=9, batch_size=16, watchers=[writer, Interrupt(6)])
    assert model.is_trained_
    assert model.interrupted_
    assert len(model.predict()) == 60
    assert len(model.history["elbo_train"]) == 1
    assert read_checkpoint(tmp_path)[1]["steps_taken"] == 6, "the checkpoint is of the step that training stopped after"
    model.train(max_epochs=1, batch_size=16)
    assert not model.interrupted_
    assert len(model.history["elbo_train"]) == 2
    before = model.get_latent_representation()
    with pytest.raises(KeyboardInterrupt):
        model.train(max_epochs=9, batch_size=16, watchers=[Interrupt(2, signals=2)])
    np.testing.assert_array_equal(model.get_latent_representation(), before)
    assert len(model.history["elbo_train"]) == 2


@pytest.mark.parametrize("face", ["arrays", "cells"])
def test_a_fit_that_is_trained_survives_while_its_clusters_are_found(
    face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vmm, cells = new_vmm(max_epochs=1), cell_model()
    find = Clusters.of.__func__  # type: ignore[attr-defined]

    def interrupted(cls: Any, responsibilities: Any, *arguments: Any) -> Clusters:
        if len(responsibilities) == (len(X) if face == "arrays" else 60):  # not those that are counted in training
            signal.raise_signal(signal.SIGINT)
        found: Clusters = find(cls, responsibilities, *arguments)
        return found

    monkeypatch.setattr(Clusters, "of", classmethod(interrupted))
    with pytest.raises(KeyboardInterrupt):
        vmm.fit(X) if face == "arrays" else cells.train(max_epochs=1, batch_size=16)
    if face == "arrays":
        assert not vmm.interrupted_
        np.testing.assert_array_equal(vmm.labels_, vmm.predict(X))
    else:
        assert cells.is_trained_
        assert len(cells.predict()) == 60


def test_one_interrupt_ends_all_the_fits_of_stability(monkeypatch: pytest.MonkeyPatch) -> None:
    vmm, steps = new_vmm(max_epochs=1).fit(X), []
    step = EmpiricalBayesSVI.step

    def interrupted(self: EmpiricalBayesSVI, x: torch.Tensor) -> Any:
        steps.append(step(self, x))
        if len(steps) == 2:
            signal.raise_signal(signal.SIGINT)
        return steps[-1]

    monkeypatch.setattr(EmpiricalBayesSVI, "step", interrupted)
    with pytest.warns(InterruptedWarning), pytest.raises(KeyboardInterrupt):
        vmm.set_params(max_epochs=3).stability(X, num_seeds=4)
    assert len(steps) == 2


# ---- a step is whole or not made -------------------------------------------------------------------------------------


def steps_of(svi: EmpiricalBayesSVI) -> set[int]:
    """How often each parameter was updated, by the optimisers."""
    states = [state for optimizer in svi.optimizers.values() for state in optimizer.state_dict()["state"].values()]
    return {int(state["step"]) for state in states}


@pytest.mark.parametrize("how", ["raised", "signal"])
@pytest.mark.parametrize("where", ["encoder", "prior"])
def test_a_step_is_whole_or_not_made(
    where: str, how: str, build_svi: Any, make_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, svi = make_data(20), build_svi("vamp-mixture")
    svi.step(x)
    came = []

    def interrupt(*_: Any) -> None:
        if not came:
            came.append(True)
            if how == "signal":
                signal.raise_signal(signal.SIGINT)
            else:
                raise KeyboardInterrupt

    if where == "encoder":
        svi.guide.encoder.register_forward_hook(interrupt)
    else:
        loss = svi.model.prior.empirical_bayes_loss
        monkeypatch.setattr(svi.model.prior, "empirical_bayes_loss", lambda z: interrupt() or loss(z))
    with pytest.raises(KeyboardInterrupt):
        svi.step(x)
    made = 1 if (where, how) == ("encoder", "raised") else 2
    assert svi.steps_taken == made
    assert steps_of(svi) == {made}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    svi.step(x)
    assert steps_of(svi) == {made + 1}


def test_an_interrupted_step_is_counted_once(build_svi: Any, make_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    svi = build_svi("vamp-mixture")
    trainer = Trainer(svi, make_data(40), batch_size=8, max_epochs=3)
    loss, calls = svi.model.prior.empirical_bayes_loss, []

    def interrupted(z: torch.Tensor) -> torch.Tensor:
        calls.append(len(z))
        if len(calls) == 7:
            raise KeyboardInterrupt
        return loss(z)

    monkeypatch.setattr(svi.model.prior, "empirical_bayes_loss", interrupted)
    trainer.run()
    assert trainer.interrupted
    assert (svi.steps_taken, trainer.progress.epoch, trainer.progress.batch) == (7, 1, 2)
    assert steps_of(svi) == {7}


def test_signals_are_held_until_the_end_of_the_block_and_the_second_is_not() -> None:
    reached = []

    def press(times: int) -> None:
        with interrupts_held(), interrupts_held():
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
            reached.append(times)

    with pytest.raises(KeyboardInterrupt) as first:
        press(1)
    assert first.type is KeyboardInterrupt
    with pytest.raises(SecondInterrupt):
        press(2)
    assert reached == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_ones_own_stays_in_place_and_threads_install_none() -> None:
    def mine(number: int, frame: Any) -> None: ...

    def look() -> None:
        with interrupts_held():
            found.append(signal.getsignal(signal.SIGINT))

    found: list[Any] = []
    before = signal.signal(signal.SIGINT, mine)
    try:
        look()
    finally:
        signal.signal(signal.SIGINT, before)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [mine, before]
