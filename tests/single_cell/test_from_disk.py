"""Cells in files are fitted and asked as those in memory."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pytest
import torch
from scipy import sparse

from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.observations import OnDisk
from pyro_vmm.single_cell.simulation import simulate_cells
from pyro_vmm.training import CheckpointWriter
from pyro_vmm.training.checkpoint import holds_checkpoint

SETUP: dict[str, Any] = {"batch_key": "batch", "continuous_covariate_keys": ["share"]}


@pytest.fixture
def cells() -> anndata.AnnData:
    """300 cells of 40 genes in two batches, sorted by batch, with a number each."""
    adata = simulate_cells(300, 40, num_groups=3, num_batches=2, seed=1)
    adata = adata[np.argsort(adata.obs["batch"].to_numpy(), kind="stable")].copy()
    adata.X = sparse.csr_matrix(adata.X)
    adata.obs["share"] = np.random.default_rng(0).random(300)
    return adata


@pytest.fixture
def path(cells: anndata.AnnData, tmp_path: Path) -> Path:
    cells.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def of_files(kind: str, path: Path, cells: anndata.AnnData) -> Any:
    """The cells as somebody may give them."""
    if kind == "backed":
        return anndata.read_h5ad(path, backed="r")
    if kind == "path":
        return path
    if kind == "text":
        return str(path)
    if kind == "zarr":
        pytest.importorskip("zarr")
        cells.write_zarr(path.with_suffix(".zarr"), chunks=(70, 40))
        return path.with_suffix(".zarr")
    parts = [path.with_suffix(f".{place}.h5ad") for place in range(3)]
    for part, rows in zip(parts, (slice(0, 7), slice(7, 200), slice(200, 300)), strict=True):
        cells[rows].write_h5ad(part, compression="gzip")
    return parts


def parameters(model: SingleCellVMM) -> dict[str, torch.Tensor]:
    return {**model.module.state_dict(), **model.guide.state_dict()}


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.parametrize("kind", ["backed", "path", "text", "three compressed files", "zarr"])
def test_a_fit_from_disk_has_the_bits_of_one_from_memory(
    kind: str, path: Path, cells: anndata.AnnData, fit: Callable[..., SingleCellVMM], tmp_path: Path
) -> None:
    given = of_files(kind, path, cells)
    SingleCellVMM.setup_anndata(cells, **SETUP)
    SingleCellVMM.setup_anndata(given, **SETUP)
    memory, disk = fit(cells), fit(given)
    assert isinstance(disk.observe().observations, OnDisk)
    for name, value in parameters(memory).items():
        assert torch.equal(value, parameters(disk)[name]), name
    assert memory.history["elbo_validation"].equals(disk.history["elbo_validation"])
    np.testing.assert_array_equal(memory.predict_proba(), disk.predict_proba())
    np.testing.assert_array_equal(memory.predict_proba(cells), memory.predict_proba(given))
    rows = [299, 0, 17]
    np.testing.assert_array_equal(
        memory.get_normalized_expression(indices=rows), disk.get_normalized_expression(indices=rows)
    )
    assert memory.get_elbo() == disk.get_elbo()
    disk.save(tmp_path / "model")
    np.testing.assert_array_equal(SingleCellVMM.load(tmp_path / "model", given).predict(), memory.predict())
    assert disk.diagnose().findings is not None


def test_several_windows_give_the_bits_of_memory_in_the_same_order(
    path: Path, cells: anndata.AnnData, fit: Callable[..., SingleCellVMM], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows change the order and nothing else."""
    from pyro_vmm.observations import InMemory, on_disk, orders

    def in_blocks(self: InMemory, epoch: int, batch_size: int, seed: int) -> list[torch.Tensor]:
        sizes = {"rows_in_a_block": 4, "blocks_in_a_window": 8}
        return orders.minibatches_by_blocks(len(self), batch_size, seed=seed, epoch=epoch, **sizes)[0]

    monkeypatch.setattr(InMemory, "order", in_blocks)
    monkeypatch.setattr(OnDisk, "__init__", _with_small_windows(OnDisk.__init__))
    assert on_disk.BLOCKS_IN_A_WINDOW > 8
    SingleCellVMM.setup_anndata(cells, **SETUP)
    SingleCellVMM.setup_anndata(path, **SETUP)
    memory, disk = fit(cells), fit(path)
    for name, value in parameters(memory).items():
        assert torch.equal(value, parameters(disk)[name]), name
    np.testing.assert_array_equal(memory.predict_proba(), disk.predict_proba())


def _with_small_windows(init: Callable[..., None]) -> Callable[..., None]:
    def start(self: OnDisk, *args: Any, **given: Any) -> None:
        init(self, *args, **{**given, "rows_in_a_block": 4, "blocks_in_a_window": 8})

    return start


def test_a_model_of_a_path_that_was_not_set_up_says_so(path: Path) -> None:
    with pytest.raises(UserError, match="was not set up: call SingleCellVMM"):
        SingleCellVMM(path)


def test_bad_counts_are_told_as_from_memory(cells: anndata.AnnData, tmp_path: Path) -> None:
    counts = cells.X.toarray()
    cells.layers["counts"] = sparse.csr_matrix(counts)
    counts[5, 3] = 0.5
    cells.X = sparse.csr_matrix(counts)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    told = []
    for given in (cells, tmp_path / "cells.h5ad"):
        with pytest.raises(UserError) as caught:
            SingleCellVMM.setup_anndata(given)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert "one non-whole value, 0.5 at cell" in told[0]
    assert "layer='counts'" in told[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nothing.h5ad", r"nothing\.h5ad"),
        ([], "path or a list of paths is needed"),
        ([3], "path or a list of paths is needed"),
        ("cells.zarr", r"There is no folder cells\.zarr"),
    ],
)
def test_what_cannot_be_read_from_disk_is_refused(given: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        SingleCellVMM.setup_anndata(given)


def test_files_with_other_genes_are_refused(cells: anndata.AnnData, path: Path, tmp_path: Path) -> None:
    cells[:, ::-1].copy().write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(UserError, match=r"other\.h5ad has other genes than .*cells\.h5ad, in another order"):
        SingleCellVMM.setup_anndata([path, tmp_path / "other.h5ad"])


def test_a_missing_layer_names_those_there_are(cells: anndata.AnnData, tmp_path: Path) -> None:
    for name in list(cells.layers):
        if name is not None:  # anndata 0.13 lists X as well
            del cells.layers[name]
    cells.layers["spliced"] = cells.X.copy()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(UserError, match=r"no layer 'counts': give layer='spliced' or layer=None for adata\.X"):
        SingleCellVMM.setup_anndata(tmp_path / "cells.h5ad", layer="counts")


class _Touch:
    """Another program that writes to the file, or removes it, in the third step."""

    def __init__(self, path: Path, *, remove: bool = False) -> None:
        self.path, self.steps, self.remove = path, 0, remove

    def step_ended(self, trainer: Any) -> None:
        self.steps += 1
        if self.steps == 3 and self.remove:
            self.path.unlink()
        elif self.steps == 3:
            with h5py.File(self.path.with_name("new.h5ad"), "w"):
                pass
            os.replace(self.path.with_name("new.h5ad"), self.path)

    def epoch_ended(self, trainer: Any) -> None:
        pass


@pytest.mark.parametrize(("remove", "told"), [(False, "changed"), (True, "vanished")])
def test_a_file_that_changes_ends_the_training_with_its_last_good_state(
    path: Path,
    fit: Callable[..., SingleCellVMM],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    remove: bool,
    told: str,
) -> None:
    monkeypatch.setattr(OnDisk, "__init__", _with_small_windows(OnDisk.__init__))
    SingleCellVMM.setup_anndata(path, **SETUP)
    content = path.read_bytes()
    checkpoints = tmp_path / "checkpoints"
    train = {"max_epochs": 3, "watchers": [_Touch(path, remove=remove), CheckpointWriter(checkpoints, 1e9)]}
    with pytest.raises(UserError, match=rf"cells\.h5ad has {told} while it was in use: put the file back"):
        fit(path, train=train)
    assert holds_checkpoint(checkpoints)
    path.write_bytes(content)
    SingleCellVMM.setup_anndata(path, **SETUP)
    resumed = fit(path, train={"max_epochs": 3, "resume": checkpoints})
    whole = fit(path, train={"max_epochs": 3})
    for name, value in parameters(whole).items():
        assert torch.equal(value, parameters(resumed)[name]), name
