"""Questions by scvi-tools' names and arguments, each held against what it has to be."""

from collections.abc import Callable
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import spearmanr

from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.modalities.count_expression import shares
from pyro_vmm.single_cell.simulation import simulate_cells

FEW = list(range(30))


@pytest.fixture(scope="module")
def inferring(cells: anndata.AnnData, fit: Callable[..., SingleCellVMM]) -> SingleCellVMM:
    """A model that infers library sizes."""
    return fit(cells, use_observed_lib_size=False, covariance="full", gene_likelihood="nb")


def test_means_are_those_of_single_cells(fitted: SingleCellVMM) -> None:
    elbo = fitted.get_elbo(return_mean=False)
    assert elbo.shape == (300,)
    assert elbo.mean() == pytest.approx(fitted.get_elbo(), rel=2e-3)
    error = fitted.get_reconstruction_error(return_mean=False)["reconstruction_loss"]
    assert error.shape == (300,)
    mean = fitted.get_reconstruction_error()
    assert error.mean() == pytest.approx(mean, rel=2e-3)
    assert mean["reconstruction_loss"] == float(mean)
    with pytest.raises(KeyError):
        mean["elbo"]
    evidence = fitted.get_marginal_ll(return_mean=False, n_mc_samples=10)
    assert evidence.shape == (300,)
    assert evidence.mean() == pytest.approx(fitted.get_marginal_ll(n_mc_samples=10))
    assert evidence.mean() > elbo.mean()


def test_batch_sizes_bound_memory_and_change_no_answer(fitted: SingleCellVMM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    posterior = fitted.guide.posterior

    def counted(x: torch.Tensor, **covariates: torch.Tensor) -> Any:
        seen.append(len(x))
        return posterior(x, **covariates)

    monkeypatch.setattr(fitted.guide, "posterior", counted)
    whole = fitted.get_latent_representation()
    assert max(seen) == 300
    seen.clear()
    np.testing.assert_allclose(fitted.get_latent_representation(batch_size=64), whole, rtol=0, atol=1e-5)
    expression = fitted.get_normalized_expression(batch_size=64)
    fitted.get_elbo(batch_size=64)
    fitted.get_marginal_ll(batch_size=64, n_mc_samples=2)
    fitted.posterior_predictive_sample(batch_size=64)
    fitted.get_likelihood_parameters(batch_size=64)
    assert max(seen) == 64
    np.testing.assert_allclose(expression, fitted.get_normalized_expression(), rtol=1e-4)
    with pytest.raises(UserError, match=r"^batch_size is 0: it must be a whole number, at least 1"):
        fitted.get_elbo(batch_size=0)


@pytest.mark.parametrize("which", ["fitted", "inferring"])
def test_the_posterior_has_a_mean_and_a_variance(which: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(which)
    mean, variance = model.get_latent_representation(return_dist=True)
    np.testing.assert_array_equal(mean, model.get_latent_representation())
    torch.manual_seed(0)
    draws = np.stack([model.get_latent_representation(indices=FEW, give_mean=False) for _ in range(400)])
    np.testing.assert_allclose(draws.var(0) / variance[FEW], 1.0, atol=0.45)
    assert abs((draws.var(0) / variance[FEW]).mean() - 1.0) < 0.05


def test_samples_of_expression_average_to_their_mean(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    def asked(**options: Any) -> Any:
        return fitted.get_normalized_expression(indices=FEW, library_size=1e4, **options)

    draws = asked(n_samples=300, return_mean=False)
    assert draws.shape == (300, 30, 40)
    np.testing.assert_allclose(draws.mean(0), asked(n_samples=300), rtol=0.2)
    assert draws.std(0).min() > 0
    assert isinstance(asked(), pd.DataFrame)
    array = asked(return_numpy=True)
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, asked().to_numpy())
    one = asked(n_samples=1, return_mean=False)
    assert isinstance(one, pd.DataFrame)
    assert one.shape == (30, 40)
    overall = asked(n_samples_overall=500)
    assert overall.shape == (500, 40)
    assert set(overall.index) == set(cells.obs_names[FEW])
    np.testing.assert_allclose(overall.to_numpy().mean(0), array.mean(0), rtol=0.2)
    torch.manual_seed(1)
    first = asked(n_samples_overall=5, return_numpy=True)
    torch.manual_seed(1)
    np.testing.assert_array_equal(asked(n_samples_overall=5, return_numpy=True), first)
    with pytest.raises(UserError, match=r"^n_samples and n_samples_overall both say how many samples to draw"):
        asked(n_samples=2, n_samples_overall=5)
    with pytest.raises(UserError, match=r"^indices choose no cell, and samples need one"):
        fitted.get_normalized_expression(indices=[], n_samples_overall=5)
    with pytest.raises(UserError, match=r"^weights='importance' is of samples of all cells together: give n_samples_o"):
        asked(weights="importance")
    with pytest.raises(UserError, match=r"^weights='equal' is not known: choose 'uniform' or 'importance'"):
        asked(weights="equal")


def test_importance_corrects_a_guide_that_is_off(
    fit: Callable[..., SingleCellVMM], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a guide that lies beside the true posterior, weighted samples are nearer to that than unweighted ones."""
    adata = simulate_cells(200, 15, num_groups=2, library_size=60.0, seed=2)
    SingleCellVMM.setup_anndata(adata)
    model = fit(adata, train={"max_epochs": 30})
    guide, story = model.guide.posterior, model.module

    def moved(x: torch.Tensor, **covariates: torch.Tensor) -> Any:
        right = guide(x, **covariates).base_dist
        return dist.Normal(right.loc + 1.5 * right.scale, 1.5 * right.scale).to_event(1)

    def true_mean(x: torch.Tensor, **covariates: torch.Tensor) -> torch.Tensor:
        """Of each cell by itself, from many samples weighted by what they owe to the model."""
        right = guide(x, **covariates).base_dist
        wide = dist.Normal(right.loc, 3.0 * right.scale).to_event(1)
        z = wide.sample((5_000,))
        owed = story.log_likelihood(x, z, **covariates) + story.prior.log_prob(z) - wide.log_prob(z)
        return (owed.softmax(0).unsqueeze(-1) * shares(story, z, covariates)).sum(0)

    def mean_of(**options: Any) -> Any:
        torch.manual_seed(0)
        overall = {"n_samples_overall": 1500, "n_mc_samples": 50, "indices": FEW, "return_numpy": True}
        return model.get_normalized_expression(**overall, **options).mean(0)

    truth = Evaluation(story, model.guide).by_rows(true_mean, model._cells(None, FEW), rows_at_once=2).mean(0)
    monkeypatch.setattr(model.guide, "posterior", moved)
    unweighted, weighted = (np.abs(mean_of(weights=weights) / truth - 1).mean() for weights in (None, "importance"))
    assert weighted < 0.4 * unweighted, (weighted, unweighted)
    few_anchors = mean_of(weights="importance", max_cells=15)
    assert np.abs(few_anchors / truth - 1).mean() < unweighted


def test_batches_by_name_place_or_several(fitted: SingleCellVMM) -> None:
    def as_of(batch: Any) -> Any:
        return fitted.get_normalized_expression(indices=FEW, transform_batch=batch, return_numpy=True)

    first, second = as_of("batch 0"), as_of("batch 1")
    np.testing.assert_array_equal(as_of(0), first)
    np.testing.assert_array_equal(as_of(np.int64(1)), second)
    np.testing.assert_allclose(as_of([0, "batch 1"]), (first + second) / 2, rtol=1e-5)
    np.testing.assert_array_equal(as_of([None]), as_of(None))
    assert not np.allclose(first, second)
    for wrong in (2, -1, True, "batch 2", [0, 2]):
        with pytest.raises(UserError, match=r"is no batch of the model: choose among 'batch 0', 'batch 1'"):
            as_of(wrong)


def test_a_name_of_a_batch_counts_before_its_place(fit: Callable[..., SingleCellVMM]) -> None:
    adata = simulate_cells(120, 12, num_groups=2, num_batches=2)
    adata.obs["number"] = np.where(adata.obs["batch"] == "batch 0", 1, 0)
    SingleCellVMM.setup_anndata(adata, batch_key="number")
    model = fit(adata)
    assert model.batch_categories == ("0", "1")
    assert model._batches(1) == [1]
    adata.obs["number"] = np.where(adata.obs["batch"] == "batch 0", 1, 5)
    SingleCellVMM.setup_anndata(adata, batch_key="number")
    model = fit(adata)
    assert model._batches([1, 0, 5]) == [0, 0, 1]


def test_replicates_as_of_a_batch(fitted: SingleCellVMM) -> None:
    torch.manual_seed(0)
    counts = fitted.posterior_predictive_sample(indices=FEW, n_samples=400, transform_batch="batch 1")
    assert counts.shape == (30, 40, 400)
    expected = fitted.get_normalized_expression(indices=FEW, transform_batch=1, library_size="latent", n_samples=50)
    dropout = fitted.get_likelihood_parameters(indices=FEW, n_samples=50, give_mean=True)["dropout"]
    ratio = counts.mean() / (expected.to_numpy() * (1 - dropout)).mean()
    assert ratio == pytest.approx(1.0, abs=0.05)


def test_parameters_of_the_likelihood(fitted: SingleCellVMM, inferring: SingleCellVMM) -> None:
    one = fitted.get_likelihood_parameters(indices=FEW)
    assert {name: values.shape for name, values in one.items()} == {
        "mean": (30, 40),
        "dropout": (30, 40),
        "dispersions": (30, 40),
    }
    several = fitted.get_likelihood_parameters(indices=FEW, n_samples=3)
    assert several["mean"].shape == (3, 30, 40)
    # Means add up to the library, which is observed here.
    library = fitted.get_latent_library_size(indices=FEW)
    assert library.shape == (30, 1)
    np.testing.assert_allclose(several["mean"].sum(-1), np.repeat(library.T, 3, 0), rtol=1e-4)
    np.testing.assert_array_equal(library[:, 0], fitted.cells.library_size[FEW])
    averaged = fitted.get_likelihood_parameters(indices=FEW, n_samples=3, give_mean=True)
    np.testing.assert_array_equal(
        averaged["mean"], fitted.get_likelihood_parameters(indices=FEW, n_samples=3, give_mean=True)["mean"]
    )
    assert ((averaged["dropout"] > 0) & (averaged["dropout"] < 1)).all()
    theta = fitted.module.likelihood.inverse_dispersion.log_value.detach().exp().numpy()
    assert np.corrcoef(theta[0], averaged["dispersions"][0])[0, 1] > 0.9
    assert set(inferring.get_likelihood_parameters(indices=FEW)) == {"mean", "dispersions"}


def test_poisson_counts_have_no_dispersion(cells: anndata.AnnData, fit: Callable[..., SingleCellVMM]) -> None:
    model = fit(cells, gene_likelihood="poisson")
    assert set(model.get_likelihood_parameters(indices=FEW)) == {"mean"}
    assert model.get_feature_correlation_matrix(indices=FEW, n_samples=2).shape == (40, 40)


def test_inferred_library_sizes(inferring: SingleCellVMM) -> None:
    mean = inferring.get_latent_library_size()
    np.testing.assert_array_equal(mean, inferring.get_latent_library_size())
    draws = np.stack([inferring.get_latent_library_size(give_mean=False) for _ in range(200)])
    assert draws.std(0).min() > 0
    np.testing.assert_allclose(draws.mean(0), mean, rtol=0.1)


def test_correlations_between_genes_are_those_of_the_cells(fit: Callable[..., SingleCellVMM]) -> None:
    """Two groups that differ in half of the genes: these rise and fall together, and the others do not."""
    adata = simulate_cells(200, 20, num_groups=2, seed=3)
    counts = np.random.default_rng(0).poisson(20.0, (200, 20))
    counts[:100, :5] *= 6
    counts[100:, 5:10] *= 6
    adata.X = counts.astype(np.float32)
    SingleCellVMM.setup_anndata(adata)
    model = fit(adata, train={"max_epochs": 40, "learning_rate": 5e-3})
    found = model.get_feature_correlation_matrix(n_samples=3, rna_size_factor=500)
    assert list(found.index) == list(found.columns) == list(adata.var_names)
    values = found.to_numpy()
    np.testing.assert_allclose(np.diag(values), 1.0, rtol=1e-6)
    np.testing.assert_allclose(values, values.T)
    off = ~np.eye(5, dtype=bool)
    assert values[:5, :5][off].min() > 0.3
    assert values[:5, 5:10].max() < -0.3
    assert abs(values[10:, 10:][~np.eye(10, dtype=bool)]).max() < 0.3
    pearson = model.get_feature_correlation_matrix(n_samples=3, correlation_type="pearson").to_numpy()
    assert spearmanr(pearson.ravel(), values.ravel()).statistic > 0.8
    with pytest.raises(UserError, match=r"^correlation_type='kendall' is not known: choose"):
        model.get_feature_correlation_matrix(correlation_type="kendall")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^One sample of one cell has no correlations"):
        model.get_feature_correlation_matrix(indices=[0], n_samples=1)


@pytest.mark.parametrize("dof", [3.0, None])
def test_the_aggregated_posterior_is_the_mean_of_the_cells(fitted: SingleCellVMM, dof: float | None) -> None:
    posterior = fitted.get_aggregated_posterior(indices=FEW, dof=dof)
    mean, variance = fitted.get_latent_representation(indices=FEW, return_dist=True)
    at = torch.from_numpy(mean[:1])
    scale = np.sqrt(variance)
    kernel = torch.distributions.Normal if dof is None else lambda *a: torch.distributions.StudentT(3.0, *a)
    each = kernel(torch.from_numpy(mean), torch.from_numpy(scale)).log_prob(at).sum(-1)
    assert posterior.log_prob(at).item() == pytest.approx((each.logsumexp(0) - np.log(30)).item(), rel=1e-5)
    assert posterior.event_shape == (3,)
    with pytest.raises(UserError, match=r"^dof is 0: it must be a positive number"):
        fitted.get_aggregated_posterior(dof=0)


def test_abundance_is_larger_where_a_sample_s_cells_are(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    adata = cells.copy()
    of_group = (adata.obs["group"] == adata.obs["group"].iloc[0]).to_numpy()
    rare = np.random.default_rng(0).random(300) < np.where(of_group, 0.9, 0.1)
    adata.obs["sample"] = np.where(rare, "enriched", "other")
    fitted.differential_abundance(adata, sample_key="sample")
    found = adata.obsm["da_log_probs"]
    assert list(found.columns) == ["enriched", "other"]
    assert list(found.index) == list(adata.obs_names)
    difference = (found["enriched"] - found["other"]).to_numpy()
    assert (difference[of_group] > difference[~of_group].max()).mean() > 0.8
    fitted.differential_abundance(adata, sample_key="sample", num_cells_posterior=40, dof=3.0)
    assert np.isfinite(adata.obsm["da_log_probs"].to_numpy()).all()
    with pytest.raises(UserError, match=r"^sample_key is None: name the column"):
        fitted.differential_abundance(adata)
    with pytest.raises(UserError, match=r"is a view of another AnnData"):
        fitted.differential_abundance(adata[:50], sample_key="sample")
