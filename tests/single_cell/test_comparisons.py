"""Differential expression, markers and sums over donors: what a fitted model says of groups of cells."""

import importlib.util
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.expression import GroupMeans, compare
from pyro_vmm.single_cell import simulate_cells

COLUMNS = [
    *(
        "proba_de",
        "proba_not_de",
        "bayes_factor",
        "scale1",
        "scale2",
        "pseudocounts",
        "delta",
        "lfc_mean",
        "lfc_median",
    ),
    *("lfc_std", "lfc_min", "lfc_max", "raw_mean1", "raw_mean2", "raw_normalized_mean1", "raw_normalized_mean2"),
    *(
        "non_zeros_proportion1",
        "non_zeros_proportion2",
        "is_de_fdr_0.05",
        "comparison",
        "group1",
        "group2",
        "above_floor",
    ),
]


@pytest.fixture(scope="module")
def cells() -> AnnData:
    adata = simulate_cells(400, 40, num_groups=3, num_batches=2, seed=1)
    adata.obs["donor"] = np.random.default_rng(0).integers(4, size=400).astype(str)
    adata.obs["treated"] = adata.obs["donor"].isin(["0", "1"])
    SingleCellVMM.setup_anndata(adata, batch_key="batch")
    return adata


@pytest.fixture(scope="module")
def model(cells: AnnData) -> SingleCellVMM:
    model = SingleCellVMM(cells, num_components=12, n_hidden=32)
    model.train(max_epochs=120, batch_size=64, enable_progress_bar=False)
    return model


def means(shares: np.ndarray, spread: float, seed: int) -> GroupMeans:
    """Of a group of which the means are known but for a relative error."""
    draws = shares * np.exp(spread * np.random.default_rng(seed).normal(size=(2000, len(shares))))
    return GroupMeans(draws, draws, 1000.0 * shares, shares, shares, 1000.0, 10_000)


def test_a_gene_is_called_for_its_mean_and_above_the_floor_alone() -> None:
    first = means(np.array([2e-2, 2e-2, 4e-7, 2e-2]), 0.01, 1)
    second = means(np.array([1e-2, 2e-2, 1e-7, 2.1e-2]), 0.01, 2)
    found = compare(first, second)
    assert found.called.tolist() == [True, False, False, False]
    assert found.above_floor.tolist() == [True, True, False, True]
    assert found.probability[0] == 1.0
    seen_once = replace(first, num_cells=1), replace(second, num_cells=1)
    assert not compare(*seen_once).called.any(), "twenty counts and ten are no certainty"
    # The same means, known badly: more spread is no more evidence.
    blurred = compare(means(first.scaled, 1.0, 1), means(second.scaled, 1.0, 2))
    assert not blurred.called.any()


def test_more_cells_make_the_same_difference_surer(model: SingleCellVMM) -> None:
    few, many = (
        model.differential_expression(
            groupby="group", group1="group 0", group2="group 1", max_cells=number
        ).sort_index()
        for number in (10, 400)
    )
    assert few["lfc_std"].median() > 1.5 * many["lfc_std"].median()


def test_columns_groups_and_order_are_scvi_tools(model: SingleCellVMM, cells: AnnData) -> None:
    found = model.differential_expression(groupby="group")
    assert sorted(found.columns) == sorted(COLUMNS)
    assert len(found) == 3 * 40
    assert set(found["comparison"]) == {f"group {name} vs Rest" for name in range(3)}
    first = found[found["group1"] == "group 0"]
    assert first["proba_de"].is_monotonic_decreasing
    np.testing.assert_allclose(first["proba_de"] + first["proba_not_de"], 1.0)
    counts = cells[cells.obs["group"] == "group 0"].to_df()
    np.testing.assert_allclose(first["raw_mean1"], counts.mean()[first.index], rtol=1e-6)
    np.testing.assert_allclose(first["non_zeros_proportion1"], (counts > 0).mean()[first.index], rtol=1e-6)
    pd.testing.assert_frame_equal(found, model.differential_expression(groupby="group"))


def test_log_fold_changes_agree_with_the_counts(model: SingleCellVMM) -> None:
    found = model.differential_expression(groupby="group", group1="group 0", group2="group 1")
    raw = np.log2((found["raw_normalized_mean1"] + 1.0) / (found["raw_normalized_mean2"] + 1.0))
    assert np.corrcoef(raw, found["lfc_median"])[0, 1] > 0.9
    back = model.differential_expression(groupby="group", group1="group 1", group2="group 0")
    np.testing.assert_allclose(found["lfc_median"], -back.loc[found.index, "lfc_median"], atol=0.3)


def test_rows_masks_and_queries_choose_the_same_cells(model: SingleCellVMM, cells: AnnData) -> None:
    mask = (cells.obs["group"] == "group 0").to_numpy()
    by_mask = model.differential_expression(idx1=mask)
    for index in (np.flatnonzero(mask), "group == 'group 0'"):
        pd.testing.assert_frame_equal(by_mask, model.differential_expression(idx1=index))
    vanilla = model.differential_expression(idx1=mask, idx2=~mask, mode="vanilla")
    np.testing.assert_allclose(vanilla["proba_m1"] + vanilla["proba_m2"], 1.0)


def test_a_cluster_is_named_by_its_number_as_well(model: SingleCellVMM) -> None:
    by_name = model.differential_expression(group1="1", group2="0")
    assert set(by_name["comparison"]) == {"1 vs 0"}
    pd.testing.assert_frame_equal(by_name, model.differential_expression(group1=1, group2=0))
    pd.testing.assert_frame_equal(by_name, model.differential_expression(group1=np.array([1]), group2=np.int64(0)))
    # No group is compared with itself.
    assert "0" not in set(model.differential_expression(group2=0)["group1"])


def test_the_result_says_which_genes_were_compared(model: SingleCellVMM) -> None:
    found = model.differential_expression(groupby="group", group1="group 0", floor=0.5)
    assert found.attrs == {"genes": "only the 40 genes that the model was trained on were compared", "floor": 0.5}


def test_random_halves_do_not_differ(model: SingleCellVMM) -> None:
    half = np.random.default_rng(3).random(400) < 0.5
    assert not model.differential_expression(idx1=half, batch_correction=True)["is_de_fdr_0.05"].any()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"groupby": "nothing"}, "adata.obs has no column 'nothing' (groupby)"),
        ({"group1": "99"}, "There is no group '99': choose from '0'"),
        ({"mode": "other"}, "mode='other' is not known"),
        ({"idx1": [4000]}, "idx1 is no mask of 400 cells"),
        ({"idx1": [1], "group1": "0"}, "idx1 and idx2 take the place of groupby"),
        ({"idx1": np.zeros(400, dtype=bool)}, "group 1 has no cells"),
        ({"batchid1": ["batch 0"]}, "give batch_correction=True"),
        ({"delta": -1.0}, "delta is -1.0"),
        ({"weights": "importance"}, "weights='importance' is not offered"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(model: SingleCellVMM, asked: dict, said: str) -> None:
    with pytest.raises(UserError) as refused:
        model.differential_expression(**asked)
    assert said in str(refused.value)


def test_markers_are_higher_than_elsewhere_and_in_scanpys_form(model: SingleCellVMM, cells: AnnData) -> None:
    found = model.markers(groupby="group", key_added="rank_genes_groups")
    best = found.groupby("group").head(1)
    for gene, group in zip(best.index, best["group"], strict=True):
        expression = cells.to_df()[gene].groupby(cells.obs["group"], observed=True).mean()
        assert expression.idxmax() == group
    stored = cells.uns["rank_genes_groups"]
    assert stored["names"].dtype.names == ("group 0", "group 1", "group 2")
    assert stored["params"]["groupby"] == "group"
    assert (np.diff(stored["pvals_adj"]["group 0"]) >= -1e-12).all()
    model.markers(key_added="of_clusters")
    assert set(cells.obs["cluster"]) == set(cells.uns["of_clusters"]["names"].dtype.names)


def test_scanpy_shows_the_markers(model: SingleCellVMM, cells: AnnData) -> None:
    if importlib.util.find_spec("scanpy") is None:
        pytest.skip("scanpy is not installed: pip install pyro-vmm[benchmark]")
    import scanpy

    found = model.markers(groupby="group", key_added="rank_genes_groups")
    # Of fewer than 50 genes scanpy's dendrogram takes X itself, which it cannot group where X is sparse.
    shown = cells.copy()
    shown.X = shown.X.toarray()
    axes = scanpy.pl.rank_genes_groups_dotplot(shown, n_genes=2, show=False)
    labels = {label.get_text() for label in axes["mainplot_ax"].get_xticklabels()}
    assert labels == set(found.groupby("group").head(2).index)
    assert len(scanpy.get.rank_genes_groups_df(shown, group="group 0")) == 40


def test_sums_over_samples_keep_every_count(model: SingleCellVMM, cells: AnnData) -> None:
    found = model.pseudobulk("donor", groupby="group")
    assert found.X.dtype == np.int64
    assert found.X.sum() == cells.X.sum()
    assert found.obs["n_cells"].sum() == 400
    assert "treated" in found.obs
    assert "library_size" not in found.obs
    row = found.obs_names.get_loc("2_group 1")
    chosen = (cells.obs["donor"] == "2") & (cells.obs["group"] == "group 1")
    np.testing.assert_array_equal(found.X[row], cells[chosen].to_df().sum())


def test_pydeseq2_takes_the_sums(model: SingleCellVMM) -> None:
    if importlib.util.find_spec("pydeseq2") is None:
        pytest.skip("PyDESeq2 is not installed: pip install pyro-vmm[pseudobulk]")
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.ds import DeseqStats

    sums = model.pseudobulk("donor", groupby="group")
    one = sums[sums.obs["group"] == "group 0"].copy()
    one.obs["condition"] = one.obs["treated"].map({True: "treated", False: "control"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few samples
        tested = DeseqDataSet(adata=one, design="~condition", quiet=True)
        tested.deseq2()
        found = DeseqStats(tested, contrast=["condition", "treated", "control"], quiet=True)
        found.summary()
    assert list(found.results_df.index) == list(model.gene_names)
    # Donors were dealt at random, and conditions are of donors: hardly a gene differs.
    assert (found.results_df["padj"] < 0.05).sum() <= 2
