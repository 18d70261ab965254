"""Trials spread over processes of one thread each."""

import contextlib
import multiprocessing
import os
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks.fitted import Absent
from benchmarks.harness.trial import Trial, run_trial

FAILED, LEFT_OUT = "FAILED\n", "left out: "
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass
class Worker:
    """A process that runs one trial after another, and our end of the pipe to it."""

    process: BaseProcess
    connection: Connection
    device: str
    trial: Trial | None = None


def run_trials(
    trials: Sequence[Trial],
    folder: Path,
    *,
    jobs: int = 1,
    devices: Sequence[str] = ("cpu",),
    data_root: Path | None = None,
    own_process: bool = False,
) -> list[str]:
    """Run trials and leave a file for each; say how each went.

    Parameters
    ----------
    trials
        What to run, in this order.
    folder
        Of the results.
    jobs
        Processes; 0 runs the trials in this one.
    devices
        ``"cpu"``, ``"cuda:0"``, ...: dealt out to the processes in turn.
    data_root
        Where data are found or put.
    own_process
        A fresh process for every trial, so that its peak memory is its own.

    Returns
    -------
    list of str
        Names of the trials that failed, which does not stop the others. Those that are left out because something that they
        need is absent are named as well, but have not failed.
    """
    failed: list[str] = []

    def tell(number: int, trial: Trial, problem: str) -> None:
        print(f"[{number}/{len(trials)}] {trial.name}{': ' if problem else ''}{problem}".strip(), flush=True)
        if problem.startswith(FAILED):
            failed.append(trial.name)

    if jobs == 0:
        for number, trial in enumerate(trials, 1):
            tell(number, trial, _attempt(trial, folder, devices[0], data_root))
        return failed
    waiting, workers, done = deque(trials), [], 0
    try:
        with _one_thread():
            for index in range(min(jobs, len(trials))):
                workers.append(_start(devices[index % len(devices)], folder, data_root))
                _hand(workers[-1], waiting)
            while busy := {worker.connection: worker for worker in workers if worker.trial is not None}:
                for connection in wait(list(busy)):
                    worker, done = busy[connection], done + 1
                    assert worker.trial is not None
                    dead, problem = _answer(worker)
                    tell(done, worker.trial, problem)
                    worker.trial = None
                    if waiting and (own_process or dead):
                        _end(worker)
                        workers[workers.index(worker)] = worker = _start(worker.device, folder, data_root)
                    _hand(worker, waiting)
    finally:
        for worker in workers:
            _end(worker)
    return failed


def _answer(worker: Worker) -> tuple[bool, str]:
    """Whether the process has died, and what went wrong (empty for nothing)."""
    try:
        return False, worker.connection.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        return True, f"{FAILED}The process ended with status {worker.process.exitcode}: was there memory enough?"


def _hand(worker: Worker, waiting: deque[Trial]) -> None:
    if waiting:
        worker.trial = waiting.popleft()
        worker.connection.send(worker.trial)


def _start(device: str, folder: Path, data_root: Path | None) -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, device, folder, data_root), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, ours, device)


def _end(worker: Worker) -> None:
    worker.connection.close()
    if worker.trial is not None:
        worker.process.terminate()
    worker.process.join()


def _serve(connection: Connection, device: str, folder: Path, data_root: Path | None) -> None:
    """Run what comes down the pipe until it closes."""
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            connection.send(_attempt(connection.recv(), folder, device, data_root))


def _end_with_the_command() -> None:
    """A command that was killed can end nobody, and a pipe that has closed is noticed when the trial is over."""
    command = multiprocessing.parent_process()
    assert command is not None
    command.join()
    os._exit(1)


def _attempt(trial: Trial, folder: Path, device: str, data_root: Path | None) -> str:
    try:
        run_trial(trial, folder, device, data_root)
    except Absent as missing:
        return f"{LEFT_OUT}{missing}"
    except Exception:
        return FAILED + traceback.format_exc()
    return ""


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Children read the number of their threads from the environment, before anything else."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
