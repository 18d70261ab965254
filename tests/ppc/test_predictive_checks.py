import numpy as np
import pandas as pd
import pytest
import torch

from pyro_vmm import VMM, SingleCellVMM, ppc
from pyro_vmm.errors import UserError
from pyro_vmm.single_cell import simulate_cells

EVERY = ("mean", "variance", "zeros", "cv")


def largest(x):
    return x.max()


@pytest.fixture(scope="module")
def vmm(overdispersed_counts):
    """A short Poisson fit of the first 600 overdispersed rows."""
    fit = VMM(2, 5, likelihood="poisson", hidden=(16,), max_epochs=12, learning_rate=5e-3, random_state=0, device="cpu")
    return fit.fit(overdispersed_counts[:600].numpy())


@pytest.fixture(scope="module")
def cells():
    adata = simulate_cells(200, 25, num_groups=2, num_batches=2, seed=2)
    SingleCellVMM.setup_anndata(adata, batch_key="batch")
    return adata


@pytest.fixture(scope="module")
def cell_model(cells):
    model = SingleCellVMM(cells, n_latent=2, num_components=6, n_hidden=16, gene_likelihood="nb")
    model.train(max_epochs=4, batch_size=64, accelerator="cpu")
    return model


# ---- p-values ------------------------------------------------------------------------------------------------------------


def hand_made(observed, replicated, **options):
    observed, replicated = np.array(observed, float), np.array(replicated, float)
    entries = tuple(f"entry {place}" for place in range(len(observed)))
    return ppc.StatisticCheck("mean", None, 9, entries, observed, replicated, **options)


def test_p_values_by_hand():
    check = hand_made([2.0, 0.0, 5.0], [[1, 0, 9], [2, 0, 9], [3, 0, 9], [1, 0, 9]])
    np.testing.assert_array_equal(check.p_values, [0.5, 1.0, 1.0])
    np.testing.assert_array_equal(check.outside, [False, False, True])  # ties are not outside
    assert check.share_outside == pytest.approx(1 / 3)
    # Means over entries: 7/3 in the data; 10/3, 11/3, 4 and 10/3 in the replicates.
    assert check.p_value == 1.0
    assert check.verdict == "too high"
    frame = check.to_frame()
    assert frame.loc["entry 0", "replicated"] == 1.75
    assert frame.loc["entry 2", "low"] == 9


def test_undefined_values_decide_nothing():
    nan = np.nan
    check = hand_made([1.0, nan, 1.0, 3.0], [[2, 1, nan, 0], [0, 1, nan, 0], [nan, 1, nan, 4]])
    np.testing.assert_array_equal(check.p_values, [0.5, nan, nan, 1 / 3])
    np.testing.assert_array_equal(check.overall.observed, [3.0])  # the only entry defined everywhere
    assert check.p_value == pytest.approx(1 / 3)
    assert check.share_outside == 0
    assert check.to_frame()["replicated"].tolist()[:2] == [1.0, 1.0]
    assert np.isnan(check.to_frame().loc["entry 2", "replicated"])


def test_the_mean_of_shares_says_nothing():
    check = hand_made([0.5, 0.5], [[0.1, 0.9]] * 3, averages=False)
    assert np.isnan(check.p_value)
    assert check.verdict == "-"
    assert check.share_outside == 1


def test_a_check_is_made_of_the_replicates_that_replicate_gives(factor_model, factor_data):
    model, guide = factor_model
    x = factor_data[:30]
    result = ppc.check(model, x, ("variance", largest), num_replicates=4, seed=3, guide=guide)
    replicates = np.stack(list(ppc.replicate(model, x, 4, seed=3, guide=guide)))
    assert replicates.shape == (4, 30, 12)
    np.testing.assert_allclose(result["variance"].replicated, replicates.var(1), rtol=1e-4)
    np.testing.assert_array_equal(result["largest"].replicated, replicates.max((1, 2))[:, None])
    np.testing.assert_allclose(result["variance"].observed, x.numpy().var(0), rtol=1e-4)
    by_hand = (replicates.max((1, 2)) >= x.numpy().max()).mean()
    assert result["largest"].p_value == by_hand


# ---- what a check finds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["posterior", "prior"])
def test_the_model_that_made_the_data_passes(factor_model, factor_data, source):
    model, guide = factor_model
    result = ppc.check(model, factor_data, ("mean", "variance", largest), 200, source, guide=guide)
    for check in result:
        assert 0.03 < check.p_value < 0.97, check
        assert check.share_outside <= 0.17  # two of twelve features


def test_posterior_replicates_have_their_observations_latents_and_prior_ones_do_not(factor_model, factor_data):
    model, guide = factor_model
    (posterior,) = ppc.replicate(model, factor_data, guide=guide)
    (prior,) = ppc.replicate(model, factor_data, source="prior")
    x = factor_data.numpy()
    # Residual variance: noise of data and replicate, and twice the posterior's spread in the directions of W.
    assert ((posterior - x) ** 2).mean() < 0.25 * ((prior - x) ** 2).mean()
    assert ((posterior - x) ** 2).mean() == pytest.approx(2 * 0.5**2, rel=0.25)


def test_a_shifted_model_fails_in_the_mean(factor_model, factor_data):
    model, guide = factor_model
    result = ppc.check(model, factor_data + 3.0, "mean", 50, "prior", guide=guide)
    assert result["mean"].p_value == 0
    assert result["mean"].share_outside == 1
    assert result["mean"].verdict == "too low"


def test_poisson_of_overdispersed_counts_fails_in_the_spread_and_not_in_the_mean(constant_counts, overdispersed_counts):
    result = ppc.check(data=overdispersed_counts, statistics=EVERY, **constant_counts("poisson"))
    assert result["mean"].verdict == "like the data"
    for name in ("variance", "zeros", "cv"):
        assert result[name].p_value == 0
        assert result[name].share_outside > 0.6
    right = ppc.check(data=overdispersed_counts, statistics=EVERY, **constant_counts("nb"))
    for name in EVERY:
        assert right[name].verdict == "like the data"
        assert right[name].share_outside <= 0.17


def test_a_poisson_fit_fails_on_training_and_on_held_out_rows(vmm, overdispersed_counts):
    for rows in (slice(600), slice(600, 800)):
        result = ppc.check(vmm, overdispersed_counts[rows].numpy(), EVERY)
        assert result["variance"].verdict == "too low"
        assert result["zeros"].verdict == "too low"
        assert result["variance"].p_value == result["cv"].p_value == 0
        assert result.checks[0].num_observations == len(overdispersed_counts[rows])


# ---- seeds and memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["posterior", "prior"])
def test_the_same_seed_gives_the_same_numbers_however_many_there_are(vmm, overdispersed_counts, source):
    x = overdispersed_counts[:40].numpy()
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    three = list(ppc.replicate(vmm, x, 3, source, seed=1))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    five = list(ppc.replicate(vmm, x, 5, source, seed=1))
    np.testing.assert_array_equal(three, five[:3])
    assert (three[0] != three[1]).any()
    assert (three[0] != next(ppc.replicate(vmm, x, 1, source, seed=2))).any()


def test_no_block_repeats_another_or_is_left_out(vmm, overdispersed_counts, monkeypatch):
    monkeypatch.setattr("pyro_vmm.ppc.replicates.ROWS_AT_ONCE", 16)
    x = overdispersed_counts[:1].expand(40, -1).numpy()
    (replicate,) = ppc.replicate(vmm, x)
    assert replicate.shape == x.shape
    assert (replicate[:8] != replicate[16:24]).any()
    assert ppc.check(vmm, x, "mean", 2)["mean"].observed == pytest.approx(x[0])


def test_networks_are_in_evaluation_mode_and_come_back_as_they_were(build_model, make_data):
    model, guide = build_model("vamp-mixture", normalization="batch", dropout=0.5)
    model.train()
    guide.train()
    before = {name: value.clone() for name, value in guide.state_dict().items()}
    one = next(ppc.replicate(model, make_data(20), guide=guide))
    assert guide.training
    assert guide.encoder.training
    for name, value in guide.state_dict().items():
        assert torch.equal(value, before[name])
    # In training mode batch normalisation would make a row depend on its neighbours.
    alone = next(ppc.replicate(model.eval(), make_data(20), guide=guide.eval()))
    np.testing.assert_array_equal(one, alone)


# ---- facades -------------------------------------------------------------------------------------------------------------


def test_replicates_of_standardised_data_are_in_the_datas_units():
    x = np.random.default_rng(0).normal([100.0, -5.0], [20.0, 0.1], size=(300, 2))
    table = pd.DataFrame(x, columns=["height", "depth"])
    fit = VMM(1, 3, likelihood="normal", standardize=True, hidden=(8,), max_epochs=10, random_state=0).fit(table)
    result = ppc.check(fit, table, "mean", 20)
    np.testing.assert_allclose(result["mean"].observed, x.mean(0), rtol=1e-5)
    assert (np.abs(result["mean"].replicated.mean(0) - x.mean(0)) < [4.0, 0.02]).all()
    assert result["mean"].entries == ("height", "depth")


def test_zeros_of_standardised_data_stay_zeros():
    x = np.where(np.random.default_rng(0).random((200, 2)) < 0.3, 0.0, 7.3)
    fit = VMM(1, 2, likelihood="normal", standardize=True, hidden=(8,), max_epochs=1, random_state=0).fit(x)
    np.testing.assert_allclose(ppc.check(fit, x, "zeros", 1)["zeros"].observed, (x == 0).mean(0))


def test_data_that_must_not_be_written_to_are_checked(factor_model, factor_data):
    model, guide = factor_model
    x = factor_data.numpy().copy()
    x.flags.writeable = False
    assert ppc.check(model, x, "mean", 1, guide=guide)["mean"].num_observations == len(x)


def test_cells_are_those_fitted_unless_others_are_given(cell_model, cells):
    fitted = ppc.check(cell_model, statistics=EVERY, num_replicates=5)
    again = ppc.check(cell_model, cells, EVERY, 5)
    some = ppc.check(cell_model, statistics=EVERY, num_replicates=5, indices=np.arange(30))
    np.testing.assert_array_equal(fitted["cv"].replicated, again["cv"].replicated)
    np.testing.assert_allclose(fitted["mean"].observed, cells.X.toarray().mean(0), rtol=1e-6)
    np.testing.assert_allclose(some["mean"].observed, cells.X.toarray()[:30].mean(0), rtol=1e-6)
    assert fitted["mean"].entries == tuple(cells.var_names)


@pytest.mark.parametrize("source", ["posterior", "prior"])
def test_cells_keep_their_library_sizes(cell_model, cells, source):
    totals = np.mean([x.sum(1) for x in ppc.replicate(cell_model, num_replicates=30, source=source)], 0)
    observed = cells.X.toarray().sum(1)
    assert np.corrcoef(totals, observed)[0, 1] > 0.8
    assert totals.mean() == pytest.approx(observed.mean(), rel=0.1)


def test_a_fit_has_the_replicates_of_its_face(vmm, cell_model, cells, overdispersed_counts):
    x = overdispersed_counts[:40].numpy()
    for face, data in ((vmm, x), (cell_model, cells)):
        expected = next(ppc.replicate(face, data))
        for fit in (face.fit_, face.observe(data)):
            given = data if fit is face.fit_ else None
            np.testing.assert_array_equal(next(ppc.replicate(fit, given)), expected)
    by_batch = ppc.check(cell_model.fit_, cells, "mean", 2, by="batch")
    assert by_batch.groups == ("batch 0", "batch 1")
    with pytest.raises(UserError, match="leave data out"):
        ppc.check(vmm.observe(x), x)


def test_an_inferred_library_size_is_drawn(cells):
    model = SingleCellVMM(cells, n_latent=2, num_components=4, n_hidden=8, use_observed_lib_size=False)
    model.train(max_epochs=1, accelerator="cpu")
    for source in ("posterior", "prior"):
        result = ppc.check(model, statistics="library_size", num_replicates=5, source=source)
        assert result["library_size"].replicated.std() > 0


# ---- groups --------------------------------------------------------------------------------------------------------------


def test_batches_and_clusters_are_the_models_own(cell_model, cells):
    counts = cells.X.toarray()
    by_batch = ppc.check(cell_model, statistics="mean", num_replicates=3, by="batch")
    assert by_batch.groups == ("batch 0", "batch 1")
    for group in by_batch.groups:
        expected = counts[(cells.obs["batch"] == group).to_numpy()]
        np.testing.assert_allclose(by_batch["mean", group].observed, expected.mean(0), rtol=1e-6)
        assert by_batch["mean", group].num_observations == len(expected)
    clusters = cell_model.predict(indices=np.arange(100))
    by_cluster = ppc.check(cell_model, statistics="mean", num_replicates=3, by="cluster", indices=np.arange(100))
    assert by_cluster.groups == tuple(str(cluster) for cluster in np.unique(clusters))
    np.testing.assert_allclose(by_cluster["mean", 0].observed, counts[:100][clusters == 0].mean(0), rtol=1e-6)


def test_a_group_is_checked_with_its_own_replicated_rows(vmm, overdispersed_counts):
    x = overdispersed_counts[:60].numpy()
    groups = np.array(["a", "b", "c"])[np.arange(60) % 3]
    result = ppc.check(vmm, x, ("mean", largest), 3, by=groups)
    replicates = np.stack(list(ppc.replicate(vmm, x, 3)))
    np.testing.assert_allclose(result["mean", "b"].replicated, replicates[:, 1::3].mean(1), rtol=1e-5)
    np.testing.assert_array_equal(result["largest", "c"].replicated[:, 0], replicates[:, 2::3].max((1, 2)))
    np.testing.assert_allclose(result["mean"].replicated, replicates.mean(1), rtol=1e-5)
    assert result.p_values().index.tolist() == ["all", "a", "b", "c"]
    assert result.p_values().loc["b", "mean"] == result["mean", "b"].p_value


def test_groups_stand_in_their_own_order(vmm, overdispersed_counts):
    x = overdispersed_counts[:6].numpy()
    assert ppc.check(vmm, x, "mean", 1, by=[10, 2, 2, 10, 1, 1]).groups == ("1", "2", "10")
    assert ppc.check(vmm, x, "mean", 1, by=pd.Categorical(list("bbaacc"))).groups == ("a", "b", "c")


def test_a_bare_models_batches_are_its_covariates(factor_model, factor_data, constant_counts, overdispersed_counts):
    batch = torch.nn.functional.one_hot(torch.arange(800) % 2, 2).float()
    given = constant_counts("nb")
    result = ppc.check(data=overdispersed_counts, num_replicates=2, by="batch", covariates={"batch": batch}, **given)
    assert result["mean", "1"].num_observations == 400
    np.testing.assert_allclose(result["mean", "1"].observed, overdispersed_counts[1::2].numpy().mean(0), rtol=1e-5)
    model, guide = factor_model
    assert ppc.check(model, factor_data, "mean", 1, by="cluster", guide=guide).groups == ("0",)


# ---- results -------------------------------------------------------------------------------------------------------------


def test_tables_say_what_was_found(vmm, overdispersed_counts):
    x = overdispersed_counts.numpy()
    result = ppc.check(vmm, x, ("zeros", largest), 40, by=np.arange(800) % 2, seed=7)
    frame = result.to_frame()
    assert frame[["statistic", "group", "observations", "entries"]].to_numpy().tolist() == [
        ["zeros", "all", 800, 12],
        ["zeros", "0", 400, 12],
        ["zeros", "1", 400, 12],
        ["largest", "all", 800, 1],
        ["largest", "0", 400, 1],
        ["largest", "1", 400, 1],
    ]
    assert frame["observed"][0] == pytest.approx((x == 0).mean())
    assert frame["replicated"][0] == pytest.approx(
        np.mean([(y == 0).mean() for y in ppc.replicate(vmm, x, 40, seed=7)])
    )
    text = str(result)
    assert text.startswith("Posterior predictive check: 800 observations, 40 replicates, seed 7\n")
    assert len(text.splitlines()) == 2 + 1 + 6 + 1
    assert "too low" in text
    # Without groups there is nothing to tell apart.
    assert "group" not in str(ppc.check(vmm, x[:20], "zeros", 2))


def test_results_do_not_change(vmm, overdispersed_counts):
    result = ppc.check(vmm, overdispersed_counts[:20].numpy(), "zeros", 2)
    with pytest.raises(AttributeError):
        result.seed = 3  # type: ignore[misc]
    assert len(result) == len(list(result)) == 1


# ---- mistakes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"data": None}, "VMM keeps no data: give the observations"),
        ({"num_replicates": 0}, "num_replicates is 0"),
        ({"num_replicates": 2.5}, "num_replicates is 2.5"),
        ({"source": "guide"}, "source='guide' is not known"),
        ({"seed": -1}, "seed is -1"),
        ({"by": "donor"}, "by='donor' is not known"),
        ({"by": "batch"}, "was given no batches"),
        ({"by": "cluster", "source": "prior"}, "which draws from the prior do not share"),
        ({"by": [0, 1]}, "by has 2 entries, but there are 30 observations"),
        ({"by": [None] * 3 + ["a"] * 27}, "by has 3 missing values, the first at observation 0"),
        ({"indices": [1]}, "indices chooses cells of a SingleCellVMM"),
        ({"covariates": {}}, "VMM has its own guide and covariates"),
        ({"statistics": lambda x: x[:, 0][x[:, 0] > 0]}, r"for a replicate but \d+ for the data|gives arrays"),
    ],
)
def test_mistakes_are_told_in_a_sentence(vmm, overdispersed_counts, options, sentence):
    with pytest.raises(UserError, match=sentence):
        ppc.check(vmm, **{"data": overdispersed_counts[:30].numpy(), "num_replicates": 3} | options)


def test_what_is_no_fit_is_refused(factor_model, factor_data, cell_model):
    model, _ = factor_model
    with pytest.raises(UserError, match="model is a int: give a fitted VMM"):
        ppc.check(3, factor_data)
    with pytest.raises(UserError, match="source='posterior' needs the guide"):
        ppc.check(model, factor_data)
    with pytest.raises(UserError, match="by='cluster' needs the guide"):
        ppc.check(model, factor_data, by="cluster")
    with pytest.raises(UserError, match="'batch' has 3 rows, but data has 600"):
        ppc.check(model, factor_data, source="prior", covariates={"batch": torch.eye(3)})
    with pytest.raises(UserError, match="indices choose no cell"):
        ppc.check(cell_model, indices=[])


def test_a_result_names_what_it_does_not_have(vmm, overdispersed_counts):
    result = ppc.check(vmm, overdispersed_counts[:20].numpy(), "zeros", 2)
    with pytest.raises(UserError, match="'mean' was not checked: choose among zeros"):
        result["mean"]
    with pytest.raises(UserError, match=r"no group 'a': choose among none \(by was None\)"):
        result["zeros", "a"]
