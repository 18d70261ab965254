"""What scvi-tools' arguments of training, and its attributes, do here."""

import io
from collections.abc import Callable
from typing import Any

import anndata
import numpy as np
import pytest
import torch

from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.single_cell.simulation import simulate_cells
from pyro_vmm.training import Trainer

SMALL: dict[str, Any] = {"n_latent": 2, "num_components": 4, "n_hidden": 8}


class Noted:
    """A watcher that keeps the trainer."""

    trainer: Trainer

    def step_ended(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def epoch_ended(self, trainer: Trainer) -> None:
        self.trainer = trainer


def trained(cells: anndata.AnnData, **options: Any) -> Trainer:
    noted = Noted()
    model = SingleCellVMM(cells, **SMALL)
    model.train(**{"max_epochs": 2, "batch_size": 64, "standard_normal_steps": 0} | options, watchers=[noted])
    return noted.trainer


def test_plan_kwargs_reach_the_optimiser_and_the_warm_up(cells: anndata.AnnData) -> None:
    plan = {"lr": 5e-4, "weight_decay": 1e-3, "n_epochs_kl_warmup": 1}
    svi = trained(cells, plan_kwargs=plan).svi
    (networks,) = svi.optimizers["elbo"].param_groups
    assert (networks["lr"], networks["weight_decay"]) == (5e-4, 1e-3)
    (prior,) = svi.optimizers["prior"].param_groups
    assert (prior["lr"], prior["weight_decay"]) == (pytest.approx(1.5e-4), 0.0)
    # 270 of the 300 cells are trained on, 64 at a time.
    assert svi.kl_schedule.settled_at == 5
    assert trained(cells, plan_kwargs={"n_steps_kl_warmup": 3}).svi.kl_schedule.settled_at == 3
    with pytest.raises(UserError, match=r"^learning_rate is -1.0: it must be a positive learning rate"):
        trained(cells, plan_kwargs={"lr": -1.0})


def test_weights_that_decay_become_smaller(cells: anndata.AnnData) -> None:
    norms = []
    for weight_decay in (0.0, 1.0):
        guide = trained(cells, weight_decay=weight_decay, max_epochs=5, learning_rate=1e-2).svi.guide
        norms.append(sum(float(each.detach().square().sum()) for each in guide.encoder.parameters()))
    assert norms[1] < 0.9 * norms[0]


def test_patience_is_counted_in_checks(cells: anndata.AnnData) -> None:
    assert trained(cells, early_stopping=True, early_stopping_patience=7).early_stopping.patience == 7
    every_other = trained(cells, early_stopping=True, early_stopping_patience=7, check_val_every_n_epoch=2)
    assert every_other.early_stopping.patience == 14
    assert trained(cells, early_stopping=False, early_stopping_patience=7).early_stopping.patience is None


def test_the_share_of_held_out_cells_has_two_names(cells: anndata.AnnData) -> None:
    for options in ({"validation_size": 0.2}, {"train_size": 0.8, "validation_size": 0.2}, {"train_size": 0.8}):
        held_out = trained(cells, **options).held_out
        assert held_out is not None
        assert len(held_out) == 60
    by_default = trained(cells, train_size=None, validation_size=None).held_out
    assert by_default is not None
    assert len(by_default) == 30


def test_a_training_as_scvi_tools_writes_it(cells: anndata.AnnData) -> None:
    model = SingleCellVMM(cells, **SMALL, latent_distribution="normal", encode_covariates=True)
    model.train(
        max_epochs=1,
        accelerator="cpu",
        devices=1,
        train_size=0.9,
        validation_size=None,
        batch_size=128,
        early_stopping=True,
        early_stopping_monitor="elbo_validation",
        early_stopping_patience=10,
        check_val_every_n_epoch=1,
        plan_kwargs={"lr": 1e-3},
        enable_progress_bar=False,
    )
    there = {f"{name}_{of}" for of in ("train", "validation") for name in ("elbo", "reconstruction_loss", "kl_local")}
    there |= {"train_loss", "validation_loss", "kl_global_train", "kl_global_validation"}
    assert there <= set(model.history)
    for name in there:
        assert list(model.history[name].columns) == [name]
        assert np.isfinite(model.history[name].to_numpy()).all()
    assert model.history["train_loss"].iloc[0, 0] == model.history["elbo_train"].iloc[0, 0]


def test_normalisations_by_two_names(cells: anndata.AnnData) -> None:
    model = SingleCellVMM(cells, **SMALL, use_layer_norm="both", use_batch_norm="none")
    assert model.normalization == "layer"
    with pytest.raises(UserError, match=r"^use_layer_norm and normalization are two names of one option"):
        SingleCellVMM(cells, **SMALL, normalization="none", use_layer_norm="both", use_batch_norm="none")


def test_labels_are_checked_and_not_read(cells: anndata.AnnData) -> None:
    copy = cells.copy()
    SingleCellVMM.setup_anndata(copy, batch_key="batch", labels_key="group")
    assert copy.uns == cells.uns
    with pytest.raises(UserError, match=r"^adata.obs has no column 'kind' \(labels_key\): give the name of one.$"):
        SingleCellVMM.setup_anndata(copy, batch_key="batch", labels_key="kind")


def test_facts_before_and_after_training(cells: anndata.AnnData, fitted: SingleCellVMM) -> None:
    new = SingleCellVMM(cells, **SMALL)
    assert (new.is_trained, new.train_indices, new.test_indices, new.device) == (False, None, None, torch.device("cpu"))
    assert new.adata is cells
    assert fitted.is_trained
    assert fitted.train_indices is not None
    assert fitted.validation_indices is not None
    assert fitted.test_indices is not None
    together = np.concatenate([fitted.train_indices, fitted.validation_indices, fitted.test_indices])
    np.testing.assert_array_equal(np.sort(together), np.arange(300))
    assert "Training status: Trained" in fitted.summary_string
    assert "n_latent: 3" in fitted.summary_string
    assert "Not Trained" in new.summary_string
    fitted.to_device("cpu")
    assert fitted.device == torch.device("cpu")
    with pytest.raises(UserError, match=r"not trained yet"):
        new.to_device("cpu")
    with pytest.raises(UserError, match=r"no such device|is not known"):
        fitted.to_device("no such device")
    assert fitted.minified_data_type is None


def test_options_are_attributes(cells: anndata.AnnData) -> None:
    model = SingleCellVMM(cells, **SMALL, gene_likelihood="nb", covariance="full")
    assert (model.n_latent, model.n_hidden, model.gene_likelihood) == (2, 8, "nb")
    assert (model.covariance, model.n_layers, model.prior_weight) == ("full", 1, 16_384.0)
    assert {name: getattr(model, name) for name in model.options} == model.options
    with pytest.raises(
        UserError, match=r"^n_latent is an option of the model, made with 2: make another model for 3.$"
    ):
        model.n_latent = 3  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"interrupted_ is known of a model that was trained here"):
        _ = model.interrupted_


def test_the_setup_is_printed(fitted: SingleCellVMM, cells: anndata.AnnData, capsys: Any) -> None:
    fitted.view_anndata_setup(cells)
    told = capsys.readouterr().out
    assert "Cells: 300\nGenes: 40\nCounts: adata.X\nbatch_key: batch\n" in told
    assert "Categories of 'batch': batch 0, batch 1" in told
    fitted.view_anndata_setup(hide_state_registries=True)
    assert "Categories" not in capsys.readouterr().out


def test_a_training_shows_its_progress_on_stderr(
    fit: Callable[..., SingleCellVMM], cells: anndata.AnnData, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(cells)
    told = capsys.readouterr()
    assert told.out == ""
    assert "epoch 2/2: ELBO" in told.err
    fit(cells, train={"enable_progress_bar": False})
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "")
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", screen)
    fit(cells)
    assert "100%|" in screen.getvalue()


def test_annotations_are_called_as_asked(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    copy = cells.copy()
    fitted.annotate(copy)
    fitted.annotate(copy, key_added="again")
    for first, second in (("X_vmm", "X_again"), ("vmm_responsibilities", "again_responsibilities")):
        np.testing.assert_array_equal(copy.obsm[first], copy.obsm[second])
    for what in ("cluster", "probability"):
        assert copy.obs[f"vmm_{what}"].tolist() == copy.obs[f"again_{what}"].tolist()
    assert copy.uns["vmm"] == copy.uns["again"]
    for wrong in ("", "a/b", 3):
        with pytest.raises(UserError, match=r"^key_added is .*: give text without a slash"):
            fitted.annotate(copy, key_added=wrong)  # type: ignore[arg-type]


def test_a_model_without_an_anndata_says_so() -> None:
    adata = simulate_cells(60, 8, num_groups=2)
    SingleCellVMM.setup_anndata(adata)
    model = SingleCellVMM(adata, **SMALL)
    other = SingleCellVMM._of_cells(model.cells, model.options, False)
    with pytest.raises(UserError, match=r"^The model was made without an AnnData"):
        _ = other.adata
