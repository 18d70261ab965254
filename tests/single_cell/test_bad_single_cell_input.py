"""What a user is told: the sentence names the column, layer, cell or option, and the mend."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from pyro_vmm import VMM, SingleCellVMM, UserError
from pyro_vmm.data import DataWarning
from pyro_vmm.single_cell.setup import SETUP_KEY
from pyro_vmm.single_cell.simulation import simulate_cells
from pyro_vmm.training import CheckpointWriter

Fit = Callable[..., SingleCellVMM]


def damaged(change: Callable[[anndata.AnnData], Any]) -> anndata.AnnData:
    """Forty good cells of eight genes, then one thing wrong."""
    adata = simulate_cells(40, 8, num_batches=2, seed=0)
    adata.X = adata.X.toarray()
    changed = change(adata)
    return adata if changed is None else changed


def set_value(value: float) -> Callable[[anndata.AnnData], None]:
    def change(adata: anndata.AnnData) -> None:
        adata.X[3, 2] = value

    return change


def empty_cells(adata: anndata.AnnData) -> None:
    adata.X[[5, 9]] = 0


def lonely_batch(adata: anndata.AnnData) -> None:
    adata.obs["batch"] = ["alone", *["crowd"] * 39]


def missing_batch(adata: anndata.AnnData) -> None:
    adata.obs.loc["cell 4", "batch"] = np.nan


def missing_age(adata: anndata.AnnData) -> None:
    adata.obs["age"] = np.arange(40.0)
    adata.obs.loc["cell 7", "age"] = np.nan


def text_age(adata: anndata.AnnData) -> None:
    adata.obs["age"] = ["old"] * 40


def twin_cells(adata: anndata.AnnData) -> None:
    adata.obs_names = ["cell 1", *adata.obs_names[1:]]


def twin_genes(adata: anndata.AnnData) -> None:
    adata.var_names = ["gene 1", *adata.var_names[1:]]


def negative_factor(adata: anndata.AnnData) -> None:
    adata.obs["factor"] = 1.0
    adata.obs.loc["cell 2", "factor"] = -1.0


BAD_SETUPS: dict[str, tuple[Callable[[anndata.AnnData], Any], dict[str, Any], str]] = {
    "normalised": (set_value(0.5), {}, "adata.X has"),
    "negative": (set_value(-2), {}, "negative"),
    "nan": (set_value(np.nan), {}, "NaN"),
    "infinite": (set_value(np.inf), {}, "infinite"),
    "empty cells": (empty_cells, {}, "2 cells with no counts, 'cell 5', 'cell 9'"),
    "missing layer": (lambda a: None, {"layer": "counts"}, "adata has no layer 'counts'"),
    "missing raw": (lambda a: None, {"layer": "raw"}, "adata has no raw counts"),
    "missing batch column": (lambda a: None, {"batch_key": "donor"}, "adata.obs has no column 'donor'"),
    "missing covariate": (lambda a: None, {"categorical_covariate_keys": ["sex"]}, "adata.obs has no column 'sex'"),
    "covariate not in a list": (lambda a: None, {"categorical_covariate_keys": "batch"}, "must be a list of columns"),
    "column named twice": (
        lambda a: None,
        {"batch_key": "batch", "categorical_covariate_keys": ["batch"]},
        "The column 'batch' is named 2 times",
    ),
    "batch of one cell": (lonely_batch, {"batch_key": "batch"}, "'alone'"),
    "batch missing": (missing_batch, {"batch_key": "batch"}, "'cell 4'"),
    "covariate missing": (missing_age, {"continuous_covariate_keys": ["age"]}, "'cell 7'"),
    "covariate of text": (text_age, {"continuous_covariate_keys": ["age"]}, "adata.obs['age']"),
    "duplicate cells": (twin_cells, {}, "repeated cell name, 'cell 1'"),
    "duplicate genes": (twin_genes, {}, "repeated gene name, 'gene 1'"),
    "size factor": (negative_factor, {"size_factor_key": "factor"}, "'cell 2'"),
    "no cells": (lambda a: a[:0].copy(), {}, "adata has no cells"),
    "one cell": (lambda a: a[:1].copy(), {}, "adata has one cell, 'cell 0'"),
    "no genes": (lambda a: a[:, :0].copy(), {}, "has no genes"),
    "view": (lambda a: a[:20], {}, "adata is a view of another AnnData"),
    "no AnnData": (lambda a: a.X, {}, "An AnnData is needed, not a ndarray"),
    "a frame": (lambda a: pd.DataFrame(a.X), {}, "An AnnData is needed, not a DataFrame"),
    "layer no text": (lambda a: None, {"layer": 3}, "layer must be a name or None"),
}


@pytest.mark.parametrize("name", BAD_SETUPS)
def test_bad_set_ups(name: str) -> None:
    change, options, sentence = BAD_SETUPS[name]
    adata = damaged(change)
    with pytest.raises(UserError, match=re.escape(sentence)) as caught:
        SingleCellVMM.setup_anndata(adata, **options)
    # Says the mend after the fact, in one line.
    assert re.search(r": \w|, adata = |; |is needed", str(caught.value))
    assert "\n" not in str(caught.value)
    if isinstance(adata, anndata.AnnData):
        assert SETUP_KEY not in adata.uns


def test_values_that_are_not_whole_can_be_allowed(fit: Fit, tmp_path: Path) -> None:
    adata = damaged(lambda a: None)
    adata.X = adata.X * 0.9
    with pytest.raises(UserError, match="allow_non_counts=True"):
        SingleCellVMM.setup_anndata(adata)
    SingleCellVMM.setup_anndata(adata, allow_non_counts=True)
    model = fit(adata, num_components=5)
    model.save(tmp_path)
    np.testing.assert_array_equal(SingleCellVMM.load(tmp_path, adata).predict(), model.predict(adata))


def test_a_backed_file_of_dense_counts_is_refused_by_name(tmp_path: Path) -> None:
    adata = simulate_cells(20, 5)
    adata.X = adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with pytest.raises(UserError, match=r"cells.h5ad stores adata.X as a dense array, .* read it into memory"):
        SingleCellVMM.setup_anndata(backed)
    backed.file.close()


def test_genes_without_counts_bring_a_warning() -> None:
    adata = damaged(lambda a: None)
    adata.X[:, 3] = 0
    adata.X[:, 0] += 1
    with pytest.warns(DataWarning, match="'gene 3'"):
        SingleCellVMM.setup_anndata(adata)
    SingleCellVMM(adata)  # says it no second time: warnings are errors here


def test_counts_changed_after_the_set_up_are_checked_again() -> None:
    adata = damaged(lambda a: None)
    SingleCellVMM.setup_anndata(adata)
    adata.X[0, 0] = -1
    with pytest.raises(UserError, match="negative"):
        SingleCellVMM(adata)


BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "likelihood": ({"gene_likelihood": "gaussian"}, "gene_likelihood='gaussian' is not known"),
    "dispersion": ({"dispersion": "cell"}, "dispersion='cell' is not known"),
    "latent": ({"n_latent": 0}, "n_latent is 0"),
    "latent fraction": ({"n_latent": 2.5}, "n_latent is 2.5: it must be a whole number"),
    "components": ({"num_components": -1}, "num_components is -1"),
    "too many components": ({"num_components": 41}, "num_components=41 is more than the 36 cells trained on"),
    "prior": ({"prior": "laplace"}, "prior='laplace' is not known"),
    "inference": ({"prior_inference": "mcmc"}, "prior_inference='mcmc' is not known"),
    "weights": ({"weights": "softmax"}, "'softmax'"),
    "prior weight": ({"prior_weight": 0}, "prior_weight is 0"),
    "normalization": ({"normalization": "group"}, "normalization must be"),
    "dropout": ({"dropout_rate": 1.0}, "dropout must be at least 0"),
    "covariance": ({"covariance": "spherical"}, "covariance='spherical' is not known"),
    "hidden": ({"n_hidden": 0}, "n_hidden is 0"),
    "evidence weight": (
        {"evidence_weight": -1.0},
        "evidence_weight is -1.0: it must be a positive number of observations, or None",
    ),
    "merging": (
        {"merging": "overlap"},
        "merging is 'overlap': choose one of 'contact', 'misclassification', 'valleys', 'evidence', 'none'",
    ),
    "gradient": ({"responsibility_gradient": "half"}, "responsibility_gradient='half' is not known"),
    "centres": ({"centre_uncertainty": "half"}, "centre_uncertainty='half' is not known"),
    "dispersion of Poisson": (
        {"dispersion": "gene-batch", "gene_likelihood": "poisson"},
        "Poisson counts have no dispersion",
    ),
}
LATE = {"too many components", "normalization", "dropout", "covariance"}
"""Found when the networks are made, at the start of train(); all others when the model is."""


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_options(name: str, fit: Fit) -> None:
    options, sentence = BAD_OPTIONS[name]
    adata = damaged(lambda a: None)
    SingleCellVMM.setup_anndata(adata, batch_key="batch")
    with pytest.raises(UserError, match=re.escape(sentence)):
        (fit if name in LATE else SingleCellVMM)(adata, **{"num_components": 5} | options)


def test_size_factors_and_inferred_library_sizes_exclude_each_other() -> None:
    adata = damaged(lambda a: None)
    adata.obs["factor"] = 1.0
    SingleCellVMM.setup_anndata(adata, size_factor_key="factor")
    with pytest.raises(UserError, match=r"adata.obs\['factor'\].*leave one of the two out"):
        SingleCellVMM(adata, use_observed_lib_size=False)


BAD_TRAINING: dict[str, tuple[dict[str, Any], str]] = {
    "epochs": ({"max_epochs": 0}, "max_epochs is 0"),
    "batch size": ({"batch_size": 0}, "batch_size is 0"),
    "batch size one": ({"batch_size": 1}, "batch normalisation needs at least 2 cells"),
    "train size": ({"train_size": 0.0}, "train_size is 0.0"),
    "train size above": ({"train_size": 1.5}, "train_size is 1.5"),
    "learning rate": ({"learning_rate": -1.0}, "positive learning rate"),
    "schedule": ({"learning_rate_schedule": "step"}, "learning_rate_schedule='step' is not known"),
    "accelerator": ({"accelerator": "abacus"}, "accelerator='abacus' is not known"),
    "patience": ({"patience": 0}, "patience is 0"),
}


@pytest.mark.parametrize("name", BAD_TRAINING)
def test_bad_training_options(name: str, cells: anndata.AnnData, fit: Fit) -> None:
    options, sentence = BAD_TRAINING[name]
    with pytest.raises(UserError, match=re.escape(sentence)):
        fit(cells, train=options)


def test_an_anndata_without_set_up_and_a_damaged_note() -> None:
    adata = damaged(lambda a: None)
    with pytest.raises(UserError, match=r"adata was not set up: call SingleCellVMM.setup_anndata\(adata, ...\) first"):
        SingleCellVMM(adata)
    for note in ("{", "[]", '{"layer": 3, "allow_non_counts": false}', '{"evil": 1, "allow_non_counts": false}', "{}"):
        adata.uns[SETUP_KEY] = note
        with pytest.raises(UserError):
            SingleCellVMM(adata)
    with pytest.raises(UserError, match="An AnnData is needed, not a list"):
        SingleCellVMM([1, 2])  # type: ignore[arg-type]


def test_new_cells_must_fit_the_model(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    unseen = cells[:20].copy()
    unseen.obs["batch"] = "batch 9"
    with pytest.raises(UserError, match="'batch 9'"):
        fitted.predict(unseen)
    with pytest.raises(UserError, match="lacks 1 of the model's 40 genes, 'gene 39'"):
        fitted.predict(cells[:, :39].copy())
    with pytest.raises(UserError, match="the model's genes in another order"):
        fitted.predict(cells[:, ::-1].copy())
    without = cells[:20].copy()
    del without.obs["batch"]
    with pytest.raises(UserError, match=r"adata\.obs has no column 'batch'"):
        fitted.predict(without)
    # A single cell, and one that is a view, are fine.
    assert fitted.predict(cells[3]).shape == (1,)


def test_bad_queries(fitted: SingleCellVMM) -> None:
    for call, sentence in (
        (lambda: fitted.get_normalized_expression(gene_list=["gene 99"]), "The model has no gene 'gene 99'"),
        (lambda: fitted.get_normalized_expression(gene_list="gene 9"), "gene_list must be a list"),
        (lambda: fitted.get_normalized_expression(transform_batch="Mars"), "transform_batch='Mars' is no batch"),
        (lambda: fitted.get_normalized_expression(library_size=0), "library_size is 0"),
        (lambda: fitted.get_normalized_expression(library_size="big"), "library_size is 'big'"),  # type: ignore[arg-type]
        (lambda: fitted.get_latent_representation(indices=[300]), "indices go from 300 to 300"),
        (lambda: fitted.get_latent_representation(indices=[0.5]), "indices must be row numbers"),
        (
            lambda: fitted.get_latent_representation(indices=[True, False]),
            "indices is a Boolean mask of shape (2,), but there are 300",
        ),
        (lambda: fitted.posterior_predictive_sample(n_samples=0), "n_samples is 0"),
        (lambda: fitted.get_marginal_ll(n_mc_samples=0), "n_mc_samples is 0"),
        (lambda: fitted.predict(num_clusters=0), "num_clusters"),
    ):
        with pytest.raises(UserError, match=re.escape(sentence)):
            call()


def test_a_checkpoint_of_another_model_or_of_other_data(cells: anndata.AnnData, fit: Fit, tmp_path: Path) -> None:
    fit(cells, train={"watchers": [CheckpointWriter(tmp_path, every_seconds=0.0)]})
    going_on = {"max_epochs": 3, "resume": tmp_path}
    assert fit(cells, train=going_on).history["step"]["step"].iloc[-1] == 15
    for options in ({"n_latent": 2}, {"num_components": 5}, {"prior": "standard-normal"}, {"gene_likelihood": "nb"}):
        with pytest.raises(UserError, match=r"training was begun with .*: resume with the same options"):
            fit(cells, train=going_on, **options)
    others = cells.copy()
    others.X.data += 1
    with pytest.raises(UserError, match="made with other data"):
        fit(others, train=going_on)


def test_one_cell_cannot_be_trained_on(fitted: SingleCellVMM, cells: anndata.AnnData, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    model = SingleCellVMM.load(tmp_path / "model", cells[:1].copy())
    with pytest.raises(UserError, match="one cell to train on: batch normalisation needs at least 2"):
        model.train(max_epochs=1)


def test_folders_that_hold_no_single_cell_model(fitted: SingleCellVMM, cells: anndata.AnnData, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model"):
        SingleCellVMM.load(tmp_path, cells)
    fitted.save(tmp_path / "cells")
    with pytest.raises(
        UserError, match=r"holds a single-cell model: load it with SingleCellVMM.load\(directory, adata\)"
    ):
        VMM.load(tmp_path / "cells")
    VMM(latent_dim=2, num_components=5, hidden=(8,), max_epochs=1, device="cpu").fit(
        np.random.default_rng(0).random((30, 4), dtype=np.float32)
    ).save(tmp_path / "arrays")
    with pytest.raises(UserError, match=r"holds a model of arrays: load it with VMM.load\(directory\)"):
        SingleCellVMM.load(tmp_path / "arrays", cells)
    with pytest.raises(UserError, match="lacks 1 of the model's 40 genes"):
        SingleCellVMM.load(tmp_path / "cells", cells[:, 1:].copy())
    text = (tmp_path / "cells" / "config.json").read_text()
    (tmp_path / "cells" / "config.json").write_text(text.replace('"gene_names"', '"gene"'))
    with pytest.raises(UserError, match="is damaged or not of this version"):
        SingleCellVMM.load(tmp_path / "cells", cells)
