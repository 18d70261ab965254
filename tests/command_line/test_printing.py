"""Terminals without letters, readers that have gone, full disks: none of them costs a result."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pyro_vmm import VMM
from pyro_vmm.command_line.main import main
from pyro_vmm.command_line.printing import printing, say, tell

SMALL = ["--num-components", "4", "--latent-dim", "2", "--max-epochs", "1", "--device", "cpu"]


def test_a_fit_in_the_barest_of_terminals(tmp_path: Path) -> None:
    """No letters but ASCII, a backend of matplotlib that does not exist, nobody at stdout or stderr."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 4)))
    bare = {"MPLBACKEND": "nonsense", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    bare |= {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = f"{sys.executable} -m pyro_vmm fit x.npy --output größe {' '.join(SMALL)}"
    script = f"{command} 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=os.environ | bare, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert VMM.load(tmp_path / "größe").n_clusters_ >= 1
    assert (tmp_path / "größe" / "figures" / "training.png").exists()


def test_letters_that_a_terminal_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with printing():
        say("größe, and a file name's byte \udcc3")
    assert written.getvalue() == b"gr\\xf6\\xdfe, and a file name's byte \xc3\n"
    assert stream.errors == "strict"


def test_messages_in_ascii(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, encoding="ascii", errors="strict"))
    assert main(["score", str(tmp_path / "größe"), "--labels", "kind"]) == 2
    assert b"gr\\xf6\\xdfe holds no model" in written.getvalue()


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device")], ids=["gone", "full"])
def test_what_cannot_be_printed(
    error: OSError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Unwritable(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    monkeypatch.setattr(sys, "stdout", Unwritable())
    with printing():
        say("2 clusters")
    message = capsys.readouterr().err
    full = "pyro-vmm: warning: standard output cannot be written (No space left on device).\n"
    assert message == ("" if isinstance(error, BrokenPipeError) else full)


def test_nobody_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with printing():
        say("2 clusters")
        tell("a warning")
