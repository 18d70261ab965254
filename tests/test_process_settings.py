"""Settings of the process change neither the numbers of a fit nor are they changed by it."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pyro
import pytest
import sklearn
import torch
from torch import nn

from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.diagnosis import pareto_k
from pyro_vmm.infer import EmpiricalBayesSVI

X = np.random.default_rng(0).normal(size=(70, 4))


@contextlib.contextmanager
def between(change: Callable[[], None], back: Callable[[], None]) -> Iterator[None]:
    change()
    try:
        yield
    finally:
        back()


def default_dtype(dtype: torch.dtype) -> AbstractContextManager[None]:
    return between(lambda: torch.set_default_dtype(dtype), lambda: torch.set_default_dtype(torch.float32))


SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "device": lambda: between(lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)),
    "no gradients": lambda: torch.set_grad_enabled(False),
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "numpy raises": lambda: np.errstate(all="raise"),
    "deterministic": lambda: between(
        lambda: torch.use_deterministic_algorithms(True), lambda: torch.use_deterministic_algorithms(False)
    ),
    "anomalies": lambda: between(
        lambda: torch.autograd.set_detect_anomaly(True), lambda: torch.autograd.set_detect_anomaly(False)
    ),
    "no validation": lambda: pyro.validation_enabled(False),
    "frames": lambda: sklearn.config_context(transform_output="pandas"),
    "strings": lambda: pd.option_context("future.infer_string", True),
}


def state() -> tuple[Any, ...]:
    of_torch = (
        torch.get_default_dtype(),
        torch.empty(0).device,
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
    )
    flags = torch.is_inference_mode_enabled(), torch.are_deterministic_algorithms_enabled()
    return *of_torch, *flags, np.geterr(), torch.is_anomaly_enabled(), list(warnings.filters)


def numbers_of_arrays(folder: Path) -> list[Any]:
    vmm = VMM(num_components=4, latent_dim=2, hidden=(8,), max_epochs=2, batch_size=32, likelihood="normal")
    vmm.set_params(random_state=0, standardize=True).fit(X)
    torch.default_generator.manual_seed(1)
    found = [np.asarray(vmm.transform(X)), vmm.predict_proba(X, num_samples=2), vmm.score_samples(X, 3), vmm.score(X)]
    found += [vmm.sample(3), vmm.sample(2, component=0), vmm.decoded_centres(), vmm.pseudo_inputs()]
    found += [str(vmm.diagnose(X)), vmm.rejoin(X, merging="evidence").labels_, vmm.merge_tree(X).costs]
    vmm.save(folder)
    again = VMM.load(folder)
    found += [np.asarray(again.transform(X))]
    return [*found, *(tensor.detach().numpy() for tensor in again.fit(X).model_.state_dict().values())]


def numbers_of_cells(folder: Path) -> list[Any]:
    counts = np.random.default_rng(0).poisson(2.0, (60, 6)).astype(np.float32)
    obs = pd.DataFrame({"batch": ["a", "b"] * 30, "time": np.arange(60.0)}, index=[f"c{i}" for i in range(60)])
    cells = anndata.AnnData(counts, obs=obs)
    SingleCellVMM.setup_anndata(cells, batch_key="batch", continuous_covariate_keys=["time"])
    model = SingleCellVMM(cells, num_components=3, n_latent=2, n_hidden=8, use_observed_lib_size=False)
    model.train(max_epochs=2, batch_size=32)
    torch.default_generator.manual_seed(1)
    found = [model.get_latent_representation(give_mean=False), model.predict_proba(batch_free=True), model.get_elbo()]
    found += [model.get_normalized_expression(n_samples=2, transform_batch="a").to_numpy()]
    found += [model.posterior_predictive_sample(), model.get_marginal_ll(n_mc_samples=2), str(model.diagnose())]
    found += [str(model.simulation_based_calibration(num_simulations=80))]
    model.save(folder)
    again = SingleCellVMM.load(folder, cells)
    again.train(max_epochs=1, batch_size=32)
    return [*found, *(tensor.detach().numpy() for tensor in again.module.state_dict().values())]


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, list[Any]]:
    return {numbers: numbers(tmp_path_factory.mktemp("usual")) for numbers in (numbers_of_arrays, numbers_of_cells)}


OF_CELLS = ("float64", "device", "no gradients", "inference mode", "numpy raises", "strings")


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize(
    ("name", "numbers"),
    [*((name, numbers_of_arrays) for name in SETTINGS), *((name, numbers_of_cells) for name in OF_CELLS)],
)
def test_numbers_are_those_of_a_fresh_process(
    name: str, numbers: Callable[[Path], list[Any]], usual: dict[Any, list[Any]], tmp_path: Path
) -> None:
    with SETTINGS[name]():
        before = state()
        found = numbers(tmp_path)
        assert state() == before
    for mine, theirs in zip(found, usual[numbers], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_networks_made_under_another_default_type_are_cast() -> None:
    def fitted() -> VMM:
        torch.manual_seed(0)
        single = {"dtype": torch.float32}
        encoder = nn.Sequential(nn.Linear(4, 8, **single), nn.Tanh(), nn.Linear(8, 5, **single))
        options = {"num_components": 3, "latent_dim": 2, "max_epochs": 1, "likelihood": "normal", "random_state": 0}
        return VMM(encoder=encoder.to(torch.get_default_dtype()), **options).fit(X)

    expected = fitted().transform(X)
    with default_dtype(torch.float64):
        vmm = fitted()
    assert {value.dtype for value in vmm.guide_.parameters()} == {torch.float32}
    np.testing.assert_array_equal(vmm.transform(X), expected)


@pytest.mark.parametrize(
    "step", [EmpiricalBayesSVI.step, EmpiricalBayesSVI.elbo_step, EmpiricalBayesSVI.empirical_bayes_step]
)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_step_of_the_bare_loop_records_gradients(mode: Any, step: Any, build_svi: Any, make_data: Any) -> None:
    x, svi = make_data(20), build_svi("vamp-mixture")
    parameters = svi.partition.prior if step is EmpiricalBayesSVI.empirical_bayes_step else svi.partition.elbo
    before = {name: value.detach().clone() for name, value in parameters.items()}
    with mode():
        step(svi, x)
        assert not torch.is_grad_enabled()
    moved = {name for name, value in parameters.items() if not torch.equal(before[name], value)}
    assert moved


def test_numpy_that_raises_does_not_reach_a_diagnostic() -> None:
    ratios = 300.0 * np.random.default_rng(0).normal(size=(2, 60))
    with np.errstate(all="raise"):
        found = pareto_k(ratios)
    np.testing.assert_array_equal(found, pareto_k(ratios))
