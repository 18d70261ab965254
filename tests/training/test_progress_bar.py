"""What a person sees of a fit's progress."""

import io
import re

import numpy as np

from pyro_vmm import VMM
from pyro_vmm.training import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO) -> str:
    x = np.random.default_rng(0).random((60, 8)).round().astype(np.float32)
    model = VMM(2, 5, hidden=(8,), batch_size=20, max_epochs=3, device="cpu", random_state=0)
    model.fit(x, watchers=[ProgressBar(stream)])
    row = model.history_.iloc[-1]
    assert f"ELBO {row['elbo']:.2f}, validation {row['validation_elbo']:.2f}" in stream.getvalue()
    assert f"{row['clusters_in_use']:.0f} clusters in use" in stream.getvalue()
    return stream.getvalue()


def test_a_terminal_gets_one_bar_that_fills() -> None:
    text = shown(Terminal())
    assert "epoch 3/3" in text
    assert "100%" in text
    assert text.count("\n") <= 1


def test_a_log_gets_whole_lines_with_the_time_left() -> None:
    lines = shown(io.StringIO()).splitlines()
    assert re.fullmatch(r"epoch 1/3: ELBO -?[\d.]+, validation -?[\d.]+, \d clusters in use, \d\d:\d\d left", lines[0])
    assert lines[-1].startswith("epoch 3/3: ")
    assert lines[-1].endswith("00:00 left")
    assert "\r" not in "".join(lines)
