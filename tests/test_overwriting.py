"""Nothing that an earlier fit has left is replaced unless that is asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from pyro_vmm import VMM, SingleCellVMM, UserError
from pyro_vmm.training import CheckpointWriter, read_checkpoint

X = np.random.default_rng(0).random((60, 5), dtype=np.float32)
SMALL: dict[str, Any] = {"latent_dim": 2, "num_components": 4, "hidden": (8,), "max_epochs": 2}


@pytest.fixture(scope="module")
def of_arrays() -> VMM:
    return VMM(**SMALL, random_state=0).fit(X)


@pytest.fixture(scope="module")
def of_cells() -> SingleCellVMM:
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(2, (60, 10)).astype(np.float32))
    adata = AnnData(counts, obs=pd.DataFrame(index=[f"c{i}" for i in range(60)]))
    SingleCellVMM.setup_anndata(adata)
    model = SingleCellVMM(adata, num_components=4, n_hidden=8)
    model.train(max_epochs=1)
    return model


@pytest.mark.parametrize("kind", ["of_arrays", "of_cells"])
def test_a_model_is_replaced_only_when_that_is_asked_for(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    model.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError) as caught:
        model.save(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds a model already (config.json): give another folder, or overwrite=True to replace it."
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    model.save(tmp_path, overwrite=True)
    (tmp_path / "config.json").unlink()
    with pytest.raises(UserError, match=r"holds a model already \(model.safetensors\)"):
        model.save(tmp_path)
    with pytest.raises(UserError, match="overwrite is 'yes': it must be True or False"):
        model.save(tmp_path, overwrite="yes")


def test_other_files_are_no_model(of_arrays: VMM, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    of_arrays.save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_checkpoint_of_another_training_is_left_alone(tmp_path: Path) -> None:
    VMM(**SMALL, random_state=0).fit(X, watchers=[CheckpointWriter(tmp_path)])
    _, before, _ = read_checkpoint(tmp_path)
    with pytest.raises(UserError) as caught:
        VMM(**SMALL, random_state=1).fit(X, watchers=[CheckpointWriter(tmp_path)])
    assert str(caught.value) == (
        f"{tmp_path} holds the checkpoint of another training: give another folder, or continue that one with "
        f"resume={str(tmp_path)!r}."
    )
    assert read_checkpoint(tmp_path)[1] == before


def test_the_checkpoint_of_the_training_that_is_resumed_is_replaced(tmp_path: Path) -> None:
    VMM(**SMALL, random_state=0).fit(X, watchers=[CheckpointWriter(tmp_path)])
    longer = VMM(**SMALL | {"max_epochs": 3}, random_state=0)
    longer.fit(X, watchers=[CheckpointWriter(str(tmp_path))], resume=tmp_path)
    assert len(read_checkpoint(tmp_path)[1]["history"]) == 3


def test_one_writer_may_watch_several_trainings(of_cells: SingleCellVMM, tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path)
    for _ in range(2):
        of_cells.train(max_epochs=1, watchers=[writer])
