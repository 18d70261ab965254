"""Simulated cells and one small fit, shared by the tests of the single-cell facade."""

from collections.abc import Callable
from typing import Any

import anndata
import pytest

from pyro_vmm import SingleCellVMM
from pyro_vmm.single_cell.simulation import simulate_cells

SMALL: dict[str, Any] = {"n_latent": 3, "num_components": 12, "n_hidden": 32}


@pytest.fixture(scope="session")
def cells() -> anndata.AnnData:
    """300 cells of 40 genes, 3 groups in 2 batches, set up by batch."""
    adata = simulate_cells(300, 40, num_groups=3, num_batches=2, seed=1)
    SingleCellVMM.setup_anndata(adata, batch_key="batch")
    return adata


@pytest.fixture(scope="session")
def fitted(cells: anndata.AnnData) -> SingleCellVMM:
    """A short fit of those cells."""
    model = SingleCellVMM(cells, **SMALL)
    model.train(max_epochs=10, batch_size=64)
    return model


@pytest.fixture(scope="session")
def fit() -> Callable[..., SingleCellVMM]:
    """``fit(adata, train={...}, **options)``: a small model, trained for two epochs unless ``train`` says otherwise."""

    def make(adata: anndata.AnnData, *, train: dict[str, Any] | None = None, **options: Any) -> SingleCellVMM:
        model = SingleCellVMM(adata, **SMALL | options)
        model.train(**{"max_epochs": 2, "batch_size": 64} | (train or {}))
        return model

    return make
