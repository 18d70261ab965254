"""Fewer observations than components by default: the default gives way, what a user chose does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from pyro_vmm import VMM, SingleCellVMM, UserError
from pyro_vmm.command_line.main import main
from pyro_vmm.data import DataWarning

SMALL: dict[str, Any] = {"latent_dim": 2, "hidden": (8,), "max_epochs": 1, "random_state": 0}
X = np.random.default_rng(0).random((60, 5), dtype=np.float32)
LOWERED = "100 components, the default, are more than the 54 {} that they start from: 54 components are used."


def cells() -> AnnData:
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(2, (60, 10)).astype(np.float32))
    adata = AnnData(counts, obs=pd.DataFrame(index=[f"c{i}" for i in range(60)]))
    SingleCellVMM.setup_anndata(adata)
    return adata


@pytest.mark.parametrize("prior", ["vamp-mixture", "vamp-prior"])
def test_the_default_of_arrays_gives_way(prior: str, tmp_path: Path) -> None:
    model = VMM(**SMALL, prior=prior)
    with pytest.warns(DataWarning, match=LOWERED.format("observations")):
        model.fit(X)
    assert model.num_components == 100, "fit leaves options as they are"
    assert model.predict_proba(X).shape == (60, 54)
    model.save(tmp_path / "model")
    loaded = VMM.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    with pytest.warns(DataWarning, match="54 components"):
        loaded.fit(X)


def test_the_default_of_cells_gives_way(tmp_path: Path) -> None:
    adata = cells()
    model = SingleCellVMM(adata, n_hidden=8)
    with pytest.warns(DataWarning, match=LOWERED.format("cells")):
        model.train(max_epochs=1)
    model.train(max_epochs=1)
    assert model.predict_proba().shape == (60, 54)
    model.save(tmp_path / "model")
    loaded = SingleCellVMM.load(tmp_path / "model", adata)
    np.testing.assert_array_equal(loaded.predict_proba(), model.predict_proba())
    loaded.train(max_epochs=1)


def test_enough_observations_and_other_priors_keep_the_default() -> None:
    assert VMM(**SMALL, prior="gaussian-mixture").fit(X).predict_proba(X).shape == (60, 100)
    assert VMM(**SMALL).fit(np.tile(X, (2, 1))).predict_proba(X).shape == (60, 100)


def test_what_a_user_chose_does_not_give_way() -> None:
    with pytest.raises(UserError, match="num_components=80 is more than the 54 observations"):
        VMM(**SMALL, num_components=80).fit(X)
    with pytest.raises(UserError, match="num_components=80 is more than the 54 cells"):
        SingleCellVMM(cells(), num_components=80).train(max_epochs=1)


def test_the_command_says_so_and_reports_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", X)
    output = str(tmp_path / "fit")
    command = ["fit", str(tmp_path / "x.npy"), "--output", output, "--max-epochs", "1", "--latent-dim", "2", "--quiet"]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert captured.err.count("54 components are used.") == 1
    assert "in use of 54; results" in captured.out
    assert main(["report", output]) == 0
    assert "of 54 components" in (tmp_path / "fit" / "report.html").read_text()
