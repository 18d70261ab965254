"""Cells, covariates, options, training and queries of ``SingleCellVMM``, beside those in ``tests/single_cell``."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.single_cell.simulation import simulate_cells
from pyro_vmm.training import CheckpointWriter

TEXT = pd.Series(["text"]).dtype  # object before pandas 3
SMALL: dict[str, Any] = {"n_latent": 2, "num_components": 4, "n_hidden": 8}
SHORT: dict[str, Any] = {"max_epochs": 1, "batch_size": 20}


def make_cells() -> anndata.AnnData:
    return simulate_cells(60, 10, num_groups=2, num_batches=2, seed=1)


@pytest.fixture(scope="module")
def cells() -> anndata.AnnData:
    adata = make_cells()
    SingleCellVMM.setup_anndata(adata, batch_key="batch")
    return adata


@pytest.fixture(scope="module")
def fitted(cells: anndata.AnnData) -> SingleCellVMM:
    model = SingleCellVMM(cells, **SMALL)
    model.train(**SHORT)
    return model


def told(call: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


K = "adata.obs['k']"
CONTINUOUS = f"{K} (continuous_covariate_keys)"
FACTOR = f"{K} (size_factor_key)"
CONVERT = f"convert it, as with {K}.astype(float)"
SET_RIGHT = "set them right or remove those cells."
LIST = "give a list of columns, or None."
COVARIATES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "one name as two types": (
        [1] * 30 + ["1"] * 30,
        {"batch_key": "k"},
        f"{K} has '1' as int and str: make them one, as with {K}.astype(str).",
    ),
    "a number beyond float32": (
        [1e300] * 30 + [0] * 30,
        {"continuous_covariate_keys": ["k"]},
        f"{CONTINUOUS} has 30 infinite values, the first at cell 'cell 0': {SET_RIGHT}",
    ),
    "infinite": (
        [np.inf] * 60,
        {"continuous_covariate_keys": ["k"]},
        f"{CONTINUOUS} has 60 infinite values, the first at cell 'cell 0': {SET_RIGHT}",
    ),
    "complex": (
        [1j] * 60,
        {"continuous_covariate_keys": ["k"]},
        f"{CONTINUOUS} is not numeric (dtype complex128, first value '1j'): {CONVERT}, or give it in "
        "categorical_covariate_keys.",
    ),
    "categories as numbers": (
        pd.Categorical(["1", "2"] * 30),
        {"continuous_covariate_keys": ["k"]},
        f"{CONTINUOUS} is not numeric (dtype category, first value '1'): {CONVERT}, or give it in "
        "categorical_covariate_keys.",
    ),
    "factor zero": (
        [0.0] * 60,
        {"size_factor_key": "k"},
        f"{FACTOR} has 60 zero or negative values, the first at cell 'cell 0': size factors must be above 0, so recompute "
        "them or remove those cells.",
    ),
    "factor missing": (
        [np.nan] * 60,
        {"size_factor_key": "k"},
        f"{FACTOR} has 60 missing (NaN) values, the first at cell 'cell 0': fill them in or remove those cells.",
    ),
    "factor of text": (
        ["a"] * 60,
        {"size_factor_key": "k"},
        f"{FACTOR} is not numeric (dtype {TEXT}, first value 'a'): {CONVERT}.",
    ),
    "factor infinite": (
        [np.inf] * 60,
        {"size_factor_key": "k"},
        f"{FACTOR} has 60 infinite values, the first at cell 'cell 0': {SET_RIGHT}",
    ),
    "a number for a list": (None, {"categorical_covariate_keys": 3}, f"categorical_covariate_keys is 3: {LIST}"),
    "a set, which has no order": (
        None,
        {"continuous_covariate_keys": {"k"}},
        f"continuous_covariate_keys is {{'k'}}: {LIST}",
    ),
    "no name": (
        None,
        {"categorical_covariate_keys": [None]},
        "A covariate is named by None, which is not text: give the name of a column.",
    ),
}


@pytest.mark.parametrize("name", COVARIATES)
def test_covariates(name: str) -> None:
    values, options, sentence = COVARIATES[name]
    adata = make_cells()
    if values is not None:
        adata.obs["k"] = values
    assert told(lambda: SingleCellVMM.setup_anndata(adata, **options)) == sentence


EXACT = "counts up to 16777216 (2**24) are exact in float32, so check these."
NUMBERS = "but counts must be numbers: convert it, as with astype(int)."
MATRICES: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "large": (lambda x: x + 2.0**30, "adata.X has 600 too large values, the first "),
    "whole and larger than any float": (lambda x: x.astype(np.int64) + 2**60, "adata.X has 600 too large values"),
    "complex": (lambda x: x.astype(complex), f"adata.X has dtype complex128, {NUMBERS}"),
    "text": (lambda x: x.astype(str), f"adata.X has dtype <U32, {NUMBERS}"),
    "objects": (lambda x: x.astype(object), f"adata.X has dtype object, {NUMBERS}"),
    "masked": (lambda x: np.ma.masked_equal(x, 0.0), "adata.X has"),
    "nothing": (lambda x: None, "adata.X is empty (None): put the counts there."),
}


@pytest.mark.parametrize("name", MATRICES)
def test_matrices(name: str) -> None:
    change, sentence = MATRICES[name]
    good = make_cells()
    adata = anndata.AnnData(change(good.X.toarray()), obs=good.obs, var=good.var)
    assert sentence in told(lambda: SingleCellVMM.setup_anndata(adata))


WHOLE = "it must be a whole number, at least 1"
RATE = "it must be a positive learning rate."
OPTIONS: list[tuple[str, Any, str]] = [
    *(
        (name, value, f"{name} is {value!r}: {WHOLE}.")
        for name in ("num_components", "n_hidden", "n_layers")
        for value in (0, 2.5, "a", True, None)
    ),
    *(
        ("n_latent", value, f"n_latent is {value!r}: {WHOLE}, or None for as many as the cells allow.")
        for value in (0, 2.5, "a", True)
    ),
    *(
        ("dropout_rate", value, f"dropout must be at least 0 and less than 1, but {value!r} was given.")
        for value in (-1, 1, "a", None, float("nan"))
    ),
    *(
        ("prior_weight", value, f"prior_weight is {value!r}: it must be a positive number of observations.")
        for value in ("a", None, float("nan"))
    ),
    *(
        (
            "evidence_weight",
            value,
            f"evidence_weight is {value!r}: it must be a positive number of observations, or None.",
        )
        for value in ("a", float("nan"), 0)
    ),
    *(
        ("random_state", value, f"random_state is {value!r}: it must be a whole number from 0 to 4294967295.")
        for value in ("a", -1, 2.5, None, 2**70, True)
    ),
    *(
        (name, value, f"{name} is {value!r}: it must be True or False.")
        for name in ("use_observed_lib_size", "low_precision")
        for value in ("no", None, 0)
    ),
    ("weights", [1], "weights=[1] is not known: choose one of 'stick-breaking', 'dirichlet'."),
    (
        "merging",
        ["evidence"],
        "merging is ['evidence']: choose one of 'contact', 'misclassification', 'valleys', 'evidence', 'none'.",
    ),
]


@pytest.mark.parametrize(("name", "value", "sentence"), OPTIONS, ids=[f"{case[0]}={case[1]!r}" for case in OPTIONS])
def test_options(name: str, value: Any, sentence: str, cells: anndata.AnnData) -> None:
    assert told(lambda: SingleCellVMM(cells, **SMALL | {name: value}).train(**SHORT)) == sentence


FROM_0 = "it must be a whole number, at least 0."
TRAINING: list[tuple[str, Any, str]] = [
    *(("max_epochs", v, f"max_epochs is {v!r}: {WHOLE}, or None for enough.") for v in (0, -1, 2.5, "a")),
    *(("batch_size", v, f"batch_size is {v!r}: {WHOLE}.") for v in (0, 2.5, "a", None)),
    *(("train_size", v, f"train_size is {v!r}: it must be above 0 and at most 1.") for v in (0, "a", float("nan"))),
    *(("patience", v, f"patience is {v!r}: {WHOLE}, or None for 500 steps.") for v in (0, 2.5, "a")),
    *(("learning_rate", v, f"learning_rate is {v!r}: {RATE}") for v in (0, "a", None, float("nan"))),
    *(("prior_learning_rate", v, f"prior_learning_rate is {v!r}: {RATE}") for v in (0, "a")),
    *(
        ("weight_rate", v, f"weight_rate is {v!r}: it must be a positive multiple of the prior's learning rate.")
        for v in (0, -1, "a", None, float("nan"))
    ),
    *(("kl_warmup_steps", v, f"kl_warmup_steps is {v!r}: {FROM_0}") for v in (-1, 2.5, "a", None)),
    *(
        (
            "standard_normal_steps",
            v,
            f"standard_normal_steps is {v!r}: it must be a whole number, at least 0, or None for the default.",
        )
        for v in (-1, 2.5, "a")
    ),
    *(("accelerator", v, f"accelerator={v!r} is not known: choose 'auto', 'cpu' or 'cuda'.") for v in (None, 3, "tpu")),
    ("resume", 3, "resume is 3: give the path of a folder."),
]


@pytest.mark.parametrize(("name", "value", "sentence"), TRAINING, ids=[f"{case[0]}={case[1]!r}" for case in TRAINING])
def test_training_that_cannot_begin_leaves_the_model_as_it_was(
    name: str, value: Any, sentence: str, cells: anndata.AnnData
) -> None:
    model = SingleCellVMM(cells, **SMALL)
    assert told(lambda: model.train(**SHORT | {name: value})) == sentence
    assert model.module is None
    assert model.guide is None


def test_after_a_training_that_failed_the_next_gives_the_same_numbers(
    cells: anndata.AnnData, fitted: SingleCellVMM, tmp_path: Path
) -> None:
    class Break:
        def step_ended(self, trainer: Any) -> None:
            raise RuntimeError("power cut")

        def epoch_ended(self, trainer: Any) -> None:
            pass

    model = SingleCellVMM(cells, **SMALL)
    with pytest.raises(RuntimeError, match="power cut"):
        model.train(**SHORT, watchers=[Break()])
    assert "holds no checkpoint" in told(lambda: model.train(**SHORT, resume=tmp_path))
    assert told(model.get_elbo) == "The model is not trained yet: call train() first."
    model.train(**SHORT)
    np.testing.assert_array_equal(model.get_latent_representation(), fitted.get_latent_representation())
    kept = fitted.get_latent_representation()
    told(lambda: fitted.train(**SHORT, resume=tmp_path))
    np.testing.assert_array_equal(fitted.get_latent_representation(), kept)


def test_a_cosine_ends_where_it_was_meant_to(cells: anndata.AnnData, tmp_path: Path) -> None:
    cosine = SHORT | {"learning_rate_schedule": "cosine", "max_epochs": 2}
    SingleCellVMM(cells, **SMALL).train(**cosine, watchers=[CheckpointWriter(tmp_path, every_steps=2)])
    sentence = told(lambda: SingleCellVMM(cells, **SMALL).train(**cosine | {"max_epochs": 3}, resume=tmp_path))
    assert sentence == (
        "The checkpoint was made with the learning-rate schedule CosineDecay(steps=6, warmup=0, end=0.0), not "
        "CosineDecay(steps=9, warmup=0, end=0.0): resume with the same schedule and, where that is a cosine, the same "
        "max_epochs."
    )
    SingleCellVMM(cells, **SMALL).train(**cosine, resume=tmp_path)


BATCHES = "choose among 'batch 0', 'batch 1'"
ROWS = "indices must be row numbers or a Boolean mask of 60 cells, but are"
LIBRARY = "give a positive number of counts, or 'latent'."
QUERIES: list[tuple[str, dict[str, Any], str]] = [
    *(
        ("get_normalized_expression", {"library_size": v}, f"library_size is {v!r}: {LIBRARY}")
        for v in (0, -1, float("nan"), float("inf"), None, "1", True, [1.0])
    ),
    *(
        (
            "get_normalized_expression",
            {"transform_batch": v},
            f"transform_batch={name!r} is no batch of the model: {BATCHES}.",
        )
        for v, name in (("Mars", "Mars"), (3, 3), (["batch 0", "Mars"], "Mars"), (pd.Index(["Mars"]), "Mars"))
    ),
    (
        "get_normalized_expression",
        {"transform_batch": []},
        f"transform_batch names no batch: {BATCHES}, or None for each cell's own.",
    ),
    ("get_normalized_expression", {"gene_list": [3]}, "The model has no gene 3: give names among model.gene_names."),
    ("get_normalized_expression", {"gene_list": 3}, "gene_list is 3: give a list of genes, or None for all."),
    (
        "posterior_predictive_sample",
        {"gene_list": {"gene 1"}},
        "gene_list is {'gene 1'}: give a list of genes, or None for all.",
    ),
    *(("get_normalized_expression", {"n_samples": v}, f"n_samples is {v!r}: {FROM_0}") for v in (-1, 2.5, "a", None)),
    *(("posterior_predictive_sample", {"n_samples": v}, f"n_samples is {v!r}: {WHOLE}.") for v in (-1, 2.5, "a", None)),
    *(("get_marginal_ll", {"n_mc_samples": v}, f"n_mc_samples is {v!r}: {WHOLE}.") for v in (-1, 2.5, "a", None)),
    *(("predict_proba", {"num_samples": v}, f"num_samples is {v!r}: {FROM_0}") for v in (-1, 2.5, "a", None)),
    *(
        (
            method,
            {"indices": []},
            "indices choose no cell, and a mean needs one: give at least one row, or None for all.",
        )
        for method in ("get_elbo", "get_reconstruction_error", "get_marginal_ll")
    ),
    *(("predict", {"indices": v}, f"{ROWS} {v!r}.") for v in ([0.0], "a", ["cell 1"], {1, 2})),
    ("predict", {"indices": np.array([[1]])}, f"{ROWS} array([[1]])."),
    ("predict", {"indices": np.array([1], dtype=object)}, f"{ROWS} array([1], dtype=object)."),
    ("predict", {"indices": [60]}, "indices go from 60 to 60, but there are 60 cells: rows count from 0."),
    ("predict", {"indices": [-61, 2]}, "indices go from -61 to 2, but there are 60 cells: rows count from 0."),
    (
        "predict",
        {"indices": [True] * 59},
        "indices is a Boolean mask of shape (59,), but there are 60 cells: give one value a cell.",
    ),
    *(("save", {"directory": v}, f"directory is {v!r}: give the path of a folder.") for v in (None, 3, "a\0b")),
    ("annotate", {"adata": None}, "An AnnData is needed, not a NoneType: give the one to write into."),
]


@pytest.mark.parametrize(
    ("method", "options", "sentence"), QUERIES, ids=[f"{place} {case[0]}" for place, case in enumerate(QUERIES)]
)
def test_queries(method: str, options: dict[str, Any], sentence: str, fitted: SingleCellVMM) -> None:
    assert told(lambda: getattr(fitted, method)(**options)) == sentence


def test_what_cannot_be_loaded(fitted: SingleCellVMM, cells: anndata.AnnData, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    load = SingleCellVMM.load
    assert told(lambda: load(None, cells)) == "directory is None: give the path of a folder."
    assert told(lambda: load(tmp_path, cells, colour=1)) == "SingleCellVMM has no option 'colour': leave it out."
    needed = "An AnnData is needed, not a {}: read one with anndata.read_h5ad(path)."
    assert told(lambda: load(tmp_path)) == (
        f"{tmp_path} holds no cells (adata.h5ad): give them, load(directory, adata), or save with save_anndata=True."
    )
    assert told(lambda: load(tmp_path, False)) == needed.format("bool")  # type: ignore[arg-type]
    assert told(lambda: load(tmp_path, "cells.h5ad")) == "There is no file cells.h5ad: check the path."


def test_numbers_and_lists_of_every_library_are_taken(fitted: SingleCellVMM) -> None:
    expected = fitted.get_normalized_expression(library_size=100.0, transform_batch=["batch 1", "batch 0"])
    for size in (100, np.int64(100), np.float32(100), np.float64(100)):
        for batches in (
            ("batch 1", "batch 0"),
            np.array(["batch 1", "batch 0"]),
            pd.Index(["batch 1", "batch 0"]),
            pd.Series(["batch 1", "batch 0"]),
            pd.Categorical(["batch 1", "batch 0"]),
        ):
            found = fitted.get_normalized_expression(library_size=size, transform_batch=batches)  # type: ignore[arg-type]
            pd.testing.assert_frame_equal(found, expected)
    one = fitted.get_normalized_expression(transform_batch=np.str_("batch 1"))
    pd.testing.assert_frame_equal(one, fitted.get_normalized_expression(transform_batch="batch 1"))
    genes = pd.Index(["gene 3", "gene 1"])
    assert fitted.get_normalized_expression(gene_list=genes).columns.tolist() == genes.tolist()


def test_rows_keep_their_order_and_names(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    latent, names = fitted.get_latent_representation(), cells.obs_names.to_numpy()
    rows = np.random.default_rng(0).permutation(60)[:20]
    twice = np.concatenate([rows, rows[:5]])
    mask = np.isin(np.arange(60), rows)
    for indices, chosen in (
        (twice, twice),
        (twice.tolist(), twice),
        (pd.Index(twice), twice),
        (pd.Series(twice, index=twice + 7), twice),
        (torch.from_numpy(twice), twice),
        (twice.astype(np.uint8), twice),
        (twice - 60, twice),
        (mask, np.flatnonzero(mask)),
        (pd.Series(mask, index=names), np.flatnonzero(mask)),
        (slice(50, 10, -3), np.arange(50, 10, -3)),
        (range(5), np.arange(5)),
        (np.int64(4), [4]),
        ([], []),
    ):
        np.testing.assert_allclose(fitted.get_latent_representation(indices=indices), latent[chosen], atol=1e-6)
        assert fitted.get_normalized_expression(indices=indices).index.tolist() == list(names[chosen])
    view = cells[rows]
    np.testing.assert_allclose(fitted.get_latent_representation(view), latent[rows], atol=1e-6)
    assert fitted.get_normalized_expression(view).index.tolist() == names[rows].tolist()
    unused = cells[rows].copy()
    unused.obs["batch"] = unused.obs["batch"].astype("category").cat.set_categories(["Mars", "batch 1", "batch 0"])
    np.testing.assert_allclose(fitted.get_latent_representation(unused), latent[rows], atol=1e-6)


def test_cells_numbered_instead_of_named_keep_their_numbers() -> None:
    adata = make_cells()
    adata.obs.index = pd.RangeIndex(100, 160)
    SingleCellVMM.setup_anndata(adata, batch_key="batch")
    model = SingleCellVMM(adata, **SMALL)
    model.train(**SHORT)
    assert model.get_normalized_expression(indices=[3, 1]).index.tolist() == ["103", "101"]
    assert re.fullmatch(r"adata\.X has 1 cell with no counts, '105': remove it, .*", told(lambda: empty(adata, model)))


def empty(adata: anndata.AnnData, model: SingleCellVMM) -> Any:
    counts = adata.X.toarray()
    counts[5] = 0
    adata.X = counts
    return model.predict(adata)
