"""Fits that are struck down: what they say, what they leave, and that they end in the bits of an undisturbed one."""

import errno
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pyro_vmm
from pyro_vmm import atomic_writing
from pyro_vmm.command_line.determinism import determinism
from pyro_vmm.command_line.failures import failure
from pyro_vmm.command_line.main import FAILED, INTERRUPTED, USER_MISTAKE, main, parser
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.training import CheckpointWriter, Trainer, read_checkpoint

ROOT = Path(pyro_vmm.__file__).parents[1]
SMALL = ["--num-components", "4", "--latent-dim", "2", "--batch-size", "20", "--device", "cpu", "--quiet"]


@pytest.fixture
def fit(tmp_path: Path) -> list[str]:
    """A command that needs ``--output`` still."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 4)))
    return ["fit", str(tmp_path / "x.npy"), *SMALL, "--max-epochs", "3", "--checkpoint-seconds", "0", "--output"]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr().err
    assert told.count("\n") == 1, told
    assert told.startswith("pyro-vmm: ")
    return told


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def measured(name: str, only: str, folder: Path) -> list[dict[str, Any]]:
    """Rows of a benchmark's quick form, in a process of its own."""
    command = [sys.executable, "-m", "pyro_vmm", "benchmark", name, "--quick", "--only", only, "--jobs", "0"]
    command += ["--output", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows: list[dict[str, Any]] = json.loads((folder / f"{name}-quick.json").read_text())["rows"]
    return rows


def test_fits_struck_at_random_moments_end_in_the_same_bits(tmp_path: Path) -> None:
    (row,) = measured("faults", "counts", tmp_path)
    assert row["blows"] == 5
    struck = {name.partition(", status ")[0]: number for name, number in row.items() if ", status " in name}
    assert struck == dict.fromkeys(["kill", "terminate", "damage", "file size", "interrupt"], 1.0)


def test_a_fit_stopped_before_its_first_checkpoint_begins_anew(
    fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(self: CheckpointWriter, trainer: Trainer) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(CheckpointWriter, "step_ended", killed)
        assert main([*fit, str(tmp_path / "cut")]) == INTERRUPTED
    assert not (tmp_path / "cut" / "checkpoint").exists()
    capsys.readouterr()
    assert main([*fit, str(tmp_path / "cut"), "--resume", "--latent-dim", "3"]) == 2  # still the fit it was begun as
    assert "--latent-dim 2, not --latent-dim 3" in one_line(capsys)
    assert main([*fit, str(tmp_path / "cut"), "--resume"]) == 0
    assert "stopped before its first checkpoint and begins anew" in one_line(capsys)
    assert main([*fit, str(tmp_path / "whole")]) == 0
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_a_full_disk_is_told_with_the_file_and_leaves_the_checkpoint_before(
    fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fsync, calls = atomic_writing.os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 15:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as context:
        context.setattr(atomic_writing.os, "fsync", full)
        assert main([*fit, str(tmp_path / "cut")]) == FAILED
    told = one_line(capsys)
    for words in ("/checkpoint/state-", "No space left on device", "with --resume goes on"):
        assert words in told
    _, facts, faults = read_checkpoint(tmp_path / "cut" / "checkpoint")
    assert facts["steps_taken"] > 0
    assert faults == []
    assert not list(tmp_path.glob("cut/**/.*.partial"))
    assert main([*fit, str(tmp_path / "cut"), "--resume"]) == 0
    assert main([*fit, str(tmp_path / "whole")]) == 0
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_a_disk_that_is_full_from_the_start(
    fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to resume then."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_writing.os, "fsync", full)
    assert main([*fit, str(tmp_path / "run")]) == USER_MISTAKE
    told = one_line(capsys)
    assert "run cannot be written (No space left on device): make room, or give another folder." in told


@pytest.mark.parametrize(
    ("command", "how"),
    [
        (["fit", "x.npy", "--output", "begun"], "the same command with --resume goes on from the last checkpoint"),
        (["fit", "x.npy", "--output", "new"], "run the command again"),
        (["demo", "--output", "begun"], "the same command goes on from the last checkpoint"),
        (["stability", "begun"], "the same command goes on from the last checkpoint"),
        (["score", "begun", "--labels", "kind"], "run the command again"),
        (["report", "begun"], "run the command again"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_command_says_how_it_goes_on(
    command: list[str], how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("begun").mkdir()
    Path("begun/config.json").touch()
    options = parser().parse_args(command)
    told = failure(OSError(28, "No space left on device", "begun/file"), options)
    assert told == f"begun/file: No space left on device. Fix that (is the disk full?); then {how}."
    assert how in str(failure(MemoryError("Unable to allocate 7. GiB"), options))
    assert how in str(failure(ImportError("No module named 'matplotlib'"), options))


def test_where_nothing_can_be_told_the_exit_status_tells(
    fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard error may be a file on the very disk that is full."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(CheckpointWriter, "step_ended", full)
    monkeypatch.setattr(sys, "stderr", Full())
    assert main([*fit, str(tmp_path / "out")]) == FAILED


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7. GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory\nat x"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        ImportError("_csr.cpython-311-x86_64-linux-gnu.so: failed to map segment from shared object"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_want_of_memory_is_told_in_a_line(
    error: Exception, fit: list[str], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    def step(self: EmpiricalBayesSVI, x: Any) -> None:
        raise error

    monkeypatch.setattr(EmpiricalBayesSVI, "step", step)
    assert main([*fit, str(tmp_path / "run")]) == FAILED
    told = one_line(capsys)
    for words in ("not enough memory", str(error)[:9], "--batch-size", "--resume"):
        assert words in told


def test_a_fault_of_ours_shows_its_traceback(fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(self: EmpiricalBayesSVI, x: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(EmpiricalBayesSVI, "step", step)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        main([*fit, str(tmp_path / "run")])


def test_deterministic_holds_during_the_fit_alone(fit: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    update, seen = EmpiricalBayesSVI.step, []

    def step(self: EmpiricalBayesSVI, x: Any) -> Any:
        seen.append((torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()))
        return update(self, x)

    monkeypatch.setattr(EmpiricalBayesSVI, "step", step)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assert main([*fit, str(tmp_path / "run"), "--deterministic"]) == 0
    assert set(seen) == {(True, 1)}
    assert not torch.are_deterministic_algorithms_enabled()
    facts = json.loads((tmp_path / "run" / "config.json").read_text())["fit"]
    assert (facts["deterministic"], facts["threads"]) == (True, 1)
    with determinism(True, threads=None), pytest.raises(RuntimeError, match="deterministic"):
        torch.zeros(3).put_(torch.tensor([1, 1]), torch.tensor([1.0, 2.0]))


def test_counts_can_be_fitted_deterministically(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pyro_vmm.single_cell import simulate_cells

    monkeypatch.chdir(tmp_path)
    simulate_cells(80, 15, num_batches=2).write_h5ad("cells.h5ad")
    command = ["fit", "cells.h5ad", "--batch-key", "batch", *SMALL, "--max-epochs", "2", "--output"]
    assert main([*command, "one", "--deterministic"]) == 0
    assert main([*command, "other"]) == 0
    assert weights(tmp_path / "one") == weights(tmp_path / "other")


def test_another_number_of_threads_is_told_of_on_resuming(fit: list[str], tmp_path: Path, capsys: Any) -> None:
    assert main([*fit, str(tmp_path / "run")]) == 0
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    config["fit"]["threads"] = 7
    path.write_text(json.dumps(config))
    capsys.readouterr()
    assert main([*fit, str(tmp_path / "run"), "--resume"]) == 0
    assert "begun with 7 threads, not 1" in one_line(capsys)


def test_a_long_fit_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    rows = measured("long-run", "*", tmp_path)
    assert [row["data"] for row in rows] == ["arrays", "cells"]
    for row in rows:
        assert row["readings"] >= 20
        assert row["growth_mb"] < 2
