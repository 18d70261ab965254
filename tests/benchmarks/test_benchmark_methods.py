"""What the tables compare does what it says."""

import numpy as np
import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import NearestCentroid

from benchmarks.datasets import labels, observations
from benchmarks.harness import Trial
from benchmarks.methods.arrays import epochs_for
from benchmarks.methods.classical import gaussian_mixture_by_bic
from benchmarks.methods.joint import optimise_jointly
from benchmarks.methods.released_protocol import fit_stopping_on_labels
from benchmarks.run import Run
from pyro_vmm.infer.partition import partition_parameters
from pyro_vmm.modalities.arrays import Arrays
from pyro_vmm.random_states import draw_seed
from pyro_vmm.single_cell import simulate_cells
from pyro_vmm.training import split_rows

CELLS = {"kind": "cells", "num_cells": 60, "num_genes": 12, "num_groups": 3, "num_batches": 2}


def test_cells_come_without_what_they_were_simulated_from() -> None:
    seen = observations(CELLS, 3)
    assert list(seen.obs.columns) == ["batch"]
    assert not seen.obsm
    assert not seen.layers
    assert not seen.var.columns.size
    truth = simulate_cells(60, 12, num_groups=3, num_batches=2, seed=3)
    assert (seen.X != truth.X).nnz == 0
    assert (labels(CELLS, 3) == truth.obs["group"].to_numpy()).all()
    assert (labels(CELLS, 4) != labels(CELLS, 3)).any()


def test_many_cells_are_in_the_order_of_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.datasets.CELLS_AT_ONCE", 300)
    source = {"kind": "many-cells", "num_cells": 1000, "num_genes": 80, "num_groups": 4}
    x, y = np.log1p(observations(source, 0).X.toarray()), labels(source, 0)
    assert len(x) == len(y) == 1000
    for part in (slice(0, 300), slice(900, 1000)):
        assert NearestCentroid().fit(x, y).score(x[part], y[part]) > 0.9


@pytest.mark.parametrize("kind", ["wine", "mixed-columns", "digits"])
def test_arrays_and_labels_are_as_long(kind: str) -> None:
    source = {"kind": kind} | ({"num_observations": 150} if kind == "mixed-columns" else {})
    x, y = observations(source, 0), labels(source, 0)
    assert x.ndim == 2
    assert len(x) == len(y)
    assert (observations(source, 0) == x).all()


def test_equal_steps_whatever_the_minibatch() -> None:
    for batch_size in (32, 100, 1024):
        steps_per_epoch = -(-1620 // batch_size)
        epochs = epochs_for(600, 1800, batch_size)
        assert 600 <= epochs["max_epochs"] * steps_per_epoch < 600 + steps_per_epoch
        assert 150 <= epochs["patience"] * steps_per_epoch < 150 + steps_per_epoch


def test_bic_finds_the_number_of_plain_gaussians() -> None:
    x, y = make_blobs(300, 3, centers=4, cluster_std=0.5, random_state=0)
    (clusters, probability), numbers = gaussian_mixture_by_bic(x, 0, most_components=8, starts=1)
    assert numbers["components_in_use"] == 4
    assert adjusted_rand_score(y, clusters) > 0.99
    assert probability.min() > 0.5


def test_joint_optimisation_adds_the_hyper_prior_to_the_elbo_and_to_training_alone() -> None:
    x = torch.rand(40, 6)
    options = Arrays.with_defaults({"latent_dim": 2, "num_components": 5, "prior_weight": 64.0, "hidden": (8,)})
    modality, observations = Arrays.learn(x, options)
    model, guide = modality.build(observations, 5)
    loss, plain = Trace_ELBO(), []
    for mode in (True, False):
        model.train(mode)
        torch.manual_seed(0)
        plain.append(loss.differentiable_loss(model.fitted, guide.forward, x))
    before = partition_parameters(model, guide)
    optimise_jointly(model)
    after = partition_parameters(model, guide)
    assert not after.prior
    assert set(after.elbo) == set(before.elbo) | set(before.prior)
    for mode, alternating in zip((True, False), plain, strict=True):
        model.train(mode)
        torch.manual_seed(0)
        joint = loss.differentiable_loss(model.fitted, guide.forward, x)
        expected = -model.prior.hyper_log_prob() * len(x) / 64.0 if mode else torch.zeros(())
        torch.testing.assert_close(joint - alternating, expected, atol=1e-3, rtol=1e-4)
        if mode:
            joint.backward()
            assert all(parameter.grad is not None for parameter in before.prior.values())
    assert not list(pyro.get_param_store().keys())


def test_the_released_protocol_keeps_the_epoch_that_labels_choose() -> None:
    source = {"kind": "digits", "num_observations": 500}
    x, y = observations(source, 0), labels(source, 0)
    model = {"num_components": 20, "hidden": (32,), "learning_rate": 3e-3, "max_epochs": 12, "batch_size": 64}
    fitted = fit_stopping_on_labels(x, y, {"model": model, "patience": 4}, Run(0))
    _, held_out = split_rows(len(x), 0.1, draw_seed(0))
    kept = normalized_mutual_info_score(y[held_out], fitted.clusters[held_out])
    assert kept == pytest.approx(fitted.numbers["validation_nmi"], abs=1e-9)
    assert fitted.numbers["epochs"] <= min(12, fitted.numbers["best_epoch"] + 4)
    other = fit_stopping_on_labels(x, y[::-1].copy(), {"model": model, "patience": 4}, Run(0))
    assert other.numbers["validation_nmi"] != fitted.numbers["validation_nmi"]


def test_digests_tell_definitions_apart() -> None:
    trial = Trial("a", {"kind": "wine"}, "m", "vmm", {"model": {"hidden": (8, 8)}})
    assert trial.digest == Trial("a", {"kind": "wine"}, "m", "vmm", {"model": {"hidden": [8, 8]}}).digest
    assert trial.digest != Trial("a", {"kind": "wine"}, "m", "vmm", {"model": {"hidden": [8, 9]}}).digest
