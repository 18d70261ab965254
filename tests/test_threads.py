"""Fits and queries in several threads of one process give the numbers of the same calls in sequence."""

import copy
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from pyro.poutine import runtime

from pyro_vmm import VMM
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.modalities.arrays import Arrays
from pyro_vmm.process_lock import PROCESS_LOCK, ProcessLock

X = np.random.default_rng(0).normal(size=(90, 4))


def fitted(seed: int, **options: Any) -> VMM:
    small = {"num_components": 4, "latent_dim": 2, "hidden": (8,), "max_epochs": 4, "batch_size": 32}
    return VMM(likelihood="normal", random_state=seed, **small | options).fit(X)


def parameters_of(vmm: VMM) -> list[np.ndarray]:
    return [tensor.detach().numpy() for tensor in vmm.model_.state_dict().values()] + [vmm.labels_]


def in_threads(*calls: Callable[[], Any]) -> list[Any]:
    """Results of the calls, made at once; the first error is raised here."""
    results: list[Any] = [None] * len(calls)
    errors: list[BaseException] = []

    def run(place: int) -> None:
        try:
            results[place] = calls[place]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    return results


@pytest.fixture
def clean_state() -> Any:
    """Fails if state of the process is not as it was."""
    fitted(0, max_epochs=1)  # what is imported at first use adds filters of warnings
    torch.manual_seed(7)

    def state() -> tuple[Any, ...]:
        settings = pyro.settings.get("module_local_params"), torch.get_default_dtype(), list(warnings.filters)
        return len(runtime._PYRO_STACK), *settings, torch.get_rng_state().tolist()

    before = state()
    yield
    assert state() == before


@pytest.mark.usefixtures("clean_state")
def test_fits_at_once_are_the_fits_in_sequence() -> None:
    expected = [parameters_of(fitted(seed)) for seed in range(4)]
    found = in_threads(*(lambda seed=seed: parameters_of(fitted(seed)) for seed in range(4)))
    for one, other in zip(expected, found, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.usefixtures("clean_state")
def test_queries_and_scoring_next_to_a_fit_give_the_same_answers() -> None:
    vmm = fitted(0, likelihood_options={})

    def answers() -> list[np.ndarray]:
        drawn = vmm.predict_proba(X, num_samples=2), vmm.score_samples(X, 3), np.array(vmm.score(X))
        return [vmm.transform(X), *drawn]

    expected, other = answers(), parameters_of(fitted(1))
    *found, trained = in_threads(*[lambda: [answers() for _ in range(3)]] * 3, lambda: parameters_of(fitted(1)))
    for several in found:
        for one in several:
            for mine, theirs in zip(one, expected, strict=True):
                np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(trained, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.usefixtures("clean_state")
def test_a_model_answers_from_its_earlier_fit_until_the_next_is_whole() -> None:
    vmm = fitted(0)
    before, in_between = vmm.transform(X), []

    class Ask:
        def step_ended(self, trainer: Any) -> None:
            in_between.extend(in_threads(lambda: vmm.transform(X)))

        def epoch_ended(self, trainer: Any) -> None: ...

    vmm.set_params(random_state=1).fit(X, watchers=[Ask()])
    assert len(in_between) == 4 * 3
    for answer in in_between:
        np.testing.assert_array_equal(answer, before)
    assert (vmm.transform(X) != before).any()


@pytest.mark.parametrize("face", ["arrays", "cells"])
def test_a_query_is_of_one_fit_throughout(face: str, request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if face == "arrays":
        model = fitted(0)
        ask, fit = (lambda: model.predict_proba(X)), (lambda: model.fit(X))
    else:
        model = request.getfixturevalue("trained_cells")
        ask, fit = model.predict_proba, (lambda: model.train(max_epochs=1, batch_size=32))
    before, clusters, responsibilities = ask(), model.clusters_, Evaluation.responsibilities
    other, waits = threading.Thread(target=fit), []

    def found_meanwhile(self: Evaluation, *arguments: Any, **options: Any) -> Any:
        if not waits:
            found = responsibilities(self, *arguments, **options)
            waits.append(None)
            other.start()
            other.join(0.8)
            waits[0] = other.is_alive()
            return found
        return responsibilities(self, *arguments, **options)

    monkeypatch.setattr(Evaluation, "responsibilities", found_meanwhile)
    np.testing.assert_array_equal(ask(), before)
    assert waits == [True], "the fit was replaced in the middle of a query"
    other.join()
    assert model.clusters_ is not clusters


def test_what_is_observed_is_of_one_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    vmm = fitted(0)
    first, read = vmm.fit_, Arrays.read
    other, waits = threading.Thread(target=lambda: vmm.fit(X)), []

    def found_meanwhile(self: Arrays, data: Any) -> Any:
        assert self is first.modality
        other.start()
        other.join(0.8)
        waits.append(other.is_alive())
        return read(self, data)

    monkeypatch.setattr(Arrays, "read", found_meanwhile)
    assert vmm.observe(X).fit is first
    assert waits == [True], "the fit was replaced between the fit and its reading"
    other.join()
    assert vmm.fit_ is not first


def test_a_fit_in_a_thread_takes_no_draws_from_the_others() -> None:
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    drawn = []

    class Draw:
        def step_ended(self, trainer: Any) -> None:
            if len(drawn) < 5:
                drawn.append(torch.rand(1))

        def epoch_ended(self, trainer: Any) -> None: ...

    watched = VMM(likelihood="normal", num_components=4, latent_dim=2, hidden=(8,), max_epochs=4, batch_size=32)
    watched.set_params(random_state=0).fit(X, watchers=[Draw()])
    assert torch.cat(drawn).tolist() == expected.tolist()
    for mine, theirs in zip(parameters_of(watched), parameters_of(fitted(0)), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_who_waits_for_the_lock_is_let_in_before_it_is_taken_again() -> None:
    lock, order = ProcessLock(), []
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        with lock:
            order.append("other")

    with lock, lock:
        other = threading.Thread(target=wait)
        other.start()
        waiting.wait()
        while lock._turn.acquire(blocking=False):  # until the other thread is in line
            lock._turn.release()
    with lock:
        order.append("again")
    other.join()
    assert order == ["other", "again"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_fork_does_not_wait_for_a_thread_that_it_does_not_have() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with PROCESS_LOCK:
            entered.set()
            leave.wait()

    holding = threading.Thread(target=hold)
    holding.start()
    entered.wait()
    waiting = threading.Thread(target=lambda: PROCESS_LOCK.__enter__() or PROCESS_LOCK.__exit__(None, None, None))
    waiting.start()
    threading.Timer(0.2, leave.set).start()
    child = os.fork()  # waits for the lock
    if child == 0:
        got = PROCESS_LOCK._held.acquire(timeout=5.0) and PROCESS_LOCK._turn.acquire(timeout=5.0)
        os._exit(0 if got else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    holding.join()
    waiting.join()
    with PROCESS_LOCK:
        pass


@pytest.mark.usefixtures("clean_state")
def test_threads_that_ask_one_model_do_not_disturb_each_other(trained_cells: Any) -> None:
    model = trained_cells
    model.module.train()  # as a user of PyTorch might leave them
    model.guide.train()
    kept, expected = copy.deepcopy(model.guide.state_dict()), model.get_latent_representation()
    for answers in in_threads(*[lambda: [model.get_latent_representation() for _ in range(5)]] * 4):
        for answer in answers:
            np.testing.assert_array_equal(answer, expected)
    assert model.guide.training
    for name, tensor in model.guide.state_dict().items():
        assert torch.equal(tensor, kept[name]), name


def test_cells_are_trained_on_a_copy(trained_cells: Any) -> None:
    model = trained_cells
    before, module = model.get_latent_representation(), model.module
    kept = copy.deepcopy(module.state_dict())
    in_between = []

    class Ask:
        def step_ended(self, trainer: Any) -> None:
            in_between.extend(in_threads(model.get_latent_representation))

        def epoch_ended(self, trainer: Any) -> None: ...

    model.train(max_epochs=1, batch_size=32, watchers=[Ask()])
    for answer in in_between:
        np.testing.assert_array_equal(answer, before)
    assert model.module is module
    assert any(not torch.equal(kept[name], tensor) for name, tensor in module.state_dict().items())
    assert len(model.history["elbo_train"]) == 3


@pytest.fixture
def trained_cells() -> Any:
    import anndata

    from pyro_vmm import SingleCellVMM

    cells = anndata.AnnData(np.random.default_rng(0).poisson(2.0, (60, 6)).astype(np.float32))
    SingleCellVMM.setup_anndata(cells)
    model = SingleCellVMM(cells, num_components=3, n_latent=2, n_hidden=8)
    model.train(max_epochs=2, batch_size=32)
    return model
