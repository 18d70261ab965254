"""Fitted modules are in evaluation mode, and questions write nothing to them."""

import copy
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch
from pyro.infer import Predictive
from torch import nn

from pyro_vmm import SingleCellVMM
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.models.vade import VaDE
from pyro_vmm.networks import evaluation_mode as module_of_modes
from pyro_vmm.training import Trainer


@pytest.fixture
def cells() -> anndata.AnnData:
    adata = anndata.AnnData(np.random.default_rng(0).poisson(2.0, (60, 6)).astype(np.float32))
    SingleCellVMM.setup_anndata(adata)
    return adata


@pytest.fixture
def model(cells: anndata.AnnData) -> SingleCellVMM:
    model = SingleCellVMM(cells, num_components=3, n_latent=2, n_hidden=8)
    model.train(max_epochs=2, batch_size=32)
    return model


def training(*modules: nn.Module) -> list[nn.Module]:
    return [part for module in modules for part in module.modules() if part.training]


def test_pyro_asks_what_the_api_asks(model: SingleCellVMM, cells: anndata.AnnData, tmp_path: Path) -> None:
    x = torch.from_numpy(cells.X)
    covariates = model.encoding.tensors(model.cells)
    model.save(tmp_path)
    for answering in (model, SingleCellVMM.load(tmp_path, cells)):
        assert not training(answering.module, answering.guide)
        before = copy.deepcopy(answering.guide.state_dict())
        with torch.no_grad():
            mean = answering.guide.posterior(x, **covariates).mean
        np.testing.assert_array_equal(mean.numpy(), model.get_latent_representation())
        Predictive(answering.module.fitted, guide=answering.guide, num_samples=2)(x, **covariates)
        for name, tensor in answering.guide.state_dict().items():
            assert torch.equal(tensor, before[name]), name


def test_questions_switch_no_module(model: SingleCellVMM, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(modules: list[nn.Module], mode: bool) -> None:
        assert not modules, "a fitted module was written to"

    monkeypatch.setattr(module_of_modes, "_set_training", refuse)
    model.get_latent_representation(give_mean=False)
    model.predict()
    model.get_elbo()
    model.diagnose()
    model.posterior_predictive_sample()
    model.simulation_based_calibration(num_simulations=80)


def test_training_goes_on_in_training_mode_and_ends_in_the_other(
    model: SingleCellVMM, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes, step = [], EmpiricalBayesSVI.step

    def seen(self: EmpiricalBayesSVI, x: torch.Tensor, **covariates: torch.Tensor) -> Any:
        modes.append((self.guide.training, self.model.training))
        return step(self, x, **covariates)

    monkeypatch.setattr(EmpiricalBayesSVI, "step", seen)
    model.train(max_epochs=1, batch_size=32)
    assert modes == [(True, True)] * 2
    assert not training(model.module, model.guide)


def test_also_after_an_error(build_svi: Any, make_data: Any) -> None:
    class Fails:
        def step_ended(self, trainer: Trainer) -> None:
            raise OSError("full")

        def epoch_ended(self, trainer: Trainer) -> None: ...

    svi = build_svi("vamp-mixture", normalization="batch")
    assert svi.guide.training
    with pytest.raises(OSError, match="full"):
        Trainer(svi, make_data(20), watchers=[Fails()]).run()
    assert not training(svi.model, svi.guide)


def test_vade_starts_its_mixture_from_the_encoder_in_evaluation_mode(build_model: Any, make_data: Any) -> None:
    pieces, guide = build_model("gaussian-mixture", covariance="diagonal", normalization="batch")
    model = VaDE(2, 3, pieces.decoder, pieces.likelihood)
    before = copy.deepcopy(guide.state_dict())
    model.start_mixture(guide, make_data(40), restarts=1)
    for name, tensor in guide.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert guide.training
