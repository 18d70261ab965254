"""New cells on a fitted model: their genes, and how novel they are."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.command_line.main import main
from pyro_vmm.data import DataWarning
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.fit import novelty
from pyro_vmm.fit.novelty import Novelty
from pyro_vmm.single_cell import simulate_cells


@pytest.fixture(scope="module")
def everything() -> anndata.AnnData:
    """1,600 cells of 40 genes, 4 groups in 2 batches."""
    return simulate_cells(1600, 40, num_groups=4, num_batches=2, seed=3)


@pytest.fixture(scope="module")
def without_a_group(everything: anndata.AnnData) -> SingleCellVMM:
    """A fit of half of the cells of the first three groups, a third of them held out."""
    groups = everything.obs["group"].astype(str).to_numpy()
    known = groups != np.unique(groups)[-1]
    known[::2] = False
    reference = everything[known].copy()
    SingleCellVMM.setup_anndata(reference, batch_key="batch")
    model = SingleCellVMM(reference, n_latent=3, num_components=12, n_hidden=32)
    model.train(max_epochs=60, batch_size=64, train_size=0.67, enable_progress_bar=False)
    return model


def new_cells(everything: anndata.AnnData) -> tuple[anndata.AnnData, np.ndarray]:
    new = everything[::2].copy()
    groups = new.obs["group"].astype(str).to_numpy()
    return new, groups == np.unique(groups)[-1]


def test_genes_are_reordered_and_cut(cells: anndata.AnnData, fitted: SingleCellVMM) -> None:
    shuffled = anndata.concat(
        [cells, anndata.AnnData(cells.X[:, :3], obs=cells.obs, var=pd.DataFrame(index=list("xyz")))], axis=1
    )
    shuffled.obs = cells.obs
    shuffled = shuffled[:, np.random.default_rng(0).permutation(shuffled.n_vars)].copy()
    assert SingleCellVMM.prepare_query_anndata(shuffled, fitted) is None
    assert shuffled.var_names.tolist() == fitted.gene_names.tolist()
    np.testing.assert_array_equal(fitted.get_latent_representation(shuffled), fitted.get_latent_representation())


def test_missing_genes_are_zeros_and_named(cells: anndata.AnnData, fitted: SingleCellVMM, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    fewer = cells[:, 1:].copy()
    fewer.layers["more"] = fewer.X.copy()
    gone = str(cells.var_names[0])
    with pytest.warns(
        DataWarning, match=f"^1 of the model's 40 genes are not in adata and are filled with zeros: {gone}.$"
    ):
        prepared = SingleCellVMM.prepare_query_anndata(fewer, tmp_path / "model", inplace=False)
    assert fewer.n_vars == 39
    for values in (prepared.X, prepared.layers["more"]):
        dense = values if isinstance(values, np.ndarray) else values.toarray()
        assert not dense[:, 0].any()
        given = fewer.X if isinstance(fewer.X, np.ndarray) else fewer.X.toarray()
        np.testing.assert_array_equal(dense[:, 1:], given)


def test_too_few_genes_are_refused_and_the_cells_left_as_they_are(
    cells: anndata.AnnData, fitted: SingleCellVMM
) -> None:
    few = cells[:, :19].copy()
    with pytest.raises(UserError, match=r"^adata has 19 of the model's 40 genes \(48%\), and 50% are needed"):
        SingleCellVMM.prepare_query_anndata(few, fitted)
    assert few.n_vars == 19
    assert SingleCellVMM.prepare_query_anndata(few, fitted, True).tolist() == fitted.gene_names.tolist()


def test_the_group_left_out_is_novel_and_others_are_not(
    everything: anndata.AnnData, without_a_group: SingleCellVMM
) -> None:
    new, novel = new_cells(everything)
    p = without_a_group.novelty(new)
    assert (p[novel] < 0.05).mean() > 0.7
    assert 0.01 < (p[~novel] < 0.05).mean() < 0.1


def test_batches_may_be_unknown(everything: anndata.AnnData, without_a_group: SingleCellVMM) -> None:
    new, novel = new_cells(everything)
    as_they_are = without_a_group.novelty(new, batch_free=True)
    new.obs["batch"] = "another"
    np.testing.assert_array_equal(without_a_group.novelty(new, batch_free=True), as_they_are)
    assert np.median(as_they_are[novel]) < 0.05 < np.median(as_they_are[~novel])


def test_held_out_cells_are_needed(cells: anndata.AnnData, fitted: SingleCellVMM) -> None:
    with pytest.raises(UserError, match="of which there are 30: hold out at least 100"):
        fitted.novelty(cells)


def test_p_values_are_uniform_where_cells_are_exchangeable(without_a_group: SingleCellVMM) -> None:
    evaluation = Evaluation(without_a_group.module, without_a_group.guide)
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 2)) @ [[1.0, 0.8], [0.0, 0.6]]
    calibrated = Novelty(evaluation, scores[:2000], None, None, (0.0, 0.0))
    p = calibrated.p_values_of(scores[2000:])
    for level in (0.01, 0.05, 0.2, 0.5):
        assert abs((p <= level).mean() - level) < 4 * np.sqrt(2 * level * (1 - level) / 2000)


def test_the_command_writes_what_python_answers(
    everything: anndata.AnnData, without_a_group: SingleCellVMM, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_a_group.save(tmp_path / "model", save_anndata=True)
    new, _ = new_cells(everything)
    new.write_h5ad(tmp_path / "new.h5ad")
    command = ["predict", str(tmp_path / "model"), str(tmp_path / "new.h5ad"), "--output", str(tmp_path / "out")]
    assert main(command) == 0
    table = pd.read_csv(tmp_path / "out" / "clusters.csv")
    assert list(table) == ["id", "cluster", "probability", "novelty"]
    np.testing.assert_array_equal(table["cluster"], without_a_group.predict(new))
    np.testing.assert_allclose(table["novelty"], without_a_group.novelty(new))
    np.testing.assert_array_equal(
        np.load(tmp_path / "out" / "latent.npy"), without_a_group.get_latent_representation(new)
    )
    assert "vmm_novelty" in anndata.read_h5ad(tmp_path / "out" / "adata.h5ad").obs
    assert main(command) == 2
    assert "holds clusters.csv already: give another folder" in capsys.readouterr().err
    new.obs["batch"] = "another"
    new.write_h5ad(tmp_path / "new.h5ad")
    command[-1] = str(tmp_path / "other")
    assert main(command) == 2
    assert "does not know the batch 'another'" in capsys.readouterr().err
    assert main([*command, "--batch-free"]) == 0


def test_the_command_leaves_out_what_cannot_be_calibrated_and_nothing_else(
    everything: anndata.AnnData,
    without_a_group: SingleCellVMM,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_a_group.save(tmp_path / "model", save_anndata=True)
    new_cells(everything)[0].write_h5ad(tmp_path / "new.h5ad")
    command = ["predict", str(tmp_path / "model"), str(tmp_path / "new.h5ad"), "--output"]
    with monkeypatch.context() as few:
        few.setattr(novelty, "FEWEST_HELD_OUT", 10**6)
        assert main([*command, str(tmp_path / "out")]) == 0
    assert "The column novelty is left out." in capsys.readouterr().err
    assert list(pd.read_csv(tmp_path / "out" / "clusters.csv")) == ["id", "cluster", "probability"]

    def fails(*_: object, **__: object) -> None:
        raise UserError("Something else.")

    monkeypatch.setattr(SingleCellVMM, "novelty", fails)
    assert main([*command, str(tmp_path / "other")]) == 2
