"""Whether ``pyro-vmm fit --resume`` survives: fits are struck at random moments and must end in the bits of one left in peace.

Two tiny fits, images (scikit-learn's digits) and counts (simulated cells with batches), write a checkpoint after every
step. Each is begun again and again in a new folder, struck, resumed, struck again, and at last let come to its end; then
weights, clusters, embedding and history (without times) must equal the undisturbed fit's. After every blow the newest
checkpoint must be whole and no older than the one before, and what the fit says of itself must be one line.

* ``kill``, ``terminate``, ``interrupt`` : SIGKILL, SIGTERM, SIGINT (Ctrl-C).
* ``damage`` : SIGKILL, after which the newest checkpoint is cut short, has a bit flipped, or is replaced by a foreign file;
  it must be refused by name, and the one before it used.
* ``file size`` : RLIMIT_FSIZE, lowered while the fit runs: whatever it writes next breaks off.
* ``memory`` : RLIMIT_AS, lowered to what the fit has at the moment.
* ``full disk``, ``read-only`` : the output folder is a small tmpfs that is filled up; its checkpoints are made
  read-only by a bind mount. Both need the rights of root, and are left out without.

Fits are forked from one process that has imported the library, so that blows fall on fits and not on imports; the option
``fresh`` says how many of them start a Python of their own.
"""

import hashlib
import importlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.fitted import Fitted
from benchmarks.run import Run
from pyro_vmm.command_line.main import FAILED, INTERRUPTED, main
from pyro_vmm.errors import UserError
from pyro_vmm.single_cell import simulate_cells
from pyro_vmm.training.checkpoint import holds_checkpoint, read_checkpoint

# What a fit imports only when it needs it.
LOADED = ("pyro_vmm.plotting", "pyro_vmm.command_line.fit", "torch._dynamo", "sklearn.datasets")
CELLS = "cells.h5ad"
SMALL = [
    "--num-components",
    "8",
    "--latent-dim",
    "3",
    "--device",
    "cpu",
    "--threads",
    "1",
    "--quiet",
    "--checkpoint-seconds",
    "0",
]
FITS = {
    "images": ["digits", *["--batch-size", "300", "--max-epochs", "6"]],
    "counts": [CELLS, *["--batch-key", "batch", "--batch-size", "64", "--max-epochs", "6"]],
}
IMPORT_SECONDS = 5.0
SIGNALS = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "interrupt": signal.SIGINT, "damage": signal.SIGKILL}
NEED_ROOT = ("full disk", "read-only")
FAULTS = (*SIGNALS, "file size", "memory", *NEED_ROOT)
FRESH = "from pyro_vmm.command_line.main import main; import sys; sys.exit(main(sys.argv[1:]))"
STATUSES = {0, FAILED, INTERRUPTED, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}


def launch(arguments: list[str], log: Path, *, fresh: bool = False) -> int:
    """Start ``pyro-vmm`` in a process of its own; its process number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        if fresh:
            os.execv(sys.executable, [sys.executable, "-c", FRESH, *arguments])
        status = main(arguments)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait(child: int) -> int:
    """Exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outcome(folder: Path) -> dict[str, str]:
    """Checksums of what a fit has found."""
    history = pd.read_csv(folder / "history.csv").drop(columns="seconds").to_csv()
    files = {name: (folder / name).read_bytes() for name in ("model.safetensors", "clusters.csv", "latent.npy")}
    files["history"] = history.encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def damage(folder: Path, chooser: random.Random) -> str | None:
    """Spoil the newest of two checkpoints; its name."""
    newest = sorted((folder / "checkpoint").glob("state-*.json"))[1:]
    if not newest:
        return None
    path = newest[0].with_suffix(chooser.choice((".json", ".safetensors")))
    content = bytearray(path.read_bytes())
    how = chooser.choice(("short", "bit", "foreign"))
    if how == "short":
        content = content[: chooser.randrange(len(content))]
    elif how == "bit":
        # The envelope's own fields are not covered by its checksums, but the facts and the tensors are.
        start = content.index(b'"facts": ') + 9 if path.suffix == ".json" else 0
        content[chooser.randrange(start, len(content) - 3)] ^= 1 << chooser.randrange(3)
    else:
        content = bytearray(b'{"format": "another-model", "version": 1, "sha256": "", "facts": {}}')
    path.write_bytes(content)
    return newest[0].stem


@dataclass
class Fit:
    """One of the two fits: its command, its undisturbed end and how long that took."""

    name: str
    arguments: list[str]
    work: Path
    chooser: random.Random
    failures: list[str] = field(default_factory=list)
    blows_taken: list[tuple[str, int]] = field(default_factory=list)

    def command(self, folder: Path, resume: bool) -> list[str]:
        """Arguments of ``pyro-vmm``."""
        data, *options = self.arguments
        data = str(self.work / data) if data == CELLS else data
        return ["fit", data, *options, *SMALL, "--output", str(folder), *(["--resume"] if resume else [])]

    def measure(self) -> None:
        """Fit undisturbed, in a Python of its own and forked: the same bits."""
        ends = []
        for fresh in (True, False):
            folder, log, start = self.work / f"{self.name}-{fresh}", self.work / "log", time.monotonic()
            status = wait(launch(self.command(folder, resume=False), log, fresh=fresh))
            assert status == 0, log.read_text()
            self.seconds = time.monotonic() - start
            ends.append(outcome(folder))
        self.expected = ends[0]
        if ends[0] != ends[1]:
            self.failures.append(f"{self.name}: two undisturbed fits differ")
        facts = read_checkpoint(folder / "checkpoint")[1]
        self.steps, self.training_seconds = facts["steps_taken"], facts["progress"]["seconds"]

    def blows(self, faults: list[str], number: int, *, fresh: bool = False) -> None:
        """Begin, strike once for each of the faults, let it come to its end, compare."""
        folder, spoilt = self.work / f"{self.name}-{number}", None
        mounted = NEED_ROOT[0] in faults
        folder.mkdir()
        if mounted:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=True)
        for blow, fault in enumerate([*faults, None]):
            before = step_of(folder)
            if spoilt is not None and (before is None or before[1] != spoilt):
                self.failures.append(f"{folder.name}, blow {blow}: damage to {spoilt} was not named ({before})")
            resume, log = (folder / "config.json").exists(), folder.with_suffix(".log")
            child = launch(self.command(folder, resume), log, fresh=fresh)
            undo: Callable[[], None] | None = None
            if fault is not None:
                time.sleep(self._moment(before, fresh))
                undo = strike(fault, child, folder, self.chooser)
            status = wait(child)
            if undo is not None:
                undo()
            told = log.read_text()
            after, spoilt = step_of(folder), None
            problem = complaint(fault, status, told, before, after)
            if problem:
                self.failures.append(f"{folder.name}, blow {blow} ({fault}): {problem}")
            if fault == "damage" and status:
                spoilt = damage(folder, self.chooser)
            if fault is not None:
                self.blows_taken.append((fault, status))
        found = outcome(folder) if (folder / "history.csv").exists() else {}
        for name, checksum in self.expected.items():
            if found.get(name) != checksum:
                self.failures.append(f"{folder.name} ({', '.join(faults)}): {name} differs")
        if mounted:
            subprocess.run(["umount", "-l", folder], check=True)
        shutil.rmtree(folder)

    def _moment(self, before: tuple[int, str | None] | None, fresh: bool) -> float:
        """Seconds to wait: three in four while it trains, the others at any time (reading, drawing, storing)."""
        left = 1 - (before[0] if before else 0) / self.steps
        rest = max(self.seconds - self.training_seconds, 0.05)
        imports = IMPORT_SECONDS if fresh else 0.0
        if self.chooser.random() < 0.75:
            return imports + self.chooser.uniform(0, left * self.training_seconds + 0.1 * rest)
        return self.chooser.uniform(0, imports + left * self.training_seconds + rest)


def step_of(folder: Path) -> tuple[int, str | None] | None:
    """Step of the newest whole checkpoint and the stem of a damaged newer one; None where there is no checkpoint."""
    if not holds_checkpoint(folder / "checkpoint"):
        return None
    try:
        _, facts, faults = read_checkpoint(folder / "checkpoint")
    except UserError as error:
        return -1, str(error)
    return facts["steps_taken"], faults[0].split(".")[0] if faults else None


def complaint(
    fault: str | None,
    status: int,
    told: str,
    before: tuple[int, str | None] | None,
    after: tuple[int, str | None] | None,
) -> str | None:
    """What was wrong with how a fit took a blow."""
    if fault == "memory" and status in (-signal.SIGSEGV, -signal.SIGABRT):
        told = ""  # compiled code without memory dies as by a signal, and takes what it was telling with it
    elif (status not in STATUSES and "pyro_vmm" in told) or (fault is None and status):
        return f"exit status {status}: {told[-2000:]}"
    # Python, struck while it starts and before it has read a line of ours, has a traceback of its own.
    if "Traceback" in told and "pyro_vmm" in told:
        return f"a traceback: {told[-2000:]}"
    # A log that has reached the limit of file size already takes no more words.
    lines = [line for line in told.splitlines() if line.startswith("pyro-vmm: ")]
    if status == FAILED and not lines and not (fault == "file size" and told):
        return f"not told in one line: {told[-2000:]}"
    if after is None:
        return None if before is None else "its checkpoints have gone"
    if after[0] < (before[0] if before else 0):
        return f"its checkpoint went back from {before} to {after}"
    if after[1] is not None and not (before and before[1]):
        return f"a checkpoint is not whole: {after}"
    return None


def strike(fault: str, child: int, folder: Path, chooser: random.Random) -> Callable[[], None] | None:
    """Do it to a running fit; what undoes it once the fit has ended."""
    try:
        if fault in SIGNALS:
            os.kill(child, SIGNALS[fault])
        elif fault == "file size":
            resource.prlimit(child, resource.RLIMIT_FSIZE, (chooser.randrange(1, 20_000),) * 2)
        elif fault == "memory":
            pages = int(Path(f"/proc/{child}/statm").read_text().split()[0])
            resource.prlimit(child, resource.RLIMIT_AS, (pages * resource.getpagesize(),) * 2)
        elif fault == "full disk":
            filler = folder / "filler"
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    pass
            return filler.unlink
        elif fault == "read-only":
            checkpoint = folder / "checkpoint"
            # Busy while the fit has a file open there that it writes.
            for _ in range(20 if checkpoint.is_dir() else 0):
                subprocess.run(["mount", "--bind", checkpoint, checkpoint], check=True)
                made = subprocess.run(["mount", "-o", "remount,bind,ro", checkpoint], capture_output=True)
                if made.returncode == 0:
                    return lambda: subprocess.run(["umount", "-l", checkpoint], check=True) and None
                subprocess.run(["umount", "-l", checkpoint], check=True)
    except (ProcessLookupError, FileNotFoundError):
        pass  # it had ended
    return None


def can_mount() -> bool:
    """Whether we may mount."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
        if os.getuid() or not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
        return True


def measure_faults(x: None, options: Mapping[str, Any], run: Run) -> Fitted:
    """Strike fits of the kind ``options["fit"]`` by ``options["blows"]`` of ``options["faults"]``.

    Raises
    ------
    AssertionError
        That names every fit that did not take its blow as it should.
    """
    for name in LOADED:
        importlib.import_module(name)
    chooser = random.Random(run.seed)
    kinds = [fault for fault in options["faults"] if fault not in NEED_ROOT or can_mount()]
    with tempfile.TemporaryDirectory() as work:
        simulate_cells(300, 60, num_groups=3, num_batches=2, seed=run.seed).write_h5ad(Path(work) / CELLS)
        fit = Fit(options["fit"], FITS[options["fit"]], Path(work), chooser)
        fit.measure()
        struck = number = 0
        while struck < options["blows"]:
            count = min(chooser.randint(1, 8), options["blows"] - struck)
            # Every kind in turn, so that a handful of blows has several.
            faults = [kinds[(struck + place) % len(kinds)] for place in range(count)]
            fit.blows(faults, number, fresh=struck < options["fresh"])
            struck, number = struck + count, number + 1
    assert not fit.failures, "\n".join(fit.failures)
    numbers = {
        "blows": struck,
        "fits": number,
        "too_late": sum(status == 0 for _, status in fit.blows_taken),
        "left_out_kinds": len(options["faults"]) - len(kinds),
    }
    numbers |= {f"{fault}, status {status}": n for (fault, status), n in sorted(Counter(fit.blows_taken).items())}
    return Fitted(numbers={name: float(value) for name, value in numbers.items()})
