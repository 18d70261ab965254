"""NumPy's and torch's numbers, arrays, devices and generators as options: taken, stored, loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from pyro_vmm import VMM, SingleCellVMM, UserError, ppc
from pyro_vmm.infer.schedules import CosineDecay
from pyro_vmm.option_checks import check_boolean, check_positive, check_whole_number
from pyro_vmm.plain_values import plain
from pyro_vmm.training import CheckpointWriter

X = np.random.default_rng(0).random((60, 16), dtype=np.float32)
OF_ARRAYS: dict[str, Any] = {
    "latent_dim": 2,
    "num_components": 4,
    "prior_weight": 100.0,
    "evidence_weight": 50.0,
    "hidden": (8,),
    "likelihood_options": {"pixels_per_feature": 2},
    "pseudo_input_domain": (0.0, 1.0),
    "image_shape": (4, 4),
    "learning_rate": 0.0078125,
    "prior_learning_rate": 0.00390625,
    "batch_size": 32,
    "max_epochs": 2,
    "patience": 5,
    "validation_fraction": 0.25,
    "kl_warmup_steps": 1,
    "prior_rest_steps": 1,
    "standardize": False,
    "low_precision": False,
    "device": "cpu",
    "random_state": 3,
    "verbose": False,
    "prior": "vamp-mixture",
}
OF_CELLS: dict[str, Any] = {
    "n_latent": 2,
    "num_components": 4,
    "gene_likelihood": "nb",
    "prior_weight": 100.0,
    "n_hidden": 8,
    "n_layers": 1,
    "dropout_rate": 0.125,
    "use_observed_lib_size": True,
    "low_precision": False,
    "evidence_weight": 50.0,
    "random_state": 3,
}
OF_TRAINING: dict[str, Any] = {
    "max_epochs": 2,
    "batch_size": 32,
    "train_size": 0.75,
    "early_stopping": True,
    "accelerator": "cpu",
    "patience": 5,
    "learning_rate": 0.0078125,
    "prior_learning_rate": 0.00390625,
    "weight_rate": 2.0,
    "weight_decay": 0.5,
    "kl_warmup_steps": 1,
    "standard_normal_steps": 1,
}


def of_numpy(value: Any) -> Any:
    """The same value as NumPy would hold it; numbers above are exact in float32."""
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int64(value)
    if isinstance(value, float):
        return np.float32(value)
    if isinstance(value, str):
        return torch.device(value) if value == "cpu" else np.str_(value)
    if isinstance(value, tuple):
        return np.array(value)
    return {name: of_numpy(entry) for name, entry in value.items()}


def of_dimension_zero(value: Any) -> Any:
    if isinstance(value, tuple):
        return [of_dimension_zero(entry) for entry in value]
    if isinstance(value, dict):
        return {name: of_dimension_zero(entry) for name, entry in value.items()}
    return value if isinstance(value, str) else np.array(value)


def of_torch(value: Any) -> Any:
    if isinstance(value, tuple):
        return torch.tensor(value)
    if isinstance(value, dict):
        return {name: of_torch(entry) for name, entry in value.items()}
    return value if isinstance(value, str) else torch.tensor(value)


Kind = Callable[[Any], Any]
kinds = pytest.mark.parametrize("kind", [of_numpy, of_dimension_zero, of_torch])


def given(options: dict[str, Any], kind: Kind) -> dict[str, Any]:
    return {name: kind(value) for name, value in options.items()}


def cells() -> AnnData:
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(2, (60, 10)).astype(np.float32))
    obs = pd.DataFrame({"donor": pd.Categorical(["a", "b"] * 30), "age": np.arange(60.0)}, [f"c{i}" for i in range(60)])
    return AnnData(counts, obs=obs)


@pytest.fixture(scope="module")
def plain_fit() -> VMM:
    return VMM(**OF_ARRAYS).fit(X)


@kinds
def test_options_of_arrays(kind: Kind, plain_fit: VMM, tmp_path: Path) -> None:
    model = VMM(**given(OF_ARRAYS, kind)).fit(X, watchers=[CheckpointWriter(str(tmp_path / "checkpoint"))])
    np.testing.assert_array_equal(model.transform(X), plain_fit.transform(X))
    model.save(str(tmp_path / "model"))
    loaded = VMM.load(tmp_path / "model")
    assert loaded.get_params() == model.get_params() == plain_fit.get_params()
    assert [type(value) for value in loaded.get_params().values()] == [
        type(value) for value in plain_fit.get_params().values()
    ]
    np.testing.assert_array_equal(loaded.transform(X), plain_fit.transform(X))
    longer = VMM(**given(OF_ARRAYS | {"max_epochs": 3}, kind)).fit(X, resume=str(tmp_path / "checkpoint"))
    assert longer.n_iter_ == 3


@kinds
def test_options_of_cells(kind: Kind, tmp_path: Path) -> None:
    expected: Any = None
    for number, convert in enumerate((lambda value: value, kind)):
        adata = cells()
        SingleCellVMM.setup_anndata(
            adata,
            batch_key=np.str_("donor"),
            continuous_covariate_keys=np.array(["age"]),
            allow_non_counts=convert(True),
        )
        model = SingleCellVMM(adata, **given(OF_CELLS, convert))
        watchers = [CheckpointWriter(str(tmp_path / f"checkpoint{number}"))]
        model.train(**given(OF_TRAINING, convert), watchers=watchers)
        model.save(tmp_path / str(number))
        loaded = SingleCellVMM.load(str(tmp_path / str(number)), adata)
        assert loaded.options == model.options
        latents = loaded.get_latent_representation(give_mean=convert(True))
        expected = (model.options, latents) if expected is None else expected
        assert model.options == expected[0]
        np.testing.assert_array_equal(latents, expected[1])
    configs = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("0", "1")]
    assert configs[0]["options"] == configs[1]["options"]


@kinds
def test_arguments_of_queries_of_arrays(kind: Kind, plain_fit: VMM) -> None:
    for method, arguments in (
        ("predict_proba", {"num_samples": 3, "num_clusters": 1}),
        ("predict", {"num_clusters": 1}),
        ("score_samples", {"num_samples": 3}),
    ):
        answer = getattr(plain_fit, method)(X, **given(arguments, kind))
        np.testing.assert_array_equal(answer, getattr(plain_fit, method)(X, **arguments))
    assert plain_fit.sample(kind(3), component=kind(1)).shape == (3, 16)
    assert ppc.check(plain_fit, X, num_replicates=kind(2), seed=kind(1)).num_replicates == 2
    with pytest.raises(UserError, match="num_seeds is 1: give at least 2"):
        plain_fit.stability(X, kind(1))


@kinds
def test_arguments_of_queries_of_cells(kind: Kind) -> None:
    adata = cells()
    SingleCellVMM.setup_anndata(adata, batch_key="donor")
    model = SingleCellVMM(adata, n_latent=2, num_components=4, n_hidden=8)
    model.train(max_epochs=1)
    assert model.predict_proba(num_samples=kind(2), num_clusters=kind(1), batch_free=kind(True)).shape == (60, 1)
    assert model.get_latent_representation(give_mean=kind(False)).shape == (60, 2)
    expression = model.get_normalized_expression(
        library_size=kind(2.0), n_samples=kind(2), transform_batch=np.array(["a"]), gene_list=np.array(["0", "3"])
    )
    assert expression.shape == (60, 2)
    assert model.posterior_predictive_sample(n_samples=kind(1)).shape == (60, 10)
    assert np.isfinite(model.get_marginal_ll(n_mc_samples=kind(2)))


@pytest.mark.parametrize("generator", [np.random.default_rng, np.random.RandomState])
def test_generators_draw_the_seed(generator: Any, tmp_path: Path) -> None:
    options = OF_ARRAYS | {"max_epochs": 1}
    first, second = (VMM(**options | {"random_state": generator(5)}).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    shared = generator(5)
    runs = [VMM(**options | {"random_state": shared}).fit(X).transform(X) for _ in range(2)]
    assert not np.array_equal(*runs), "a generator goes on"
    first.save(tmp_path / "model")
    assert VMM.load(tmp_path / "model").random_state is None
    adata = cells()
    SingleCellVMM.setup_anndata(adata)
    seeds = [SingleCellVMM(adata, random_state=generator(5)).options["random_state"] for _ in range(2)]
    assert seeds[0] == seeds[1]
    assert isinstance(seeds[0], int)


def test_a_schedule_and_a_search_take_numpys_numbers() -> None:
    assert repr(CosineDecay(np.int64(10))) == repr(CosineDecay(10))
    model = VMM(**OF_ARRAYS | {"max_epochs": 1}).set_params(latent_dim=np.int64(3))  # as a grid search does
    assert model.fit(X).transform(X).shape == (60, 3)


def test_checks_return_pythons_own() -> None:
    assert type(check_whole_number(np.int8(3), "n")) is int
    assert type(check_positive(torch.tensor(0.5), "rate")) is float
    assert check_boolean(np.array(True), "flag") is True
    for value in (np.bool_(True), torch.tensor(True), np.array([1])):
        with pytest.raises(UserError, match="n is"):
            check_whole_number(value, "n")
    with pytest.raises(UserError, match="flag is 1: it must be True or False"):
        check_boolean(np.int64(1), "flag")


def test_what_is_plain_is_left_alone() -> None:
    for value in (None, 3, "x", (1, 2), [1, 2], {"a": (1,)}, torch.nn.Linear(1, 1), np.random.default_rng()):
        assert plain(value) is value
    assert plain({"a": [np.float32(0.5), (np.int64(1),)]}) == {"a": [0.5, (1,)]}


def test_options_that_are_tables_are_refused() -> None:
    with pytest.raises(UserError, match=r"prior is an array of shape \(1, 2\): give a single value"):
        VMM(**OF_ARRAYS | {"prior": np.array([["a", "b"]])}).fit(X)
