"""Counts simulated from the model itself, whose parameters a fit must find again."""

import anndata
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from pyro_vmm import SingleCellVMM
from pyro_vmm.single_cell.simulation import simulate_cells


@pytest.fixture(scope="module")
def truth() -> anndata.AnnData:
    return simulate_cells(1500, 60, num_groups=4, num_batches=2, library_size=800.0, seed=1)


@pytest.fixture(scope="module")
def model(truth: anndata.AnnData) -> SingleCellVMM:
    SingleCellVMM.setup_anndata(truth, batch_key="batch")
    fitted = SingleCellVMM(truth, num_components=40, gene_likelihood="nb", n_latent=5)
    fitted.train(max_epochs=250, learning_rate=2e-3)
    return fitted


def test_the_groups_and_their_number_are_found(truth: anndata.AnnData, model: SingleCellVMM) -> None:
    assert adjusted_rand_score(truth.obs["group"], model.predict()) > 0.9
    assert 4 <= model.n_clusters_ <= 6
    assert adjusted_rand_score(truth.obs["group"], model.predict(batch_free=True)) > 0.9


def test_the_dispersions_are_found(truth: anndata.AnnData, model: SingleCellVMM) -> None:
    found = model.module.likelihood.inverse_dispersion.log_value[0].detach().numpy()
    true = np.log(truth.var["inverse_dispersion"].to_numpy())
    # Counts of a gene that is hardly expressed are Poisson's whatever its theta.
    totals = truth.X.toarray().sum(0)
    expressed = totals > np.median(totals)
    assert np.corrcoef(found[expressed], true[expressed])[0, 1] > 0.6
    assert np.abs(np.median((found - true)[expressed])) < 0.3


def test_the_expression_is_found(truth: anndata.AnnData, model: SingleCellVMM) -> None:
    share = truth.layers["share"]
    error = np.sqrt((share * np.log(model.get_normalized_expression().to_numpy() / share) ** 2).sum(1)).mean()
    alone = np.asarray(truth.X.todense()) + 0.5
    noisy = np.sqrt((share * np.log(alone / alone.sum(1, keepdims=True) / share) ** 2).sum(1)).mean()
    assert error < 0.6 * noisy


def test_the_batch_effect_is_found_by_decoding_as_of_the_other_batch(
    truth: anndata.AnnData, model: SingleCellVMM
) -> None:
    first, second = (model.get_normalized_expression(transform_batch=f"batch {code}").to_numpy() for code in (0, 1))
    found = np.log(first / second).mean(0)
    ratio = np.log(truth.layers["share"] / truth.layers["unbatched_share"])
    in_first = (truth.obs["batch"] == "batch 0").to_numpy()
    true = ratio[in_first].mean(0) - ratio[~in_first].mean(0)
    assert np.corrcoef(found, true)[0, 1] > 0.95


def test_the_embedding_knows_groups_and_not_batches(truth: anndata.AnnData, model: SingleCellVMM) -> None:
    latent = model.get_latent_representation()
    nearest = ((latent[:, None] - latent[None]) ** 2).sum(-1)
    np.fill_diagonal(nearest, np.inf)
    neighbours = nearest.argsort(1)[:, :20]
    for key, low, high in (("group", 0.9, 1.0), ("batch", 0.45, 0.62)):
        codes = truth.obs[key].cat.codes.to_numpy()
        same = (codes[neighbours] == codes[:, None]).mean()
        assert low <= same <= high, (key, same)


def test_held_out_cells_are_as_likely_as_under_a_fit_can_be(truth: anndata.AnnData, model: SingleCellVMM) -> None:
    """The bound is below, and the importance-weighted estimate above it, and not far from the truth's own likelihood."""
    elbo, evidence = model.get_elbo(), model.get_marginal_ll(n_mc_samples=50)
    assert elbo < evidence < elbo + 5.0
    mean = truth.layers["share"] * truth.X.toarray().sum(1)[:, None]
    theta = truth.var["inverse_dispersion"].to_numpy(copy=True)
    import torch

    from pyro_vmm.distributions import NegativeBinomial

    given_z = NegativeBinomial(torch.as_tensor(mean), torch.as_tensor(theta)).log_prob(
        torch.as_tensor(truth.X.toarray())
    )
    # log p(x | true z) is more than log p(x): z costs some nats to name.
    assert evidence < float(given_z.sum(1).mean())
    assert evidence > float(given_z.sum(1).mean()) - 15.0
