"""A training goes on with the options that it was begun with, whichever door it comes through."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_vmm import VMM, SingleCellVMM, UserError
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.single_cell.simulation import simulate_cells
from pyro_vmm.training import CheckpointWriter
from pyro_vmm.training.resumption import check_same_options

SMALL: dict[str, Any] = {"likelihood": "normal", "latent_dim": 2, "num_components": 4, "hidden": (8,), "batch_size": 32}
OTHERWISE: dict[str, Any] = {
    "prior_weight": 500.0,
    "kl_warmup_steps": 3,
    "learning_rate": 2e-3,
    "prior_learning_rate": 1e-3,
    "weight_rate": 2.0,
    "weight_decay": 1e-3,
    "prior_rest_steps": 2,
    "standard_normal_steps": 2,
    "responsibility_gradient": "differentiated",
}


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 3))


@pytest.fixture(scope="module")
def begun_with_a_table(table: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    VMM(**SMALL, max_epochs=1, random_state=0).fit(table, watchers=(CheckpointWriter(folder),))
    return folder


def cells() -> SingleCellVMM:
    adata = simulate_cells(60, 8, num_groups=2, seed=0)
    SingleCellVMM.setup_anndata(adata)
    return SingleCellVMM(adata, n_latent=2, num_components=4, n_hidden=8)


@pytest.fixture(scope="module")
def begun_with_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    cells().train(max_epochs=1, batch_size=32, watchers=(CheckpointWriter(folder),))
    return folder


@pytest.mark.parametrize("option", OTHERWISE)
def test_arrays_go_on_with_the_same_options_only(option: str, table: np.ndarray, begun_with_a_table: Path) -> None:
    changed = VMM(**SMALL, max_epochs=2, random_state=0, **{option: OTHERWISE[option]})
    with pytest.raises(UserError, match=f"was begun with {option}="):
        changed.fit(table, resume=begun_with_a_table)


@pytest.mark.parametrize("option", sorted(OTHERWISE.keys() & inspect.signature(SingleCellVMM.train).parameters.keys()))
def test_cells_go_on_with_the_same_options_only(option: str, begun_with_cells: Path) -> None:
    with pytest.raises(UserError, match=f"was begun with {option}="):
        cells().train(max_epochs=2, batch_size=32, resume=begun_with_cells, **{option: OTHERWISE[option]})


def test_a_longer_training_goes_on(table: np.ndarray, begun_with_a_table: Path, begun_with_cells: Path) -> None:
    longer = VMM(**SMALL, max_epochs=2, patience=7, random_state=0)
    resumed = longer.fit(table, resume=begun_with_a_table)
    assert len(resumed.history_) == 2
    whole = VMM(**SMALL, max_epochs=2, random_state=0).fit(table)
    for name, tensor in whole.model_.state_dict().items():
        assert torch.equal(tensor, resumed.model_.state_dict()[name])
    model = cells()
    model.train(max_epochs=2, batch_size=32, patience=20, resume=begun_with_cells)
    assert len(model.history["elbo_train"]) == 2


def test_what_json_does_not_distinguish_is_the_same() -> None:
    check_same_options({"hidden": [8, 8]}, {"hidden": (8, 8)}, "It")


def test_both_faces_take_every_option_of_the_training() -> None:
    own = inspect.signature(EmpiricalBayesSVI).parameters.keys() - {"model", "guide", "loss", "latents"}
    called = {"optim": "learning_rate", "prior_optim": "prior_learning_rate", "kl_schedule": "kl_warmup_steps"}
    needed = {called.get(name, name) for name in own}
    assert needed <= inspect.signature(VMM).parameters.keys()
    assert needed <= inspect.signature(SingleCellVMM.train).parameters.keys()


def test_the_same_options_mean_the_same_in_both_faces() -> None:
    of_arrays, of_cells = inspect.signature(VMM).parameters, inspect.signature(SingleCellVMM.train).parameters
    for name in ("weight_rate", "prior_rest_steps", "kl_warmup_steps", "learning_rate_schedule", "prior_learning_rate"):
        assert of_arrays[name].default == of_cells[name].default
