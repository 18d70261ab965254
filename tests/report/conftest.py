"""Two small fits to report on: images, and cells whose every name is an attack on the page."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from anndata import AnnData
from sklearn.datasets import load_digits

from pyro_vmm.command_line.main import main
from pyro_vmm.report import write_report

SMALL = ["--num-components", "8", "--latent-dim", "3", "--batch-size", "64", "--device", "cpu", "--quiet"]
GENE = "<script>alert(1)</script>"
BATCHES = ('"><img src=x onerror=alert(2)>', "</script><script>alert(3)</script>")
LABELS = ("<script>alert(4)</script>", r"$\Frac{", "细胞 & Co")
FILE = "<svg onload=alert(5)>.h5ad"


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pictures, which take most of a report's time."""
    monkeypatch.setattr("pyro_vmm.report.writing.pictures_of_clusters", lambda *_: ())
    monkeypatch.setattr("pyro_vmm.report.writing.pictures_of_training", lambda *_: ())


@pytest.fixture(scope="session")
def images_fit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit of 200 images, with labels beside them."""
    folder = tmp_path_factory.mktemp("images")
    digits = load_digits()
    np.savez(folder / "images.npz", X=(digits.images[:200] / 16).astype(np.float32), labels=digits.target[:200])
    command = ["fit", str(folder / "images.npz"), "--likelihood", "bernoulli", "--output", str(folder / "run")]
    assert main([*command, *SMALL, "--max-epochs", "3"]) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def hostile_fit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit of 150 cells with three kinds (column ``kind``) in two batches; gene 0 marks the first kind."""
    folder = tmp_path_factory.mktemp("cells")
    rng = np.random.default_rng(0)
    kind = rng.permutation(np.repeat([0, 1, 2], [80, 40, 30]))
    mean = np.exp(rng.normal(1, 1, (3, 20)))
    mean[:, 0] = (60, 0.1, 0.1)
    counts = rng.poisson(mean[kind])
    counts[:, 1] += 1  # no cell is empty
    obs = pd.DataFrame(
        {"donor": np.array(BATCHES)[rng.integers(2, size=150)], "kind": np.array(LABELS)[kind]},
        index=[f"cell-{i}" for i in range(150)],
    )
    var = pd.DataFrame(index=[GENE, *(f"g{i}" for i in range(1, 20))])
    AnnData(scipy.sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=var).write_h5ad(folder / FILE)
    command = ["fit", str(folder / FILE), "--batch-key", "donor", "--output", str(folder / "run")]
    assert main([*command, *SMALL, "--max-epochs", "20", "--prior-learning-rate", "0.01"]) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def hostile_report(hostile_fit: Path) -> Path:
    """The report of those cells with labels, kept where no other report of them is written."""
    return write_report(hostile_fit, labels="kind").rename(hostile_fit / "with-labels.html")
