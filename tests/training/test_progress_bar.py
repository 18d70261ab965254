"""What a person sees of a fit's progress."""

import io
import re

import numpy as np
import pytest

from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.single_cell import simulate_cells
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
    clusters = f"{row['clusters_in_use']:.0f} cluster{'' if row['clusters_in_use'] == 1 else 's'}"
    assert f"{clusters} of {row['components_in_use']:.0f} components in use" in stream.getvalue()
    return stream.getvalue()


def test_a_terminal_gets_one_bar_that_fills() -> None:
    text = shown(Terminal())
    assert "epoch 3/3" in text
    assert "100%" in text
    assert text.count("\n") <= 1


def test_a_log_gets_whole_lines_with_the_time_left() -> None:
    lines = shown(io.StringIO()).splitlines()
    assert re.fullmatch(
        r"epoch 1/3: ELBO -?[\d.]+, validation -?[\d.]+, \d components in use, \d\d:\d\d left", lines[0]
    )
    assert lines[-1].startswith("epoch 3/3: ")
    assert lines[-1].endswith("00:00 left")
    assert "\r" not in "".join(lines)


def test_the_last_word_is_the_number_of_clusters_found(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).random((60, 8)).round().astype(np.float32)
    vmm = VMM(2, 5, hidden=(8,), batch_size=20, max_epochs=3, device="cpu", random_state=0, verbose=True).fit(x)
    assert capsys.readouterr().err.splitlines()[-1] == f"{vmm.n_clusters_} cluster{'s' * (vmm.n_clusters_ != 1)} found"
    adata = simulate_cells(80, 12, seed=0)
    SingleCellVMM.setup_anndata(adata)
    model = SingleCellVMM(adata, num_components=5)
    model.train(max_epochs=2, accelerator="cpu", enable_progress_bar=True)
    lines = capsys.readouterr().err.splitlines()
    assert "components in use" in lines[-2]
    assert lines[-1] == f"{model.n_clusters_} cluster{'s' * (model.n_clusters_ != 1)} found"
