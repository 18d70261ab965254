"""Trials are run once, whole or not at all, and fits see no labels."""

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyro_vmm
from benchmarks import datasets, methods
from benchmarks.fitted import Fitted
from benchmarks.harness import Trial, finished, result_file, run_trial, run_trials
from benchmarks.harness import trial as trial_module
from benchmarks.run import Run, TrialCheckpoint
from pyro_vmm.training import Trainer

TINY = {"hidden": [8], "num_components": 8, "latent_dim": 2, "max_epochs": 2}
CELLS = {"kind": "cells", "num_cells": 80, "num_genes": 10, "num_groups": 3, "num_batches": 2}
OF_CELLS = {"model": {"num_components": 8, "n_hidden": 8, "n_latent": 2}, "train": {"max_epochs": 2}}
NORMAL = TINY | {"standardize": True, "likelihood": "normal"}
EVERY_FIT = {
    "vmm": Trial("wine", {"kind": "wine"}, "vmm", "vmm", {"model": NORMAL}),
    "joint": Trial("wine", {"kind": "wine"}, "joint", "vmm", {"model": NORMAL, "joint": True}),
    "afterwards": Trial(
        "wine",
        {"kind": "wine"},
        "afterwards",
        "vmm",
        {"model": NORMAL | {"prior": "standard-normal"}, "afterwards": {"method": "k-means", "num_clusters": 3}},
    ),
    "cells": Trial("cells", CELLS, "cells", "single-cell-vmm", OF_CELLS),
    "joint cells": Trial("cells", CELLS, "joint", "single-cell-vmm", OF_CELLS | {"joint": True}),
    "vade": Trial(
        "digits",
        {"kind": "digits", "num_observations": 200},
        "vade",
        "vade",
        {"model": TINY | {"num_components": 3, "patience": 2}, "pretraining_epochs": 1},
    ),
    "k-means": Trial("wine", {"kind": "wine"}, "k-means", "k-means", {"num_clusters": 3}),
    "bic": Trial("wine", {"kind": "wine"}, "bic", "gaussian-mixture-bic", {"most_components": 2, "starts": 1}),
    "bayesian": Trial("wine", {"kind": "wine"}, "b", "bayesian-gaussian-mixture", {"num_components": 4}),
    "hdbscan": Trial("wine", {"kind": "wine"}, "hdbscan", "hdbscan", {"min_cluster_size": 5}),
}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A method that notes its calls."""
    calls: list[Any] = []

    def fit(x: np.ndarray, options: dict[str, Any], run: Run) -> Fitted:
        calls.append((options, run.seed))
        if options.get("diverges"):
            raise ArithmeticError("The ELBO is nan.")
        return Fitted(np.arange(len(x)) % 3, np.ones(len(x)), {"answer": 42.0})

    monkeypatch.setattr(methods, "FITS", {"counted": fit})
    return calls


OF_MACHINE = {"cpu_seconds", "wall_seconds", "memory_before_mb", "peak_memory_mb"}
WINE = Trial("wine", {"kind": "wine"}, "counted", "counted", {"a": 1})


def test_a_finished_trial_is_not_run_again_and_a_changed_one_is(tmp_path: Path, counted: list[Any]) -> None:
    assert finished(tmp_path, WINE) is None
    run_trials([WINE], tmp_path, jobs=0)
    result = finished(tmp_path, WINE)
    assert result is not None
    assert result["numbers"]["answer"] == 42.0
    assert result["numbers"]["clusters"] == 3
    for changed in (
        replace(WINE, options={"a": 2}),
        replace(WINE, source={"kind": "wine", "x": 1}),
        replace(WINE, told="all"),
    ):
        assert result_file(tmp_path, changed) == result_file(tmp_path, WINE)
        assert finished(tmp_path, changed) is None, "the result of another definition was taken"
    assert finished(tmp_path, replace(WINE, options={"a": 1})) == result


def test_names_are_files_of_their_own(tmp_path: Path) -> None:
    others = [replace(WINE, seed=1), replace(WINE, group="g"), replace(WINE, method="m/../x"), replace(WINE, data="d")]
    files = {result_file(tmp_path, trial) for trial in (WINE, *others)}
    assert len(files) == 5
    assert all(file.resolve().is_relative_to(tmp_path) for file in files)


def test_a_kill_in_the_middle_of_writing_leaves_nothing(
    tmp_path: Path, counted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(number: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            run_trials([WINE], tmp_path, jobs=0)
    assert finished(tmp_path, WINE) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    run_trials([WINE], tmp_path, jobs=0)
    assert finished(tmp_path, WINE) is not None


def test_a_loss_that_is_not_finite_is_a_result_and_a_bug_is_not(
    tmp_path: Path, counted: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    diverging = replace(WINE, method="diverging", options={"diverges": True})
    broken = replace(WINE, method="broken", fit="no such fit")
    assert run_trials([diverging, broken, WINE], tmp_path, jobs=0) == [broken.name]
    result = finished(tmp_path, diverging)
    assert result is not None
    assert result["error"] == "The ELBO is nan."
    assert "nmi" not in result["numbers"]
    assert finished(tmp_path, broken) is None
    assert finished(tmp_path, WINE) is not None, "one failure stopped the others"
    assert "KeyError" in capsys.readouterr().out


class DiesOnArrival:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Callable[[int], Any], tuple[int]]:
        return os._exit, (7,)


def test_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies costs its own trial alone; those after it find a new process; all have one thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    deadly = replace(EVERY_FIT["k-means"], method="deadly", options={"x": DiesOnArrival()})
    trials = [deadly, EVERY_FIT["k-means"], replace(EVERY_FIT["k-means"], seed=1)]
    assert run_trials(trials, tmp_path, jobs=1) == [deadly.name]
    assert "ended with status 7" in capsys.readouterr().out
    results = [finished(tmp_path, trial) for trial in trials[1:]]
    assert [result["facts"]["threads"] for result in results if result] == [1, 1]
    assert os.environ["OMP_NUM_THREADS"] == "2"
    memory = [result["numbers"]["peak_memory_mb"] for result in results if result]
    assert all(50 < megabytes < 5000 for megabytes in memory)


COMMAND_WHOSE_WORKER_SLEEPS = """
import sys
from pathlib import Path
from benchmarks.harness import Trial, run_trials

class Sleeps:
    def __reduce__(self):
        return exec, ("import os, time; open(%r, 'w').write(str(os.getpid())); time.sleep(120)" % sys.argv[1],)

run_trials([Trial("wine", {"kind": "wine"}, "m", "k-means", {"x": Sleeps()})], Path(sys.argv[1]).parent)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_command_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    noted = tmp_path / "worker"
    root = Path(pyro_vmm.__file__).parents[1]
    command = subprocess.Popen([sys.executable, "-c", COMMAND_WHOSE_WORKER_SLEEPS, str(noted)], cwd=root)
    try:
        _wait_until(lambda: noted.exists() and noted.read_text() != "", seconds=100)
        worker = int(noted.read_text())
        assert worker != command.pid
        assert _lives(worker)
    finally:
        command.kill()
        command.wait()
    _wait_until(lambda: not _lives(worker), seconds=20)


def _wait_until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
        # One that nobody asks for its status, as in a container without an init, is dead and still there.
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return sys.platform != "linux"


@pytest.mark.parametrize("name", EVERY_FIT)
def test_no_fit_sees_a_label(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other labels, the same fit; and none is read before the fit is over."""
    trial, truth = EVERY_FIT[name], datasets.labels
    reading_allowed = False
    original = trial_module.fit

    def watched_fit(*arguments: Any) -> Fitted:
        nonlocal reading_allowed
        reading_allowed = False
        fitted = original(*arguments)
        reading_allowed = True
        return fitted

    def watched_labels(*arguments: Any) -> np.ndarray:
        assert reading_allowed, "labels were read before the fit was over"
        return truth(*arguments)

    def permuted_labels(*arguments: Any) -> np.ndarray:
        return np.random.default_rng(0).permutation(watched_labels(*arguments))

    monkeypatch.setattr(trial_module, "fit", watched_fit)
    numbers = []
    for labels in (watched_labels, permuted_labels):
        monkeypatch.setattr(datasets, "labels", labels)
        numbers.append(run_trial(trial, tmp_path, "cpu", None)["numbers"])
    same, other = numbers
    of_labels = {
        "nmi",
        "ari",
        "ami",
        "purity",
        "accuracy_many_to_one",
        "accuracy_hungarian",
        "accuracy_surest_observation",
    }
    for key in same.keys() - OF_MACHINE - of_labels:
        if not key.endswith("_merged"):
            assert same[key] == other[key], key
    if same["clusters"] > 1:
        assert same["purity"] != other["purity"] or same["nmi"] != other["nmi"]


@pytest.mark.parametrize("name", ["vmm", "joint", "cells", "vade"])
def test_a_stopped_trial_goes_on_where_it_was(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the very numbers of one that was not stopped; and its time is that of both runs."""
    trial = EVERY_FIT[name]
    whole = run_trial(trial, tmp_path / "whole", "cpu", None)["numbers"]
    with monkeypatch.context() as patch:
        patch.setattr(TrialCheckpoint, "step_ended", _write_and_stop)
        with pytest.raises(KeyboardInterrupt):
            run_trial(trial, tmp_path, "cpu", None)
    folder = result_file(tmp_path, trial).with_suffix(".checkpoint")
    spent = json.loads((folder / "trial.json").read_text())
    _pretend_it_took(folder, 1000.0)
    steps: list[int] = []
    monkeypatch.setattr(TrialCheckpoint, "step_ended", lambda self, trainer: steps.append(trainer.svi.steps_taken))
    numbers = run_trial(trial, tmp_path, "cpu", None)["numbers"]
    assert steps[0] == 2, "the first step was taken again"
    assert steps[-1] == numbers["steps"]
    assert 0.0 < spent["cpu_seconds"] < 1000.0 < numbers["cpu_seconds"]
    assert numbers["wall_seconds"] > 1000.0
    for key in whole.keys() - OF_MACHINE:
        assert numbers[key] == whole[key], key
    assert not folder.exists()


@pytest.mark.parametrize("changed", ["options", "source", "damaged"])
def test_what_another_trial_has_left_is_not_gone_on_with(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = EVERY_FIT["vmm"]
    with monkeypatch.context() as patch:
        patch.setattr(TrialCheckpoint, "step_ended", _write_and_stop)
        with pytest.raises(KeyboardInterrupt):
            run_trial(trial, tmp_path, "cpu", None)
    folder = result_file(tmp_path, trial).with_suffix(".checkpoint")
    _pretend_it_took(folder, 1000.0)
    if changed == "options":
        trial = replace(trial, options={"model": NORMAL | {"num_components": 7}})
    elif changed == "source":
        monkeypatch.setattr("benchmarks.source_digest.source_digest", lambda folder: "another")
    else:
        (folder / "trial.json").write_text("{")
    steps: list[int] = []
    monkeypatch.setattr(TrialCheckpoint, "step_ended", lambda self, trainer: steps.append(trainer.svi.steps_taken))
    assert run_trial(trial, tmp_path, "cpu", None)["numbers"]["cpu_seconds"] < 1000.0
    assert steps[0] == 1
    assert not folder.exists()


def _write_and_stop(self: TrialCheckpoint, trainer: Trainer) -> None:
    self.write(trainer)
    raise KeyboardInterrupt


def _pretend_it_took(folder: Path, seconds: float) -> None:
    note = folder / "trial.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"cpu_seconds": seconds, "wall_seconds": seconds}))


def test_who_sees_labels_must_say_so(tmp_path: Path) -> None:
    silent = Trial("digits", {"kind": "digits"}, "x", "stopping-on-labels", {"model": TINY, "patience": 1})
    with pytest.raises(AssertionError, match="sees labels"):
        run_trial(silent, tmp_path, "cpu", None)
    assert not methods.FITS.keys() & methods.FITS_THAT_SEE_LABELS.keys()


def test_the_package_does_not_reach_into_the_benchmarks() -> None:
    """The protocol that stops on labels is nothing that a user of the library can call."""
    root = Path(pyro_vmm.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "benchmarks" for name in names), path


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    file = result_file(tmp_path, WINE)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"digest": WINE.digest})[:-3])
    with pytest.raises(pyro_vmm.UserError, match=r"seed0\.json is damaged"):
        finished(tmp_path, WINE)
