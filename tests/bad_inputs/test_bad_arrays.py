"""Arrays, options and queries of ``VMM`` that cannot be used, each with the whole sentence that its user reads."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pyro_vmm import VMM, UserError
from pyro_vmm.infer import NonFiniteError
from pyro_vmm.priors import GaussianMixture
from pyro_vmm.training import CheckpointWriter

SMALL: dict[str, Any] = {
    "latent_dim": 2,
    "num_components": 4,
    "hidden": (8,),
    "max_epochs": 1,
    "batch_size": 16,
    "device": "cpu",
    "random_state": 0,
}
X = (np.random.default_rng(0).random((40, 5)) > 0.5).astype(np.float32)
X[0, 0] = 1.0


def with_value(value: float, dtype: Any = np.float64) -> Any:
    x = X.astype(dtype)
    x[3, 2] = value
    return x


ONE = "at observation 3 (counting from 0), column 2"
FILL = "fill them in or drop those observations."
NAN = f"X has 1 missing (NaN) and 0 infinite values, the first {ONE}: {FILL}"
SHAPE = (
    "Reshape your data either using array.reshape(-1, 1) if your data has a single feature or array.reshape(1, -1) if"
)
SCALAR = f"Expected 2D array, got scalar array instead. {SHAPE} it contains a single sample."
FLAT = f"Expected 2D array, got 1D array instead. {SHAPE} it contains a single sample."
COMPLEX = "Complex data not supported: give real parts or magnitudes."
TEXT = "dtype='numeric' is not compatible with arrays of bytes/strings.Convert your data to numeric values explicitly instead."

TABLE = "an array, data frame, sparse matrix or tensor [observations, features]"

ARRAYS: dict[str, tuple[Any, str]] = {
    "one dimension": (X[:, 0], FLAT),
    "no dimension": (np.float32(1), SCALAR),
    "a number": (3, f"X is 3: give {TABLE}."),
    "nothing": (None, f"X is None: give {TABLE}."),
    "a name": ("digits", f"X is 'digits': read the file first, and give {TABLE}."),
    "a path": (Path("x.csv"), f"X is {Path('x.csv')!r}: read the file first, and give {TABLE}."),
    "bytes": (b"abc", f"X is b'abc': read the file first, and give {TABLE}."),
    "a dictionary": ({"a": [1, 2]}, f"X is a dict: give {TABLE}."),
    "a set": ({1, 2}, f"X is a set: give {TABLE}."),
    "a generator": ((row for row in X), f"X is a generator: give {TABLE}."),
    "a data loader": (
        DataLoader(TensorDataset(torch.tensor(X))),
        "X is a DataLoader of torch: give all its observations as one tensor [observations, features], such as "
        "torch.cat([batch[0] for batch in loader]) where it yields (observations, labels).",
    ),
    "a data set": (
        TensorDataset(torch.tensor(X)),
        "X is a TensorDataset of torch: give all its observations as one tensor [observations, features], such as "
        "torch.stack([item[0] for item in dataset]).flatten(1) where its items are (observation, label).",
    ),
    "cells": (
        AnnData(X),
        "X is an AnnData: give it to SingleCellVMM, or an array of it, such as adata.obsm['X_pca'].",
    ),
    "a record array": (np.zeros(4, dtype=[("a", "f4"), ("b", "f4")]), FLAT),
    "three dimensions": (X[:, :, None], "Found array with dim 3: reshape it to [observations, features]."),
    "no observations": (X[:0], "Found array with 0 sample(s) (shape=(0, 5)) while a minimum of 2 is required by VMM."),
    "one observation": (X[:1], "Found array with 1 sample(s) (shape=(1, 5)) while a minimum of 2 is required by VMM."),
    "no features": (X[:, :0], "Found array with 0 feature(s) (shape=(40, 0)) while a minimum of 1 is required by VMM."),
    "text": (X.astype(str), TEXT),
    "lists of text": ([["1", "2"], ["3", "4"]], TEXT),
    "objects": (np.array([["a"] * 2] * 3, dtype=object), "could not convert string to float: 'a'"),
    "complex": (X.astype(complex), COMPLEX),
    "sparse and complex": (sparse.csr_matrix(X.astype(complex)), COMPLEX),
    "NaN": (with_value(np.nan), NAN),
    "NaN in float16": (with_value(np.nan, np.float16), NAN),
    "NaN in a sparse matrix": (sparse.csr_matrix(with_value(np.nan)), NAN),
    "NaN in a sparse array by columns": (sparse.csc_array(with_value(np.nan)), NAN),
    "NaN in a tensor": (torch.tensor(with_value(np.nan)), NAN),
    "infinity": (with_value(np.inf), NAN.replace("1 missing (NaN) and 0", "0 missing (NaN) and 1")),
    "minus infinity": (with_value(-np.inf), NAN.replace("1 missing (NaN) and 0", "0 missing (NaN) and 1")),
    "beyond float32": (with_value(1e39), f"X has 1 values too large for float32, the first {ONE}: rescale the data."),
    "masked": (
        np.ma.masked_equal(X, 1.0)[:2],
        f"X has {int((X[:2] == 1).sum())} masked values: fill them or drop their observations first.",
    ),
    "dates": (
        np.zeros((4, 2), "m8[s]"),
        "X has dtype timedelta64[s], which is not numeric: convert it to numbers first.",
    ),
    "a frame with text": (
        pd.DataFrame({"a": ["x", "y"] * 20, "b": 1.0}),
        "X has columns that are not real numbers, 'a': drop or encode them first.",
    ),
    "a frame with categories": (
        pd.DataFrame({"a": pd.Categorical(["x", "y"] * 20), "b": 1.0}),
        "X has columns that are not real numbers, 'a': drop or encode them first.",
    ),
    "a frame with dates": (
        pd.DataFrame({"day": pd.to_datetime(["2020-01-01"] * 40)}),
        "X has columns that are not real numbers, 'day': drop or encode them first.",
    ),
    "a frame of nothing": (
        pd.DataFrame({"a": [None] * 40, "b": 1.0}),
        "X has columns that are not real numbers, 'a': drop or encode them first.",
    ),
    "a frame with a column twice": (
        pd.DataFrame(X, columns=list("aabcd")),
        "X has more than one column called 'a': give each its own name.",
    ),
    "a frame with names of two types": (
        pd.DataFrame(X, columns=["a", 1, 2, 3, 4]),
        "X has column names of several types: make all of them text, X.columns.astype(str).",
    ),
    "a frame with a hole": (
        pd.DataFrame(with_value(np.nan), columns=list("abcde"), index=[f"row {i}" for i in range(40)]),
        "X has 1 missing (NaN) and 0 infinite values, the first at observation 3 (counting from 0) named 'row 3', "
        f"column 'c': {FILL}",
    ),
    "pandas' own missing value": (
        pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
        f"X has 1 missing (NaN) and 0 infinite values, the first at observation 1 (counting from 0), column 'a': {FILL}",
    ),
    "a complex tensor": (
        torch.tensor(X).to(torch.complex64),
        "X is complex, but observations must be real: give its real part or magnitude.",
    ),
    "a tensor without data": (
        torch.zeros(4, 3, device="meta"),
        "X is a tensor without data (on the device 'meta'): give one with values.",
    ),
    "a flat tensor": (
        torch.zeros(4),
        "X has one dimension, shape (4,), but [observations, features] are needed: use X.reshape(-1, 1) for one feature or "
        "X.reshape(1, -1) for one observation.",
    ),
    "grey values up to 255": (
        X * 255,
        "likelihood='bernoulli' needs values in [0, 1], but the data range over [0, 255], first outside at observation 0 "
        "(counting from 0), feature 0, where the value is 255: scale to [0, 1] or choose likelihood='normal'.",
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name: str) -> None:
    x, sentence = ARRAYS[name]
    model = VMM(**SMALL)
    with pytest.raises(UserError) as caught:
        model.fit(x)
    assert str(caught.value) == sentence
    assert not [attribute for attribute in vars(model) if attribute.endswith("_")], "half a fit is left"


FRACTION = "needs whole numbers, but 1 values are not, the first at observation 3 (counting from 0), feature 2, where the value is"
NEGATIVE = "needs values in [0, inf), but the data range over [-1, 1], first outside at observation 3 (counting from 0), feature 2"
VALUES: dict[str, tuple[Any, dict[str, Any], str]] = {}
for likelihood in ("poisson", "nb", "zinb"):
    VALUES[f"{likelihood}: a fraction"] = (
        with_value(0.25),
        {"likelihood": likelihood},
        f"likelihood='{likelihood}' {FRACTION} 0.25: give raw counts, not normalised values.",
    )
    VALUES[f"{likelihood}: negative"] = (
        with_value(-1),
        {"likelihood": likelihood},
        f"likelihood='{likelihood}' {NEGATIVE}, where the value is -1: give raw counts, not normalised values.",
    )
    VALUES[f"{likelihood}: a count that float32 would round"] = (
        np.where(np.arange(200).reshape(40, 5) == 17, 2**24 + 1, 1),
        {"likelihood": likelihood},
        f"likelihood='{likelihood}' takes counts below 16777216 (2**24), which are exact in float32, but at observation 3 "
        "(counting from 0), feature 2, the value is 1.67772e+07: check it, or choose likelihood='normal'.",
    )
    VALUES[f"{likelihood}: standardised"] = (
        X,
        {"likelihood": likelihood, "standardize": True},
        f"standardize=True would turn counts into fractions, but likelihood='{likelihood}' is for counts: leave it False.",
    )


@pytest.mark.parametrize("name", VALUES)
def test_values_that_a_likelihood_cannot_take(name: str) -> None:
    x, options, sentence = VALUES[name]
    with pytest.raises(UserError) as caught:
        VMM(**SMALL | options).fit(x)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("likelihood", ["normal", "student-t"])
def test_values_too_large_for_any_network_end_the_training_in_one_sentence(likelihood: str) -> None:
    model = VMM(**SMALL | {"likelihood": likelihood})
    with pytest.raises(NonFiniteError, match="look for extreme values in the data"):
        model.fit(with_value(3e38))
    assert not hasattr(model, "model_")
    assert np.isfinite(VMM(**SMALL | {"likelihood": likelihood, "standardize": True}).fit(with_value(3e38)).score(X))


WHOLE = "it must be a whole number, at least 1"
RATE = "it must be a positive learning rate."
DOMAIN = "is not known: choose 'free', 'positive' or a pair (low, high)."
FRACTION_OUT = "it must be at least 0 and below 1."
PRIORS = "is not known: choose 'vamp-mixture', 'gaussian-mixture', 'vamp-prior' or 'standard-normal'."
LIKELIHOODS = (
    "is not known: choose one of 'bernoulli', 'continuous-bernoulli', 'normal', 'student-t', 'poisson', 'nb', 'zinb'."
)
DEVICES = "is not known: choose 'auto', 'cpu' or 'cuda'."
NETWORKS = "is not known: choose 'mlp' or 'conv' or give a torch module."
SEED = "it must be a whole number from 0 to 4294967295."
OPTIONS: list[tuple[str, Any, str]] = [
    *(("latent_dim", value, f"latent_dim is {value!r}: {WHOLE}.") for value in (0, -1, 2.5, "2", None, True)),
    ("latent_dim", 10**12, "latent_dim is 1000000000000: it must be a whole number, at most 32768."),
    *(("num_components", value, f"num_components is {value!r}: {WHOLE}.") for value in (0, 2.5, "4", None, True)),
    (
        "num_components",
        37,
        "num_components=37 is more than the 36 observations that pseudo-inputs start from: choose at most 36, or "
        "prior='gaussian-mixture'.",
    ),
    *(("prior", value, f"prior={value!r} {PRIORS}") for value in ("x", None, 3)),
    *(
        ("prior_inference", v, f"prior_inference={v!r} is not known: choose 'map-dp', 'map' or 'mle'.")
        for v in ("x", None)
    ),
    *(
        ("weights", v, f"weights={v!r} is not known: choose one of 'stick-breaking', 'dirichlet'.")
        for v in ("x", None, [0.5, 0.5])
    ),
    *(
        ("prior_weight", v, f"prior_weight is {v!r}: it must be a positive number of observations.")
        for v in (0, -1.0, float("nan"), float("inf"), "a", None)
    ),
    (
        "responsibility_gradient",
        "x",
        "responsibility_gradient='x' is not known: choose 'stopped' or 'differentiated'.",
    ),
    (
        "centre_uncertainty",
        "x",
        "centre_uncertainty='x' is not known: choose 'none', 'integrated' or 'expected'.",
    ),
    *(("likelihood", value, f"likelihood={value!r} {LIKELIHOODS}") for value in ("x", None, 3, ["normal"])),
    *(
        ("likelihood_options", v, f"likelihood_options is {v!r}: give a dictionary of keywords, or None.")
        for v in ([1], "x", {1: 2})
    ),
    (
        "likelihood_options",
        {"colour": 1},
        "likelihood='bernoulli' has no option 'colour': it takes 'pixels_per_feature'.",
    ),
    *(
        ("likelihood_options", {"pixels_per_feature": v}, f"pixels_per_feature is {v!r}: {WHOLE}.")
        for v in (0, 2.5, "a", float("nan"))
    ),
    (
        "likelihood_options",
        {"choice": 1},
        "likelihood='bernoulli' has no option 'choice': it takes 'pixels_per_feature'.",
    ),
    *(
        (
            "likelihood_options",
            {name: v},
            f"likelihood_options gives {name}={v!r}, and for these data it is {needed}: leave it out.",
        )
        for name, needed, v in (("num_features", 5, 3), ("num_batches", 1, 2), ("num_features", 5, "a"))
    ),
    ("covariance", "x", "covariance='x' is not known: choose 'full' or 'diagonal'."),
    *(("encoder", value, f"encoder={value!r} {NETWORKS}") for value in ("x", None, 3)),
    *(("decoder", value, f"decoder={value!r} {NETWORKS}") for value in ("x", None)),
    ("encoder", nn.Linear(5, 3), "encoder makes [2, 3] of [2, 5]: give a module from [B, 5] to [B, 5]."),
    ("decoder", nn.Linear(2, 4), "decoder makes [2, 4] of [2, 2]: give a module from [B, 2] to [B, 5]."),
    *(("hidden", v, f"A width in hidden is {v[0]!r}: {WHOLE}.") for v in ((0,), (-1,), (2.5,), ("a",), (True,))),
    *(("hidden", v, f"hidden is {v!r}: give the widths of the layers, such as (256, 256).") for v in (8, "ab")),
    *(
        ("pseudo_input_domain", v, f"domain={v!r} {DOMAIN}")
        for v in ("x", None, 3, (1, 0), (0,), (0, np.inf), ("a", "b"))
    ),
    (
        "pseudo_input_domain",
        (0.0, 0.5),
        "Pseudo-inputs start between 0 and 1, outside their domain (0.0, 0.5): give a domain that holds the data.",
    ),
    *(("standardize", value, f"standardize is {value!r}: it must be True or False.") for value in ("yes", None, 1)),
    *(("low_precision", value, f"low_precision is {value!r}: it must be True or False.") for value in ("a", None)),
    *(
        ("learning_rate", v, f"learning_rate is {v!r}: {RATE}")
        for v in (0, -1.0, float("nan"), float("inf"), "a", None)
    ),
    *(("prior_learning_rate", v, f"prior_learning_rate is {v!r}: {RATE}") for v in (0, -1.0, float("nan"), "a")),
    *(("batch_size", value, f"batch_size is {value!r}: {WHOLE}.") for value in (0, -1, 2.5, "a", None, True)),
    *(("max_epochs", value, f"max_epochs is {value!r}: {WHOLE}, or None for enough.") for value in (0, -1, 2.5, "a")),
    *(
        ("patience", value, f"patience is {value!r}: {WHOLE}, or None to train to the last epoch.")
        for value in (0, -1, 2.5, "a", float("nan"))
    ),
    *(
        ("validation_fraction", value, f"validation_fraction is {value!r}: {FRACTION_OUT}")
        for value in (-0.1, 1, 1.5, float("nan"), "a", None)
    ),
    *(
        (name, value, f"{name} is {value!r}: it must be a whole number, at least 0.")
        for name in ("kl_warmup_steps", "prior_rest_steps")
        for value in (-1, 2.5, "a", None)
    ),
    *(
        ("learning_rate_schedule", v, f"learning_rate_schedule={v!r} is not known: choose 'constant' or 'cosine'.")
        for v in ("x", None)
    ),
    *(("device", value, f"device={value!r} {DEVICES}") for value in ("x", None, 3, "mps")),
    *(("random_state", value, f"random_state is {value!r}: {SEED}") for value in (-1, "a", 2.5, 2**40)),
]


@pytest.mark.parametrize(
    ("name", "value", "sentence"), OPTIONS, ids=[f"{case[0]}={case[1]!r}"[:40] for case in OPTIONS]
)
def test_options(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        VMM(**SMALL | {name: value}).fit(X)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("name", "module", "width"), [("encoder", nn.Linear(4, 5), 5), ("decoder", nn.Linear(3, 5), 2)]
)
def test_modules_that_cannot_take_what_they_will_be_given(name: str, module: nn.Module, width: int) -> None:
    with pytest.raises(UserError) as caught:
        VMM(**SMALL | {name: module}).fit(X)
    # Between the brackets stands torch's own reason, whose wording changes with its releases.
    assert str(caught.value).startswith(f"{name} cannot take [2, {width}] (")
    assert str(caught.value).endswith(f"): give a module from [B, {width}] to [B, 5].")
    assert "\n" not in str(caught.value)


WATCHERS = "give a list of objects with the methods step_ended and epoch_ended, such as [CheckpointWriter(folder)]."


@pytest.mark.parametrize("watchers", [None, 3, "ab", [1], CheckpointWriter("x")])
def test_watchers(watchers: Any) -> None:
    with pytest.raises(UserError) as caught:
        VMM(**SMALL).fit(X, watchers=watchers)
    assert str(caught.value) == f"watchers is {watchers!r}: {WATCHERS}"


@pytest.mark.parametrize("folder", [3, ["x"], "a\0b"])
def test_folders_to_resume_from(folder: Any) -> None:
    with pytest.raises(UserError) as caught:
        VMM(**SMALL).fit(X, resume=folder)
    assert str(caught.value) == f"resume is {folder!r}: give the path of a folder."


def test_images_of_another_size() -> None:
    with pytest.raises(UserError) as caught:
        VMM(**SMALL, encoder="conv", decoder="conv", image_shape=(4, 5)).fit(X)
    assert str(caught.value) == (
        "image_shape (4, 5) is of images with 20 values, but X has 5 features: make the two equal."
    )


def test_a_prior_of_other_dimensions() -> None:
    with pytest.raises(UserError) as caught:
        VMM(**SMALL | {"prior": GaussianMixture(3, 4)}).fit(X)
    assert str(caught.value) == "The prior has 3 latent dimensions, not latent_dim=2: make them equal."


@pytest.fixture(scope="module")
def fitted() -> VMM:
    return VMM(**SMALL).fit(X)


FROM_0, FROM_1 = "it must be a whole number, at least 0.", f"{WHOLE}."
QUERIES: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    *(
        ("predict_proba", (X,), {"num_samples": v}, f"num_samples is {v!r}: {FROM_0}")
        for v in (-1, 2.5, "a", None, True)
    ),
    *(("sample", (v,), {}, f"n_samples is {v!r}: {FROM_1}") for v in (0, -1, 2.5, "a", None, True, float("nan"))),
    *(
        ("sample", (2,), {"component": v}, f"component {v!r} does not exist: choose 0 to 3.")
        for v in (-1, 4, 2.5, "a", True, [0])
    ),
    *(("score_samples", (X,), {"num_samples": v}, f"num_samples is {v!r}: {FROM_1}") for v in (0, -1, 2.5, "a", None)),
    ("transform", (X[0],), {}, FLAT),
    ("transform", (X[:, :4],), {}, "X has 4 features, but VMM is expecting 5 features as input."),
    ("predict", (X[:0],), {}, "Found array with 0 sample(s) (shape=(0, 5)) while a minimum of 1 is required by VMM."),
    ("predict", (with_value(np.nan),), {}, NAN),
    *(
        (
            "merge_tree",
            (X,),
            {"criterion": v},
            f"criterion is {v!r}: give one of overlap, misclassification, evidence, valleys, contact.",
        )
        for v in ("x", None, ["overlap"])
    ),
    *(("save", (v,), {}, f"directory is {v!r}: give the path of a folder.") for v in (None, 3, "a\0b")),
    *(("load", (v,), {}, f"directory is {v!r}: give the path of a folder.") for v in (None, 3, "a\0b")),
    ("load", ("x",), {"colour": 3}, "VMM has no option 'colour': leave it out."),
]


@pytest.mark.parametrize(
    ("method", "arguments", "keywords", "sentence"),
    QUERIES,
    ids=[f"{place} {case[0]} {list(case[2].values())}" for place, case in enumerate(QUERIES)],
)
def test_queries(method: str, arguments: Any, keywords: Any, sentence: str, fitted: VMM) -> None:
    with pytest.raises(UserError) as caught:
        getattr(fitted, method)(*arguments, **keywords)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("wanted", [0, -1, 99, 2.5, "a", True, float("nan")])
def test_numbers_of_clusters(wanted: Any, fitted: VMM) -> None:
    assert fitted.n_clusters_ < (number := 4), "up to the components in use"
    whole = isinstance(wanted, int) and not isinstance(wanted, bool)
    for ask in (fitted.predict, fitted.predict_proba):
        with pytest.raises(UserError) as caught:
            ask(X, num_clusters=wanted)
        assert str(caught.value) == (
            f"num_clusters is {wanted}, but the mixture uses {number} components: give a number in 1..{number}."
            if whole
            else f"num_clusters must be a whole number, not {wanted!r}: give one in 1..{number}."
        )


def test_folders_that_cannot_be_written(fitted: VMM, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "below", "Not a directory")):
        with pytest.raises(UserError) as caught:
            fitted.save(folder)
        assert str(caught.value) == f"{folder} cannot be written ({reason}): choose another folder."
    assert (tmp_path / "file").read_text() == "mine"


def test_what_numpy_calls_numbers_and_read_only_memory_are_taken(fitted: VMM) -> None:
    read_only = X.copy()
    read_only.setflags(write=False)
    expected = fitted.transform(X)
    np.testing.assert_array_equal(VMM(**SMALL).fit(read_only).transform(read_only), expected)
    numpys = {name: np.int64(v) for name, v in SMALL.items() if isinstance(v, int)}
    np.testing.assert_array_equal(
        VMM(**SMALL | numpys | {"learning_rate": np.float64(5e-4)}).fit(X).transform(X), expected
    )
    for same in (torch.tensor(X).bfloat16(), torch.tensor(X).to_sparse(), np.ma.masked_array(X), X.astype(np.float16)):
        np.testing.assert_array_equal(fitted.transform(same), expected)
    assert fitted.sample(np.int64(3), component=np.int64(1)).shape == (3, 5)
    assert fitted.score_samples(X, num_samples=np.int64(3)).shape == (40,)


def test_a_fit_that_fails_leaves_no_half_model_behind() -> None:
    class Break:
        def step_ended(self, trainer: Any) -> None:
            raise RuntimeError("power cut")

        def epoch_ended(self, trainer: Any) -> None:
            pass

    model = VMM(**SMALL)
    with pytest.raises(RuntimeError, match="power cut"):
        model.fit(X, watchers=[Break()])
    with pytest.raises(ValueError, match="not fitted yet"):
        model.predict(X)


def test_rows_keep_their_order_and_names(fitted: VMM) -> None:
    order = np.random.default_rng(1).permutation(40)
    twice = np.concatenate([order, order[:7], [3, 3]])
    frame = pd.DataFrame(X, columns=list("abcde"), index=[f"row {i}" for i in range(40)])
    named = VMM(**SMALL).fit(frame).set_output(transform="pandas")
    for rows in (order, twice, np.flatnonzero(order % 2 == 0)):
        np.testing.assert_allclose(fitted.transform(X[rows]), fitted.transform(X)[rows], atol=1e-6)
        np.testing.assert_allclose(fitted.predict_proba(X[rows]), fitted.predict_proba(X)[rows], atol=1e-6)
        embedded = named.transform(frame.iloc[rows])
        assert embedded.index.tolist() == frame.index[rows].tolist()
        np.testing.assert_allclose(embedded.to_numpy(), fitted.transform(X)[rows], atol=1e-6)
    mask = order % 3 == 0
    np.testing.assert_allclose(fitted.transform(X[mask]), fitted.transform(X)[mask], atol=1e-6)
    np.testing.assert_allclose(fitted.transform(X[::-1]), fitted.transform(X)[::-1], atol=1e-6)
