"""The single-cell facade: shapes, names, batches, storing, and what it leaves alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

import pyro_vmm
from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.errors import OptionWarning
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.fit import fitting
from pyro_vmm.infer import EmpiricalBayesSVI, partition_parameters
from pyro_vmm.modalities.counts import STANDARD_NORMAL_STEPS
from pyro_vmm.priors import GaussianMixture
from pyro_vmm.single_cell.setup import SETUP_KEY
from pyro_vmm.single_cell.simulation import simulate_cells
from pyro_vmm.training import Trainer, split_rows

Fit = Callable[..., SingleCellVMM]


def test_it_is_offered_at_the_top() -> None:
    assert pyro_vmm.SingleCellVMM is SingleCellVMM


def test_shapes_and_meanings(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    latent, proba, clusters = fitted.get_latent_representation(), fitted.predict_proba(), fitted.predict()
    assert latent.shape == (300, 3)
    assert proba.shape == (300, 12)
    for options in ({}, {"num_samples": 3}, {"num_clusters": 1}, {"batch_free": True}):
        given = fitted.predict_proba(**options)
        np.testing.assert_allclose(given.sum(1), 1.0, rtol=0, atol=1e-15)
        assert given.min() >= 0.0
        assert given.max() <= 1.0
    np.testing.assert_array_equal(clusters, proba.argmax(1))
    assert sorted(fitted.component_order_) == list(range(12))
    # Numbered by size, without gaps.
    sizes = np.bincount(clusters)
    assert len(sizes) == fitted.n_clusters_
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()
    assert fitted.weights_.sum() == pytest.approx(1.0, abs=1e-5)
    assert fitted.predict(num_clusters=1).max() == 0
    sampled = fitted.get_latent_representation(give_mean=False)
    assert sampled.shape == latent.shape
    assert not np.array_equal(sampled, latent)


def test_samples_are_new_ones_at_every_call_and_for_every_cell(fitted: SingleCellVMM) -> None:
    def sample(**of: Any) -> NDArray[Any]:
        return fitted.get_latent_representation(give_mean=False, **of)

    assert not np.array_equal(sample(), sample())
    mean = fitted.get_latent_representation()
    alone = [sample(indices=[cell])[0] - mean[cell] for cell in range(20)]
    assert len({tuple(deviation > 0) for deviation in alone}) > 1
    assert not np.array_equal(fitted.posterior_predictive_sample(), fitted.posterior_predictive_sample())
    for draw in (sample, fitted.posterior_predictive_sample):
        torch.manual_seed(3)
        first = draw()
        torch.manual_seed(3)
        np.testing.assert_array_equal(draw(), first)


def test_what_is_drawn_anew_and_what_is_not(fitted: SingleCellVMM) -> None:
    """Draws that are the answer differ from call to call; averages over draws are the same in every call."""
    few = list(range(20))

    def expression(**options: Any) -> NDArray[Any]:
        return fitted.get_normalized_expression(indices=few, **options).to_numpy()

    np.testing.assert_array_equal(expression(), expression())
    np.testing.assert_array_equal(expression(n_samples=2), expression(n_samples=2))
    averages = [expression(), expression(n_samples=1), expression(n_samples=2)]
    assert len({each.tobytes() for each in averages}) == 3
    np.testing.assert_array_equal(
        fitted.predict_proba(indices=few, num_samples=2), fitted.predict_proba(indices=few, num_samples=2)
    )
    counts = fitted.posterior_predictive_sample(indices=few, n_samples=3)
    assert len({counts[..., draw].tobytes() for draw in range(3)}) == 3, "draws of one call differ, too"
    assert not np.array_equal(counts, fitted.posterior_predictive_sample(indices=few, n_samples=3))
    for draw in (
        lambda: fitted.posterior_predictive_sample(indices=few, n_samples=3),
        lambda: fitted.get_latent_representation(indices=few, give_mean=False),
    ):
        torch.manual_seed(1)
        first = draw()
        torch.manual_seed(1)
        np.testing.assert_array_equal(draw(), first)
    # Cells that are the same get draws of their own.
    twins = fitted.posterior_predictive_sample(indices=[0, 0])
    assert not np.array_equal(twins[0], twins[1])
    latents = fitted.get_latent_representation(indices=[0] * 1030, give_mean=False)
    assert len(np.unique(latents, axis=0)) == 1030, "in another block of rows, too"


def test_history_is_a_dictionary_of_frames(fitted: SingleCellVMM) -> None:
    assert {"elbo_train", "elbo_validation", "clusters_in_use", "empirical_bayes_loss"} <= set(fitted.history)
    for of in ("train", "validation"):
        terms = [fitted.history[name][name] for name in (f"reconstruction_loss_{of}", f"kl_local_{of}")]
        np.testing.assert_allclose(fitted.history[f"elbo_{of}"][f"elbo_{of}"], sum(terms))
    components, clusters = (fitted.history[f"{of}_in_use"][f"{of}_in_use"] for of in ("components", "clusters"))
    assert (clusters.dropna() <= components[clusters.notna()]).all()
    assert np.isfinite(clusters.iloc[-1])
    for name, frame in fitted.history.items():
        assert isinstance(frame, pd.DataFrame)
        assert list(frame.columns) == [name]
        assert frame.index.name == "epoch"
        assert frame.index.tolist() == list(range(1, 11))
    losses = fitted.history["elbo_train"]["elbo_train"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_new_cells_are_encoded_as_the_same_cells_were(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    order = np.random.default_rng(0).permutation(300)[:50]
    new = cells[order].copy()
    np.testing.assert_allclose(fitted.predict_proba(new), fitted.predict_proba()[order], atol=1e-5)
    np.testing.assert_allclose(
        fitted.get_latent_representation(new), fitted.get_latent_representation()[order], atol=1e-5
    )
    np.testing.assert_allclose(
        fitted.get_latent_representation(indices=order), fitted.get_latent_representation()[order], atol=1e-5
    )
    mask = np.arange(300) < 7
    np.testing.assert_allclose(
        fitted.get_latent_representation(indices=mask), fitted.get_latent_representation()[:7], atol=1e-5
    )


@pytest.mark.parametrize("container", [csr_array, csc_array, np.asarray])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint16])
def test_the_same_counts_give_the_same_fit_however_they_are_stored(
    container: Any, dtype: Any, cells: anndata.AnnData, fit: Fit
) -> None:
    dense = cells.X.toarray().astype(dtype)
    stored = anndata.AnnData(container(dense), obs=cells.obs.copy(), var=cells.var.copy())
    SingleCellVMM.setup_anndata(stored, batch_key="batch")
    expected, found = fit(cells), fit(stored)
    np.testing.assert_array_equal(expected.get_latent_representation(), found.get_latent_representation())


def test_a_layer_and_raw_are_read(cells: anndata.AnnData, fit: Fit) -> None:
    other = cells.copy()
    other.layers["counts"] = cells.X.copy()
    other.raw = cells
    other.X = np.log1p(cells.X.toarray())
    for layer in ("counts", "raw"):
        SingleCellVMM.setup_anndata(other, layer=layer, batch_key="batch")
        np.testing.assert_array_equal(fit(other).get_latent_representation(), fit(cells).get_latent_representation())


def test_the_callers_anndata_is_left_alone(cells: anndata.AnnData, fit: Fit) -> None:
    adata = simulate_cells(100, 20, seed=3)
    before = adata.copy()
    SingleCellVMM.setup_anndata(adata)
    assert set(adata.uns) - set(before.uns) == {SETUP_KEY}
    model = fit(adata, num_components=5)
    model.get_normalized_expression()
    model.posterior_predictive_sample()
    assert set(adata.uns) - set(before.uns) == {SETUP_KEY}
    np.testing.assert_array_equal(adata.X.toarray(), before.X.toarray())
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)
    assert set(adata.obsm) == set(before.obsm)
    assert set(adata.layers) == set(before.layers)


def test_the_set_up_survives_copies_and_files(cells: anndata.AnnData, fit: Fit, tmp_path: Path) -> None:
    cells.write_h5ad(tmp_path / "cells.h5ad")
    again = anndata.read_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(fit(again).predict(), fit(cells.copy()).predict())


@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson"])
@pytest.mark.parametrize("prior", ["vamp-mixture", "gaussian-mixture", "vamp-prior", "standard-normal"])
def test_every_likelihood_with_every_prior(likelihood: str, prior: str, cells: anndata.AnnData, fit: Fit) -> None:
    model = fit(cells, gene_likelihood=likelihood, prior=prior)
    assert np.isfinite(model.get_elbo())
    assert model.predict_proba().shape == (300, 1 if prior == "standard-normal" else 12)


@pytest.mark.parametrize("observed", [True, False])
@pytest.mark.parametrize("dispersion", ["gene", "gene-batch"])
def test_library_size_and_dispersion(observed: bool, dispersion: str, cells: anndata.AnnData, fit: Fit) -> None:
    model = fit(cells, use_observed_lib_size=observed, dispersion=dispersion, gene_likelihood="nb")
    assert model.module.likelihood.inverse_dispersion.log_value.shape == ((2 if dispersion == "gene-batch" else 1), 40)
    expression = model.get_normalized_expression(library_size="latent")
    totals = expression.sum(axis=1).to_numpy()
    own = cells.X.toarray().sum(1)
    assert observed == np.allclose(totals, own, rtol=1e-4)
    assert model.posterior_predictive_sample(n_samples=3).shape == (300, 40, 3)
    assert model.get_marginal_ll(n_mc_samples=5) >= model.get_elbo() - 1.0


def test_the_marginal_likelihood_is_the_mean_ratio_of_the_samples(
    cells: anndata.AnnData, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratios = np.log([[1.0, 3.0], [5.0, 7.0]])
    monkeypatch.setattr(Evaluation, "log_ratios", lambda *arguments, **options: (ratios, ratios))
    assert fit(cells).get_marginal_ll(n_mc_samples=2) == pytest.approx(np.log([2.0, 6.0]).mean())


def test_an_inferred_library_size_is_nearer_the_truth_than_total_counts(cells: anndata.AnnData, fit: Fit) -> None:
    model = fit(cells, use_observed_lib_size=False, gene_likelihood="nb", train={"max_epochs": 60})
    inferred = np.log(model.get_normalized_expression(library_size="latent").sum(axis=1).to_numpy())
    true, total = np.log(cells.obs["library_size"].to_numpy()), np.log(cells.X.toarray().sum(1))
    # How they vary, not their level: a constant factor can as well be the shares'.
    assert np.corrcoef(inferred, true)[0, 1] > 0.5
    assert np.std(inferred - true) < 0.8 * np.std(total - true)


def test_a_batch_of_few_cells_borrows_what_library_sizes_are_like() -> None:
    adata = simulate_cells(300, 40, seed=0)
    adata.obs["donor"] = ["small"] * 2 + ["other"] * 3 + ["big"] * 295
    SingleCellVMM.setup_anndata(adata, batch_key="donor")
    # A split that trains on neither cell of the small batch, and one that trains on one of them.
    seeds = {
        kept: next(seed for seed in range(999) if (split_rows(300, 0.1, seed)[0] < 2).sum() == kept) for kept in (0, 1)
    }
    library = np.log(np.asarray(adata.X.sum(1)).ravel())
    for kept, seed in seeds.items():
        model = SingleCellVMM(adata, use_observed_lib_size=False, num_components=5, n_hidden=8, random_state=seed)
        model.train(max_epochs=1)
        names = list(model.batch_categories)
        loc, scale = (getattr(model.module, f"library_{name}").numpy() for name in ("loc", "scale"))
        small, big = names.index("small"), names.index("big")
        assert abs(loc[small] - library.mean()) < 3 * library.std(), kept
        assert scale[small] > 0.5 * library.std(), kept
        assert loc[big] == pytest.approx(library.mean(), abs=0.05)
        assert scale[big] == pytest.approx(library.std(), rel=0.05)
        assert model.get_elbo(indices=[0, 1]) > model.get_elbo() - 100.0


def test_priors_without_pseudo_inputs_may_have_more_components_than_cells(cells: anndata.AnnData, fit: Fit) -> None:
    few = cells[:20].copy()
    for prior in ("gaussian-mixture", "standard-normal"):
        assert np.isfinite(fit(few, prior=prior, num_components=30).get_elbo())
    with pytest.raises(UserError, match="num_components=30 is more than the 18 cells"):
        fit(few, num_components=30)


def test_a_batch_may_be_named_as_it_stands_in_the_column(fit: Fit) -> None:
    adata = simulate_cells(60, 20, seed=0)
    adata.obs["donor"] = np.repeat([1.0, 2.0], 30)
    SingleCellVMM.setup_anndata(adata, batch_key="donor")
    model = fit(adata, num_components=5)
    by_name = [model.get_normalized_expression(transform_batch=name) for name in (2.0, 2, "2")]
    for expression in by_name[1:]:
        pd.testing.assert_frame_equal(expression, by_name[0])


def test_expression_has_names_and_scales(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    shares = fitted.get_normalized_expression()
    assert shares.index.tolist() == cells.obs_names.tolist()
    assert shares.columns.tolist() == cells.var_names.tolist()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-5)
    some = fitted.get_normalized_expression(gene_list=["gene 7", "gene 2"], library_size=1e4, indices=[4, 2])
    assert some.shape == (2, 2)
    np.testing.assert_allclose(some, 1e4 * shares.loc[["cell 4", "cell 2"], ["gene 7", "gene 2"]], rtol=1e-4)


def test_transform_batch_decodes_as_of_another_batch(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    own = fitted.get_normalized_expression()
    first = fitted.get_normalized_expression(transform_batch="batch 0")
    second = fitted.get_normalized_expression(transform_batch="batch 1")
    in_first = (cells.obs["batch"] == "batch 0").to_numpy()
    np.testing.assert_allclose(first[in_first], own[in_first], rtol=1e-4)
    np.testing.assert_allclose(second[~in_first], own[~in_first], rtol=1e-4)
    assert np.abs(np.log(first / second)).to_numpy().max() > 0.05
    both = fitted.get_normalized_expression(transform_batch=["batch 0", "batch 1"])
    np.testing.assert_allclose(both, (first + second) / 2, rtol=1e-4)


def test_batch_free_prediction_does_not_depend_on_the_batch(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    other = cells.copy()
    other.obs["batch"] = pd.Categorical(
        ["batch 1" if batch == "batch 0" else "batch 0" for batch in cells.obs["batch"]]
    )
    assert not np.allclose(fitted.predict_proba(other), fitted.predict_proba(), atol=1e-3)
    np.testing.assert_allclose(
        fitted.predict_proba(other, batch_free=True), fitted.predict_proba(batch_free=True), atol=1e-6
    )
    np.testing.assert_allclose(fitted.predict_proba(batch_free=True).sum(1), 1.0, atol=1e-5)


def test_a_single_batch_works_with_and_without_a_key(cells: anndata.AnnData, fit: Fit) -> None:
    alone = cells[cells.obs["batch"] == "batch 0"].copy()
    alone.obs["batch"] = alone.obs["batch"].cat.remove_unused_categories()
    embeddings = []
    for key in (None, "batch"):
        SingleCellVMM.setup_anndata(alone, batch_key=key)
        model = fit(alone)
        assert "batch" not in model.encoding.widths
        embeddings.append(model.get_latent_representation())
        model.predict_proba(batch_free=True)
        model.get_normalized_expression(transform_batch=None if key is None else "batch 0")
    np.testing.assert_array_equal(*embeddings)


def test_further_covariates_reach_encoder_decoder_and_pseudo_inputs(cells: anndata.AnnData, fit: Fit) -> None:
    adata = cells.copy()
    rng = np.random.default_rng(0)
    adata.obs["site"] = rng.choice(["a", "b", "c"], 300)
    adata.obs["age"] = rng.normal(40, 10, 300)
    adata.obs["rin"] = 7
    SingleCellVMM.setup_anndata(
        adata, batch_key="batch", categorical_covariate_keys=["site"], continuous_covariate_keys=["age", "rin"]
    )
    model = fit(adata)
    assert model.encoding.widths == {"batch": 2, "categorical_0": 3, "continuous": 2}
    tensors = model.encoding.tensors(model.cells)
    np.testing.assert_allclose(tensors["continuous"][:, 0].mean(), 0.0, atol=1e-5)
    np.testing.assert_allclose(tensors["continuous"][:, 0].std(correction=0), 1.0, atol=1e-5)
    assert (tensors["continuous"][:, 1] == 0).all()
    assert (tensors["categorical_0"].codes.numpy() == pd.Categorical(adata.obs["site"]).codes).all()
    _, places = model.module.prior.encoded_centres.pseudo_inputs()
    assert {name: tuple(place.shape) for name, place in places.items()} == {
        "batch": (12, 2),
        "categorical_0": (12, 3),
        "continuous": (12, 2),
    }
    torch.testing.assert_close(places["batch"].sum(-1), torch.ones(12))
    moved = adata.copy()
    moved.obs["age"] += 20
    assert not np.allclose(model.get_latent_representation(moved), model.get_latent_representation(), atol=1e-4)


def test_pseudo_inputs_are_counts_with_a_place_among_the_batches_that_is_learned(fitted: SingleCellVMM) -> None:
    inputs, places = fitted.module.prior.encoded_centres.pseudo_inputs()
    assert (inputs > 0).all()
    assert inputs.shape == (12, 40)
    assert not torch.allclose(places["batch"], torch.full((12, 2), 0.5), atol=1e-4)
    names = partition_parameters(fitted.module, fitted.guide).prior
    assert any("covariate_logits.batch" in name for name in names)


def test_size_factors_take_the_place_of_total_counts(cells: anndata.AnnData, fit: Fit) -> None:
    adata = cells.copy()
    totals = np.asarray(cells.X.sum(1)).ravel()
    adata.obs["factor"] = totals / 7.0  # in any unit
    SingleCellVMM.setup_anndata(adata, batch_key="batch", size_factor_key="factor")
    expected = fit(cells).get_latent_representation()
    # The same numbers but for rounding, which two epochs of Adam make larger.
    np.testing.assert_allclose(fit(adata).get_latent_representation(), expected, atol=0.02)
    adata.obs["factor"] = 1.0
    assert not np.allclose(fit(adata).get_latent_representation(), expected, atol=0.1)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(cells: anndata.AnnData, fit: Fit) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second, other = fit(cells), fit(cells), fit(cells, random_state=1)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first.predict_proba(), second.predict_proba())
    assert not np.array_equal(first.predict_proba(), other.predict_proba())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prior": "standard-normal", "gene_likelihood": "poisson"},
        {"use_observed_lib_size": False, "dispersion": "gene-batch", "normalization": "layer", "covariance": "full"},
    ],
)
def test_a_saved_model_comes_back_whole(
    options: dict[str, Any], cells: anndata.AnnData, fit: Fit, tmp_path: Path
) -> None:
    model = fit(cells, **options)
    model.save(tmp_path)
    again = SingleCellVMM.load(tmp_path, cells)
    np.testing.assert_array_equal(model.predict_proba(), again.predict_proba())
    np.testing.assert_array_equal(model.get_latent_representation(), again.get_latent_representation())
    pd.testing.assert_frame_equal(model.get_normalized_expression(), again.get_normalized_expression())
    assert again.get_elbo() == model.get_elbo()
    assert (again.n_clusters_, again.merge_tree_) == (model.n_clusters_, model.merge_tree_)
    for name, frame in model.history.items():
        np.testing.assert_allclose(again.history[name], frame, rtol=1e-12)
    # Half of the cells, one batch alone: codes are still those of the model.
    half = cells[cells.obs["batch"] == "batch 1"].copy()
    np.testing.assert_allclose(SingleCellVMM.load(tmp_path, half).predict_proba(), model.predict_proba(half), atol=1e-6)


def test_a_stored_model_is_joined_by_another_rule_as_another_training_would_be(
    cells: anndata.AnnData, fit: Fit, tmp_path: Path
) -> None:
    joined, apart = (fit(cells, train={"max_epochs": 10}, merging=rule) for rule in ("contact", "none"))
    assert apart.n_clusters_ > joined.n_clusters_
    joined.save(tmp_path)
    anew = SingleCellVMM.load(tmp_path, cells)
    with pytest.raises(UserError, match="merging is 'overlap'"):
        anew.rejoin(merging="overlap")  # type: ignore[arg-type]
    np.testing.assert_array_equal(anew.predict(), joined.predict())
    anew.rejoin(merging="none")
    np.testing.assert_array_equal(anew.predict(), apart.predict())
    np.testing.assert_array_equal(anew.weights_, apart.weights_)
    anew.save(tmp_path, overwrite=True)
    back = SingleCellVMM.load(tmp_path, cells)
    np.testing.assert_array_equal(back.predict(), apart.predict())
    back.rejoin(merging="valleys", evidence_weight=300.0)
    assert (back.options["merging"], back.options["evidence_weight"]) == ("valleys", 300.0)
    with pytest.raises(UserError, match="train"):
        SingleCellVMM(cells).rejoin(merging="none")


def test_two_models_share_nothing(cells: anndata.AnnData, fit: Fit, empty_param_store: None) -> None:
    first = fit(cells)
    before = first.predict_proba()
    fit(cells, random_state=3)
    np.testing.assert_array_equal(first.predict_proba(), before)


def test_training_again_goes_on(cells: anndata.AnnData, fit: Fit) -> None:
    model = fit(cells, train={"early_stopping": False})
    before = model.get_elbo()
    model.train(max_epochs=30, batch_size=64)
    assert model.get_elbo() > before
    for frame in model.history.values():
        assert frame.index.tolist() == list(range(1, 33))


def test_training_that_fails_leaves_the_model_as_it_was(cells: anndata.AnnData, fit: Fit) -> None:
    class Falling:
        def step_ended(self, trainer: Trainer) -> None:
            if trainer.svi.steps_taken > 2:
                raise MemoryError

        def epoch_ended(self, trainer: Trainer) -> None: ...

    model = fit(cells)
    latent, clusters, held_out = model.get_latent_representation(), model.predict(), model.validation_indices
    with pytest.raises(MemoryError):
        model.train(max_epochs=5, batch_size=64, train_size=0.5, watchers=[Falling()])
    np.testing.assert_array_equal(model.get_latent_representation(), latent)
    np.testing.assert_array_equal(model.predict(), clusters)
    np.testing.assert_array_equal(model.validation_indices, held_out)


@pytest.mark.parametrize(("options", "rate"), [({}, 3e-4), ({"prior_learning_rate": 1e-3}, 1e-3)])
def test_the_prior_learns_slower_than_the_networks(
    cells: anndata.AnnData, fit: Fit, monkeypatch: pytest.MonkeyPatch, options: dict[str, float], rate: float
) -> None:
    seen: list[list[float]] = []

    class Noting(EmpiricalBayesSVI):
        def __init__(self, *modules: Any, **given: Any) -> None:
            super().__init__(*modules, **given)
            seen.append([self.optimizers[name].param_groups[0]["lr"] for name in ("elbo", "prior")])

    monkeypatch.setattr(fitting, "EmpiricalBayesSVI", Noting)
    fit(cells, train={"max_epochs": 1, **options})
    assert seen == [pytest.approx([1e-3, rate])]


def test_training_begins_under_a_standard_normal_where_there_is_something_to_join(
    cells: anndata.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float | None]] = []

    class Noting(EmpiricalBayesSVI):
        def __init__(self, *modules: Any, standard_normal_steps: int, **options: Any) -> None:
            precisions = getattr(modules[0].prior, "precisions", None)
            deviation = None if precisions is None else round(1.0 / float(precisions.cholesky().detach()[0, 0, 0]), 4)
            seen.append((standard_normal_steps, deviation))
            super().__init__(*modules, standard_normal_steps=standard_normal_steps, **options)

    monkeypatch.setattr(fitting, "EmpiricalBayesSVI", Noting)

    def begun(model: SingleCellVMM, **options: Any) -> tuple[int, float | None]:
        model.train(max_epochs=1, learning_rate=1e-6, **options)  # of two steps
        return seen.pop()

    def new(adata: anndata.AnnData = cells, **options: Any) -> SingleCellVMM:
        return SingleCellVMM(adata, n_latent=3, num_components=12, n_hidden=32, **options)

    alone, with_depth = cells.copy(), cells.copy()
    with_depth.obs["depth"] = np.linspace(0.0, 1.0, cells.n_obs)
    SingleCellVMM.setup_anndata(alone)
    SingleCellVMM.setup_anndata(with_depth, continuous_covariate_keys=["depth"])
    model, narrow = new(), 0.3333
    assert begun(model) == (1, narrow)
    with torch.no_grad():
        model.module.prior.set_component_scale(2.0)
    assert begun(model) == (0, 2.0)  # it goes on from where it is
    with pytest.warns(OptionWarning, match="Training ends after 2 steps"):
        assert begun(model, standard_normal_steps=7) == (7, 2.0)
    assert begun(new(with_depth)) == (1, narrow)
    assert begun(new(prior="gaussian-mixture")) == (1, narrow)
    assert begun(new(), standard_normal_steps=0) == (0, 1.0)
    assert begun(new(alone)) == (0, 1.0)
    with pytest.warns(OptionWarning, match="last for 7"):
        assert begun(new(alone), standard_normal_steps=7) == (7, narrow)
    assert begun(new(prior="vamp-prior")) == (0, None)
    assert begun(new(prior="standard-normal")) == (0, None)
    long = replace(
        model.modality,
        options={**model.modality.options, "max_epochs": 10 * STANDARD_NORMAL_STEPS, "standard_normal_steps": None},
    )
    assert long.settle(270, model.module.prior)["standard_normal_steps"] == STANDARD_NORMAL_STEPS
    own = GaussianMixture(3, 12)
    own.set_component_scale(0.5)
    assert begun(new(prior=own)) == (1, 0.5)  # its owner has put it there


def test_training_has_not_seen_the_validation_cells(cells: anndata.AnnData, fit: Fit, tmp_path: Path) -> None:
    model = fit(cells)
    held_out = model.validation_indices
    assert held_out is not None
    assert len(np.unique(held_out)) == 30
    changed = cells.copy()
    counts = cells.X.toarray()
    counts[held_out] += 1.0
    changed.X = csr_array(counts)
    other = fit(changed)
    pd.testing.assert_frame_equal(model.history["elbo_train"], other.history["elbo_train"])
    assert not model.history["elbo_validation"].equals(other.history["elbo_validation"])
    model.save(tmp_path)
    np.testing.assert_array_equal(SingleCellVMM.load(tmp_path, cells).validation_indices, held_out)
    assert SingleCellVMM.load(tmp_path, cells[:100].copy()).validation_indices is None
    # What one call has trained on is not held out because another call holds it out.
    model.train(max_epochs=1, train_size=0.5)
    assert len(model.validation_indices) <= 30
    assert set(model.validation_indices) <= set(held_out)
    model.train(max_epochs=1, train_size=1.0)
    assert model.validation_indices.shape == (0,)
    assert SingleCellVMM(cells).validation_indices is None


def test_it_says_in_a_line_what_it_is_of(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    told = "SingleCellVMM(300 cells x 40 genes, prior vamp-mixture, "
    assert repr(SingleCellVMM(cells)) == told + "not trained)"
    plural = "" if fitted.n_clusters_ == 1 else "s"
    assert repr(fitted) == told + f"trained, {fitted.n_clusters_} cluster{plural})"


def test_a_last_minibatch_of_one_cell_is_no_trouble(cells: anndata.AnnData, fit: Fit) -> None:
    for number, batch_size in ((129, 64), (65, 64), (13, 2), (7, 2)):
        part = cells[:number].copy()
        model = fit(part, train={"train_size": 1.0, "batch_size": batch_size}, num_components=7)
        assert np.isfinite(model.history["elbo_train"]["elbo_train"]).all()


def test_the_note_in_uns_is_json(cells: anndata.AnnData) -> None:
    assert json.loads(cells.uns[SETUP_KEY])["batch_key"] == "batch"


def test_a_prior_of_ones_own_is_copied(cells: anndata.AnnData, fit: Fit) -> None:
    prior = pyro_vmm.priors.GaussianMixture(3, 5)
    before = {name: value.clone() for name, value in prior.state_dict().items()}
    model = fit(cells, prior=prior)
    assert model.predict_proba().shape == (300, 5)
    assert all(torch.equal(value, before[name]) for name, value in prior.state_dict().items())


def test_calls_before_training_say_so(cells: anndata.AnnData, tmp_path: Path) -> None:
    model = SingleCellVMM(cells)
    for call in (model.predict, model.get_latent_representation, model.get_elbo, lambda: model.save(tmp_path)):
        with pytest.raises(UserError, match=r"The model is not trained yet: call train\(\) first."):
            call()


def test_a_likelihood_of_ones_own_starts_where_its_owner_put_it(cells: anndata.AnnData) -> None:
    likelihood = pyro_vmm.likelihoods.NegativeBinomial(40)
    likelihood.inverse_dispersion.start_at(torch.full((40,), 7.0))
    started = {}
    for name, choice in (("own", likelihood), ("named", "nb")):
        model = SingleCellVMM(cells, num_components=5, gene_likelihood=choice)
        module, _ = model.modality.build(model.encoding.observations(model.cells), 5)
        started[name] = module.likelihood.inverse_dispersion.log_value.exp().squeeze()
        bias = module.decoder.layers[-1].bias
        assert (bias == 0).all() == (name == "own")
    # log_value is the logarithm before its smooth bound.
    torch.testing.assert_close(started["own"], torch.full((40,), 7.0), rtol=2e-2, atol=0.0)
    assert started["named"].std() > 0.1


def test_a_fit_that_was_kept_stays_whole_when_training_goes_on(cells: anndata.AnnData) -> None:
    model = SingleCellVMM(cells, n_latent=2, num_components=4, n_hidden=8)
    model.train(max_epochs=1)
    module, kept = model.module, model.observe()
    before, clusters = kept.fit.evaluation.posterior_mean(kept.observations), kept.probabilities
    model.train(max_epochs=1)
    assert model.module is module
    np.testing.assert_array_equal(kept.fit.evaluation.posterior_mean(kept.observations), before)
    np.testing.assert_array_equal(kept.fit.observe(cells).probabilities, clusters)
    assert not np.array_equal(model.get_latent_representation(), before)


def test_few_cells_are_embedded_in_fewer_dimensions_unless_it_is_said() -> None:
    few, many = simulate_cells(60, 20, num_groups=2), simulate_cells(1000, 20, num_groups=2)
    for cells in (few, many):
        SingleCellVMM.setup_anndata(cells)
    assert SingleCellVMM(few).options["n_latent"] == 5
    assert SingleCellVMM(many).options["n_latent"] == 10
    assert SingleCellVMM(few, n_latent=10).options["n_latent"] == 10
