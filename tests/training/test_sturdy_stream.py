"""A progress bar that nobody can see costs no training."""

import errno
import io

import numpy as np
import pytest

from pyro_vmm import VMM
from pyro_vmm.training.sturdy_stream import SturdyStream


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise BrokenPipeError


class Terminal(Full):
    def isatty(self) -> bool:
        return True


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, Full(), Terminal(), closed()], ids=["none", "full", "terminal", "closed"])
def test_a_fit_goes_on(stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    x = np.random.default_rng(0).normal(size=(30, 3))
    model = VMM(likelihood="normal", num_components=3, hidden=(4,), max_epochs=2, random_state=0, verbose=True)
    assert model.fit(x).n_iter_ == 2


def test_what_can_be_written_is() -> None:
    stream = io.StringIO()
    sturdy = SturdyStream(stream)
    print("epoch 1", file=sturdy, flush=True)
    assert stream.getvalue() == "epoch 1\n"
    assert not sturdy.isatty()
    assert sturdy.getvalue() == "epoch 1\n"
