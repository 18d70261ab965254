"""Single cells on the command line: one small fit, its folder, its scores, its resumption, and mistakes."""

import errno
import importlib
import json
import os
import shutil
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from anndata import AnnData

from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.command_line.flags import with_flags
from pyro_vmm.command_line.main import INTERRUPTED, main, parser
from pyro_vmm.data import CountSetup, read_counts
from pyro_vmm.data.cell_files import read_cells, write_cells
from pyro_vmm.fit.fitting import train
from pyro_vmm.modalities.counts import Counts
from pyro_vmm.scoring import integration
from pyro_vmm.single_cell import simulate_cells
from pyro_vmm.single_cell.annotation import annotate
from pyro_vmm.training.history import COLUMNS

OPTIONS = [name for name in vars(parser().parse_args(["fit", "x", "--output", "y"])) if "_" in name]
OPTIONS += [name for entry in with_flags() for name in entry.names if "_" in name]
SMALL = ["--num-components", "8", "--latent-dim", "3", "--batch-size", "64", "--device", "cpu", "--quiet"]
SETUP = ["--layer", "counts", "--batch-key", "donor", "--covariates", "sex", "mito"]
NUM_CELLS, NUM_GENES = 240, 30


def simulate() -> AnnData:
    """Three kinds of cells in two batches, with everything else that an AnnData can hold."""
    rng = np.random.default_rng(0)
    kind, donor = np.arange(NUM_CELLS) % 3, (np.arange(NUM_CELLS) // 3) % 2
    mean = np.exp(rng.normal(1, 1, (3, NUM_GENES)))[kind] * np.exp(rng.normal(0, 0.3, (2, NUM_GENES)))[donor]
    counts = rng.negative_binomial(2, 2 / (2 + mean))
    counts[:, 0] += 1  # no cell is empty
    obs = pd.DataFrame(
        {
            "donor": pd.Categorical.from_codes(donor, ["d1", "d2"]),
            "kind": np.array(["A", "B", "C"])[kind],
            "sex": np.array(["f", "m"])[rng.integers(2, size=NUM_CELLS)],
            "mito": rng.random(NUM_CELLS),
            "age": rng.integers(20, 80, NUM_CELLS),
            "factor": rng.uniform(0.5, 2, NUM_CELLS),
            "note": pd.array(["seen", None] * (NUM_CELLS // 2), dtype="string"),
        },
        index=[f"cell-{i}" for i in rng.permutation(NUM_CELLS)],
    )
    adata = AnnData(np.log1p(counts).astype(np.float32), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(30)]))
    adata.layers["counts"] = scipy.sparse.csr_matrix(counts.astype(np.int32))
    adata.raw = AnnData(counts.astype(np.float32), obs=obs[[]], var=adata.var)
    adata.var["length"] = rng.integers(500, 5000, NUM_GENES)
    adata.obsm["X_pca"] = rng.normal(size=(NUM_CELLS, 4))
    adata.obsp["distances"] = scipy.sparse.eye(NUM_CELLS, format="csr")
    adata.uns["log1p"] = {"base": 2.0}
    adata.uns["vmm"] = "of an earlier fit"
    return adata


def without(adata: AnnData, *, cell: int | None = None, gene: int | None = None) -> scipy.sparse.csr_matrix:
    """The counts, but none of one cell or gene."""
    counts = adata.layers["counts"].toarray()
    if cell is not None:
        counts[cell] = 0
    if gene is not None:
        counts[:, gene] = 0
    return scipy.sparse.csr_matrix(counts)


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of one command."""
    capsys.readouterr()
    try:
        status = main(arguments)
    except SystemExit as leaving:  # argparse's own way out
        status = int(leaving.code or 0)
    told = capsys.readouterr()
    return status, told.out, told.err


def one_mistake(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    status, _, message = run(arguments, capsys)
    assert status == 2
    assert message.count("\n") == 1, message
    assert message.startswith("pyro-vmm: ")
    assert "Traceback" not in message
    return message


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    with anndata.settings.override(allow_write_nullable_strings=True):
        simulate().write_h5ad(path, convert_strings_to_categoricals=False)
    return path


@pytest.fixture(scope="module")
def fitted(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("fitted") / "run"
    assert main(["fit", str(cells), "--output", str(output), *SETUP, *SMALL, "--max-epochs", "3"]) == 0
    return output


def test_output_folder_is_complete(fitted: Path) -> None:
    config = json.loads((fitted / "config.json").read_text())
    assert config["fit"]["num_observations"] == NUM_CELLS
    assert config["fit"]["setup"]["categorical_covariate_keys"] == ["sex"]
    assert config["fit"]["setup"]["continuous_covariate_keys"] == ["mito"]
    assert config["options"]["batch_size"] == 64
    history = pd.read_csv(fitted / "history.csv")
    assert list(history.columns) == list(COLUMNS)
    np.testing.assert_allclose(history["elbo"], history["reconstruction"] - history["kl"])
    np.testing.assert_allclose(
        history["validation_elbo"], history["validation_reconstruction"] - history["validation_kl"]
    )
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["step"].tolist() == [4, 8, 12]
    stored = pd.DataFrame(config["fitted"]["history"])
    np.testing.assert_allclose(history["elbo"], stored["elbo"])
    np.testing.assert_allclose(history["validation_elbo"], stored["validation_elbo"])
    assert (history[["elbo", "validation_elbo"]] < 0).all(axis=None)  # log-probabilities of counts
    pictures = {"training.png", "latent.png", "weights.png", "entropy.png"}
    assert {path.name for path in (fitted / "figures").iterdir()} == pictures
    assert list((fitted / "checkpoint").glob("state-*.safetensors"))
    assert not list(fitted.glob("*.partial")) + list(fitted.glob(".*.partial"))


def test_the_stored_model_is_the_one_that_the_folder_describes(fitted: Path, cells: Path) -> None:
    model = SingleCellVMM.load(fitted, anndata.read_h5ad(cells))
    proba, latent = model.predict_proba(), model.get_latent_representation()
    table = pd.read_csv(fitted / "clusters.csv")
    assert table["id"].tolist() == anndata.read_h5ad(cells).obs_names.tolist()
    np.testing.assert_array_equal(table["cluster"], proba.argmax(1))
    np.testing.assert_allclose(table["probability"], proba.max(1), atol=1e-6)
    np.testing.assert_array_equal(table["second_choice"], np.argsort(-proba, 1, kind="stable")[:, 1])
    np.testing.assert_allclose(np.load(fitted / "latent.npy"), latent, atol=1e-6)
    annotated = anndata.read_h5ad(fitted / "adata.h5ad")
    np.testing.assert_allclose(annotated.obsm["X_vmm"], latent, atol=1e-6)
    np.testing.assert_allclose(annotated.obsm["vmm_responsibilities"], proba[:, : model.n_clusters_], atol=1e-9)
    assert annotated.obs["vmm_cluster"].tolist() == [str(cluster) for cluster in proba.argmax(1)]
    assert list(annotated.obs["vmm_cluster"].cat.categories) == [str(c) for c in range(model.n_clusters_)]
    np.testing.assert_allclose(annotated.obs["vmm_probability"], proba.max(1), atol=1e-9)
    facts = annotated.uns["vmm"]
    assert facts["num_clusters"] == model.n_clusters_
    assert facts["options"]["n_latent"] == 3
    assert facts["setup"]["batch_key"] == "donor"
    assert facts["versions"]["torch"]


def test_the_annotated_cells_keep_all_that_the_input_held(fitted: Path, cells: Path) -> None:
    before, after = anndata.read_h5ad(cells), anndata.read_h5ad(fitted / "adata.h5ad")
    assert after.obs_names.tolist() == before.obs_names.tolist()
    pd.testing.assert_frame_equal(after.obs.drop(columns=["vmm_cluster", "vmm_probability"]), before.obs)
    pd.testing.assert_frame_equal(after.var, before.var)
    for own, theirs in ((after.X, before.X), (after.obsm["X_pca"], before.obsm["X_pca"]), (after.raw.X, before.raw.X)):
        np.testing.assert_array_equal(own, theirs)
    assert after.layers["counts"].dtype == before.layers["counts"].dtype
    assert (after.layers["counts"] != before.layers["counts"]).nnz == 0
    assert (after.obsp["distances"] != before.obsp["distances"]).nnz == 0
    assert after.uns["log1p"] == before.uns["log1p"]


def test_annotate_in_a_notebook_writes_what_the_command_writes(fitted: Path, cells: Path) -> None:
    adata, told = anndata.read_h5ad(cells), anndata.read_h5ad(fitted / "adata.h5ad")
    model = SingleCellVMM.load(fitted, adata)
    model.annotate(adata)
    pd.testing.assert_frame_equal(adata.obs, told.obs, atol=1e-6)
    for name in ("X_vmm", "vmm_responsibilities"):
        np.testing.assert_allclose(adata.obsm[name], told.obsm[name], atol=1e-6)
    assert json.loads(json.dumps(adata.uns["vmm"])) == adata.uns["vmm"]
    some = adata[::-7].copy()
    annotate(model, some)
    assert some.obs["vmm_cluster"].tolist() == adata.obs["vmm_cluster"].tolist()[::-7]
    with pytest.raises(UserError, match="is a view"):
        model.annotate(adata[:10])


def test_zarr_and_dense_input_give_the_same_fit(fitted: Path, cells: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(cells)
    adata.layers["counts"] = adata.layers["counts"].toarray().astype(np.float64)
    adata.obs["note"] = "another"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of formats to come
        adata.write_zarr(tmp_path / "cells.zarr")
    arguments = ["fit", str(tmp_path / "cells.zarr"), "--output", str(tmp_path / "run"), *SETUP, *SMALL]
    assert main([*arguments, "--max-epochs", "3"]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (fitted / "model.safetensors").read_bytes()
    digests = [
        json.loads((folder / "config.json").read_text())["fit"]["data_sha256"] for folder in (fitted, tmp_path / "run")
    ]
    assert digests[0] == digests[1]
    again = anndata.read_h5ad(tmp_path / "run" / "adata.h5ad")
    np.testing.assert_allclose(again.obsm["X_vmm"], np.load(fitted / "latent.npy"))
    assert again.obs["kind"].tolist() == adata.obs["kind"].tolist()


def test_labels_do_not_influence_the_fit(fitted: Path, cells: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(cells)
    adata.obs["kind"] = np.random.default_rng(1).permutation(adata.obs["kind"])
    write_cells(adata, tmp_path / "cells.h5ad")
    arguments = ["fit", str(tmp_path / "cells.h5ad"), "--output", str(tmp_path / "run"), *SETUP, *SMALL]
    assert main([*arguments, "--max-epochs", "3"]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (fitted / "model.safetensors").read_bytes()


def test_every_option_reaches_the_model(cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Counts] = []

    def spy(modality: Counts, *arguments: Any, **more: Any) -> None:
        trained.append(modality)
        train(modality, *arguments, **more)

    monkeypatch.setattr("pyro_vmm.command_line.fit.train", spy)
    given = (
        "--layer raw --batch-key donor --covariates age kind --size-factor-key factor --dispersion gene-batch "
        "--likelihood nb --prior gaussian-mixture --prior-inference map --weights dirichlet --prior-weight 32 "
        "--responsibility-gradient differentiated --centre-uncertainty integrated --num-components 5 --latent-dim 4 "
        "--learning-rate 0.002 "
        "--prior-learning-rate 0.003 --learning-rate-schedule cosine --kl-warmup-steps 2 --standard-normal-steps 3 "
        "--batch-size 100 --max-epochs 1 --patience 7 --seed 3 --device cpu --low-precision --quiet"
    )
    assert main(["fit", str(cells), "--output", str(tmp_path / "run"), *given.split()]) == 0
    (modality,) = trained
    assert modality.setup == CountSetup("raw", "donor", ["kind"], ["age"], "factor")
    wanted = {
        "likelihood": "nb",
        "dispersion": "gene-batch",
        "prior": "gaussian-mixture",
        "prior_inference": "map",
        "weights": "dirichlet",
        "prior_weight": 32.0,
        "responsibility_gradient": "differentiated",
        "centre_uncertainty": "integrated",
        "num_components": 5,
        "latent_dim": 4,
        "random_state": 3,
        "use_observed_lib_size": True,
        "low_precision": True,
        "learning_rate": 0.002,
        "prior_learning_rate": 0.003,
        "learning_rate_schedule": "cosine",
        "kl_warmup_steps": 2,
        "standard_normal_steps": 3,
        "batch_size": 100,
        "max_epochs": 1,
        "patience": 7,
        "device": "cpu",
        "verbose": False,
    }
    assert wanted.items() <= modality.options.items()
    loaded = SingleCellVMM.load(tmp_path / "run", anndata.read_h5ad(cells))
    assert loaded.setup == modality.setup
    assert {"n_latent": 4, "gene_likelihood": "nb"}.items() <= loaded.options.items()


def test_counts_in_x_need_no_layer_and_library_sizes_can_be_inferred(cells: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(cells)
    adata.X = adata.layers.pop("counts")
    write_cells(adata, tmp_path / "plain.H5AD")
    arguments = ["fit", str(tmp_path / "plain.H5AD"), "--output", str(tmp_path / "run"), "--infer-library-size"]
    assert main([*arguments, *SMALL, "--max-epochs", "1"]) == 0
    model = SingleCellVMM.load(tmp_path / "run", adata)
    assert not model.options["use_observed_lib_size"]
    assert model.setup == CountSetup()


def test_what_is_remarked_on_is_told_in_one_line_each(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adata = anndata.read_h5ad(cells)
    adata.layers["counts"] = without(adata, gene=5)
    write_cells(adata, tmp_path / "cells.h5ad")
    arguments = ["fit", str(tmp_path / "cells.h5ad"), "--output", str(tmp_path / "run"), *SETUP, *SMALL]
    status, _, told = run([*arguments, "--max-epochs", "1"], capsys)
    assert status == 0
    assert told.count("\n") == 1
    assert told.startswith("pyro-vmm: warning: adata.layers['counts'] has 1 gene with no counts, 'g5'")


def test_a_longer_fit_resumed_is_the_same_as_one_never_stopped(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["fit", str(cells), *SETUP, *SMALL, "--standard-normal-steps", "3"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*base, "--output", str(whole), "--max-epochs", "4"]) == 0
    assert main([*base, "--output", str(parts), "--max-epochs", "2"]) == 0
    seconds = pd.read_csv(parts / "history.csv")["seconds"]
    assert main([*base, "--output", str(parts), "--max-epochs", "4", "--resume"]) == 0
    assert_same_fit(whole, parts)
    # It went on, and did not begin again: no two fits take the same time to the last digit.
    assert pd.read_csv(parts / "history.csv")["seconds"][:2].tolist() == seconds.tolist()
    resume = [*base, "--output", str(parts), "--max-epochs", "4", "--resume"]
    assert "--latent-dim 3, not --latent-dim 4" in one_mistake([*resume, "--latent-dim", "4"], capsys)
    assert "--learning-rate 0.001, not --learning-rate 0.01" in one_mistake(
        [*resume, "--learning-rate", "0.01"], capsys
    )
    assert "--batch-size 64, not --batch-size 32" in one_mistake([*resume, "--batch-size", "32"], capsys)
    without_batches = ["fit", str(cells), "--layer", "counts", *SMALL, "--output", str(parts), "--resume"]
    assert "other data" in one_mistake(without_batches, capsys)
    assert "earlier fit" in one_mistake(resume[:-1], capsys)


def test_a_fit_begun_before_there_was_low_precision_resumes(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ["fit", str(cells), *SETUP, *SMALL, "--output", str(tmp_path / "fit"), "--max-epochs", "2"]
    assert main(fit) == 0
    config = json.loads((tmp_path / "fit" / "config.json").read_text())
    assert config["options"].pop("low_precision") is False
    (tmp_path / "fit" / "config.json").write_text(json.dumps(config))
    assert "no --low-precision, not --low-precision" in one_mistake([*fit, "--resume", "--low-precision"], capsys)
    assert main([*fit, "--resume"]) == 0


@pytest.mark.parametrize("step", [2, 7])
def test_interruption_leaves_a_fit_that_resumes(
    step: int, cells: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = (
        "import os, signal, sys\n"
        "from pyro_vmm.command_line.interruption import StopOnSignal\n"
        "told = StopOnSignal.step_ended\n"
        "def step_ended(self, trainer):\n"
        f"    if trainer.svi.steps_taken == {step}: os.kill(os.getpid(), signal.SIGINT)\n"
        "    told(self, trainer)\n"
        "StopOnSignal.step_ended = step_ended\n"
        "from pyro_vmm.command_line.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = ["fit", str(cells), "--output", str(tmp_path / "cut"), *SETUP, *SMALL, "--max-epochs", "3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    stopped = subprocess.run(
        [sys.executable, "-c", script, *arguments, "--threads", "1"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert "Traceback" not in stopped.stderr
    assert stopped.returncode == INTERRUPTED
    assert f"Stopped after {step} steps (" in stopped.stderr
    assert "found" not in stopped.stdout + stopped.stderr
    assert "--resume" in stopped.stderr
    assert not (tmp_path / "cut" / "adata.h5ad").exists()
    assert "--resume" in one_mistake(["score", str(tmp_path / "cut"), "--labels", "kind"], capsys)
    assert main([*arguments, "--resume"]) == 0
    assert_same_fit(fitted, tmp_path / "cut")


def assert_same_fit(one: Path, other: Path) -> None:
    for name in ("model.safetensors", "clusters.csv", "latent.npy"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    tables = [pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (one, other)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


# ---- scores ----------------------------------------------------------------------------------------------------------


def test_score_reads_labels_from_the_input_or_a_file(
    fitted: Path, cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(["score", str(fitted), "--labels", "kind"], capsys)
    assert status == 0
    scores = json.loads((fitted / "scores.json").read_text())
    assert {"accuracy_many_to_one", "accuracy_hungarian", "purity", "nmi", "ari", "ami"} <= scores["clusters"].keys()
    assert scores["clusters"]["classes"] == 3
    assert f"{scores['clusters']['nmi']:.4f}"[:5] in out
    assert "elbo_surgery" not in scores
    table = anndata.read_h5ad(cells).obs[["kind"]].sample(frac=1, random_state=0)
    table.to_csv(tmp_path / "labels.csv", index_label="id")
    assert main(["score", str(fitted), "--labels", str(tmp_path / "labels.csv")]) == 0
    assert json.loads((fitted / "scores.json").read_text())["clusters"] == scores["clusters"]


def test_score_without_scib_metrics_says_so(
    fitted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "scib_metrics" else find(name))
    status, out, _ = run(["score", str(fitted), "--labels", "kind", "--batch-key", "donor"], capsys)
    assert status == 0
    assert "pip install scib-metrics" in out
    assert "integration" not in json.loads((fitted / "scores.json").read_text())


class Benchmarker:
    """In place of scib-metrics': remembers what it was given."""

    seen: AnnData

    def __init__(self, adata: AnnData, **options: object) -> None:
        Benchmarker.seen = adata
        assert options["embedding_obsm_keys"] == ["latent"]
        assert options["pre_integrated_embedding_obsm_key"] == "before"

    def benchmark(self) -> None:
        pass

    def get_results(self, min_max_scale: bool) -> pd.DataFrame:
        assert not min_max_scale
        values = {"KMeans NMI": 0.25, "Batch correction": 0.5, "Bio conservation": 0.75, "Total": 0.65}
        return pd.DataFrame({**values, "iLISI": 0.125}, index=["latent"])


@pytest.fixture
def scib_metrics(monkeypatch: pytest.MonkeyPatch) -> type[Benchmarker]:
    find, load = importlib.util.find_spec, importlib.import_module
    stand_in = types.SimpleNamespace(Benchmarker=Benchmarker)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name == "scib_metrics" else find(name))
    monkeypatch.setattr(
        integration.importlib,  # type: ignore[attr-defined]
        "import_module",
        lambda name: stand_in if name == "scib_metrics.benchmark" else load(name),
    )
    return Benchmarker


def test_score_of_integration(
    fitted: Path,
    cells: Path,
    scib_metrics: type[Benchmarker],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(integration, "MOST_CELLS", 100)
    status, out, _ = run(["score", str(fitted), "--labels", "kind", "--batch-key", "donor"], capsys)
    assert status == 0
    assert "bio_conservation" in out
    told = {"total": 0.65, "bio_conservation": 0.75, "batch_correction": 0.5, "KMeans NMI": 0.25, "iLISI": 0.125}
    assert json.loads((fitted / "scores.json").read_text())["integration"] == told | {"cells": 100.0}
    seen, adata = scib_metrics.seen, anndata.read_h5ad(cells)
    rows = seen.obs_names.astype(int)
    assert len(set(rows)) == 100
    np.testing.assert_array_equal(seen.obsm["latent"], np.load(fitted / "latent.npy")[rows])
    assert seen.obs["label"].tolist() == adata.obs["kind"].iloc[rows].tolist()
    assert seen.obs["batch"].tolist() == adata.obs["donor"].iloc[rows].tolist()
    # Scores of variance explained are of these: those of a dense computation, up to the components' signs.
    counts = adata.layers["counts"].toarray()[rows].astype(float)
    dense = np.log1p(1e4 * counts / counts.sum(1, keepdims=True))
    u, s, _ = np.linalg.svd(dense - dense.mean(0), full_matrices=False)
    before = seen.obsm["before"]
    np.testing.assert_allclose(np.abs(before), np.abs(u * s)[:, : before.shape[1]], rtol=1e-3, atol=1e-3)


def test_mistaken_scores(fitted: Path, cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = ["score", str(fitted), "--labels"]
    assert "'tissue'" in one_mistake([*score, "tissue"], capsys)
    assert "means nothing" in one_mistake([*score, "sex"], capsys)
    assert "no column 'lab'" in one_mistake([*score, "kind", "--batch-key", "lab"], capsys)
    folder = tmp_path / "run"
    shutil.copytree(fitted, folder)
    config = json.loads((folder / "config.json").read_text())
    config["fit"]["input"] = str(tmp_path / "moved.h5ad")
    (folder / "config.json").write_text(json.dumps(config))
    score = ["score", str(folder), "--labels", "kind"]
    assert "no file" in one_mistake(score, capsys)
    adata = anndata.read_h5ad(cells)
    adata.layers["counts"][0, 0] += 1
    write_cells(adata, tmp_path / "moved.h5ad")
    assert "has changed since the fit" in one_mistake(score, capsys)
    write_cells(adata[:, 1:].copy(), tmp_path / "moved.h5ad")
    assert "lacks 1 of the model's 30 genes" in one_mistake(score, capsys)


# ---- mistakes --------------------------------------------------------------------------------------------------------


def with_nan(adata: AnnData) -> None:
    adata.obs.loc[adata.obs_names[4], "mito"] = np.nan


def with_negative(adata: AnnData) -> None:
    adata.layers["counts"][3, 2] = -1


def with_empty_cell(adata: AnnData) -> None:
    adata.layers["counts"] = without(adata, cell=7)


def with_lone_cell(adata: AnnData) -> None:
    adata.obs["donor"] = ["d3", *adata.obs["donor"].astype(str)[1:]]


def with_twin_genes(adata: AnnData) -> None:
    adata.var_names = ["g1", *adata.var_names[1:]]


def with_twin_cells(adata: AnnData) -> None:
    adata.obs_names = ["cell-2", *[name if name != "cell-2" else "cell-x" for name in adata.obs_names[1:-1]], "cell-2"]


def without_batches(adata: AnnData) -> None:
    adata.obs.loc[adata.obs_names[:3], "donor"] = np.nan


def with_zero_factor(adata: AnnData) -> None:
    adata.obs["factor"] = 0.0


UNREADABLE = {
    "text.h5ad": "is not an HDF5 file",
    "half.h5ad": "is incomplete",
    "foreign.h5ad": "check that AnnData wrote it",
    "rot.zarr": "has no readable zarr.json or .zgroup",
}
MISTAKES: list[tuple[Callable[[AnnData], None] | str | None, list[str], list[str]]] = [
    (None, ["--layer", "countz"], ["no layer 'countz': give --layer 'counts' or no --layer for adata.X"]),
    (None, ["--device", "tpu"], ["--device 'tpu' is not known"]),
    (None, ["--batch-size", "1"], ["batch normalisation needs at least 2 cells."]),
    (None, ["--likelihood", "normal"], ["choose 'zinb', 'nb', 'poisson'."]),
    (None, ["--batch-key", "doner"], ["no column 'doner'", "--batch-key", "'donor'"]),
    (None, ["--covariates", "plate"], ["no column 'plate'", "--covariates"]),
    (None, ["--covariates", "sex", "sex"], ["'sex'", "2 times"]),
    (None, ["--covariates", "donor"], ["'donor'", "2 times"]),
    (None, ["--covariates"], ["--covariates"]),
    (None, ["--size-factor-key", "kind"], ["'kind'", "--size-factor-key", "not numeric"]),
    (
        None,
        ["--size-factor-key", "factor", "--infer-library-size"],
        ["Size factors (adata.obs['factor'])", "and --infer-library-size infers them: leave one"],
    ),
    (None, ["--likelihood", "bernoulli"], ["--likelihood 'bernoulli'", "zinb"]),
    (None, ["--dispersion", "cell"], ["--dispersion 'cell'", "gene-batch"]),
    (None, ["--prior", "vampire"], ["'vampire'", "vamp-mixture"]),
    (None, ["--prior-inference", "bayes"], ["'bayes'", "map-dp"]),
    (None, ["--weights", "equal"], ["'equal'", "stick-breaking"]),
    (None, ["--num-components", "250"], ["--num-components 250", "at most 216, or --prior 'gaussian-mixture'."]),
    (None, ["--num-components", "0"], ["--num-components is 0"]),
    (None, ["--latent-dim", "0"], ["--latent-dim is 0"]),
    (None, ["--prior-weight", "0"], ["--prior-weight is 0.0"]),
    (None, ["--learning-rate", "-1"], ["--learning-rate is -1.0"]),
    (None, ["--learning-rate-schedule", "linear"], ["'linear'", "cosine"]),
    (None, ["--batch-size", "0"], ["--batch-size is 0"]),
    (None, ["--max-epochs", "0"], ["--max-epochs is 0"]),
    (None, ["--patience", "0"], ["--patience is 0"]),
    (None, ["--device", "tpu"], ["'tpu'", "cpu"]),
    (None, ["--threads", "0"], ["--threads"]),
    (None, ["--seed", "-1"], ["--seed is -1"]),
    (None, ["--resume"], ["no config.json"]),
    (None, ["--network", "conv"], ["--network is for arrays and images only, not for cells.h5ad: leave it out."]),
    (
        None,
        ["--network", "mlp", "--data-root", "."],
        ["--network and --data-root are for arrays and images only", "leave them out"],
    ),
    (None, ["--label-column", "kind"], ["--label-column"]),
    (with_nan, [], ["'mito'", "--covariates", "missing (NaN)"]),
    (with_negative, [], ["negative", "-1", "'g2'", "raw counts"]),
    (with_empty_cell, [], ["1 cell with no counts"]),
    (with_lone_cell, [], ["'d3'", "one cell"]),
    (with_twin_genes, [], ["repeated gene name", "'g1'"]),
    (with_twin_cells, [], ["repeated cell name", "'cell-2'"]),
    (without_batches, [], ["'donor'", "--batch-key", "3 missing"]),
    (with_zero_factor, ["--size-factor-key", "factor"], ["'factor'", "above 0"]),
    ("normalised", [], ["adata.X", "non-whole", "raw counts, perhaps --layer 'counts'"]),
    ("absent.h5ad", [], ["no file", "absent.h5ad"]),
    ("absent.zarr", [], ["no folder", "absent.zarr"]),
    ("empty.h5ad", [], ["empty.h5ad is an empty file"]),
    ("folder.h5ad", [], ["folder.h5ad is a folder"]),
    ("text.zarr", [], ["text.zarr is a file, not a Zarr folder"]),
    *((name, [], [name, told]) for name, told in UNREADABLE.items()),
    (
        "array.npy",
        [],
        ["--layer, --batch-key and --covariates are for single-cell input (.h5ad or .zarr) only, not for array.npy"],
    ),
]


@pytest.mark.parametrize(
    ("spoil", "arguments", "fragments"),
    MISTAKES,
    ids=[" ".join([getattr(case[0], "__name__", case[0] or "cells"), *case[1]]) for case in MISTAKES],
)
def test_mistaken_fits(
    spoil: Callable[[AnnData], None] | str | None,
    arguments: list[str],
    fragments: list[str],
    cells: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    name, setup = "cells.h5ad", SETUP
    if callable(spoil):
        adata = anndata.read_h5ad(cells)
        spoil(adata)
        adata.raw = None
        write_cells(adata, Path(name))
    else:
        shutil.copy(cells, name)
    if spoil == "normalised":
        setup = []
    elif isinstance(spoil, str):
        name = spoil
        spoiled_files(cells)
    message = one_mistake(["fit", name, "--output", "out", *setup, *SMALL, "--max-epochs", "1", *arguments], capsys)
    for fragment in fragments:
        assert fragment in message
    for option in OPTIONS:
        assert option not in message, "as the library calls it"
    # The mended command finds no earlier fit in the way.
    assert not (tmp_path / "out" / "config.json").exists()


def spoiled_files(cells: Path) -> None:
    """Files, in the present folder, that are not what their name says."""
    whole = cells.read_bytes()
    Path("half.h5ad").write_bytes(whole[: len(whole) // 2])
    Path("text.h5ad").write_text("gene,cell\n" * 100)
    Path("text.zarr").write_text("gene,cell\n")
    Path("empty.h5ad").touch()
    Path("folder.h5ad").mkdir()
    h5py = importlib.import_module("h5py")
    with h5py.File("foreign.h5ad", "w") as file:
        file["matrix"] = np.ones(3)
    Path("rot.zarr").mkdir()
    Path("rot.zarr/zarr.json").write_text("{")
    np.save("array.npy", np.ones((20, 3)))


def test_the_input_is_not_written_over(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (fitted / "adata.h5ad").read_bytes()
    message = one_mistake(["fit", str(fitted / "adata.h5ad"), "--output", str(fitted), *SETUP, "--resume"], capsys)
    assert "write over the input" in message
    assert (fitted / "adata.h5ad").read_bytes() == before


def test_annotated_cells_can_be_fitted_again(fitted: Path, tmp_path: Path) -> None:
    arguments = ["fit", str(fitted / "adata.h5ad"), "--output", str(tmp_path / "run"), *SETUP, *SMALL]
    assert main([*arguments, "--max-epochs", "1", "--latent-dim", "2"]) == 0
    assert anndata.read_h5ad(tmp_path / "run" / "adata.h5ad").obsm["X_vmm"].shape == (NUM_CELLS, 2)


def test_zarr_is_asked_for_where_it_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "zarr" else find(name))
    assert "pip install zarr" in one_mistake(["fit", "cells.zarr", "--output", str(tmp_path / "out")], capsys)


def test_pickles_in_zarr_are_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever release of Zarr is at work: its codecs are looked up here, and pickle is not among them."""
    registry = importlib.import_module("numcodecs.registry")
    monkeypatch.setattr(anndata, "read_zarr", lambda path: registry.get_codec({"id": "pickle"}))
    (tmp_path / "cells.zarr").mkdir()
    with pytest.raises(UserError, match="holds Python objects \\(pickled\\), which are never loaded"):
        read_cells(tmp_path / "cells.zarr")
    assert registry.get_codec({"id": "pickle"}) is not None


def test_cells_are_written_whole_or_not_at_all(cells: Path, tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    shutil.copy(cells, path)
    adata = anndata.read_h5ad(cells)
    adata.uns["unwritable"] = object()
    with pytest.raises(UserError, match=r"cells\.h5ad cannot be written"):
        write_cells(adata, path)
    assert path.read_bytes() == cells.read_bytes()
    assert os.listdir(tmp_path) == ["cells.h5ad"]


def test_a_full_disk_is_told_of_cells_as_of_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 may crash the process on one: the file is composed before it is written."""

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    adata = simulate_cells(10, 5, num_groups=2)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: '.*cells\.h5ad'$"):
        write_cells(adata, tmp_path / "cells.h5ad")
    assert os.listdir(tmp_path) == []


def test_the_digest_sees_everything_that_is_fitted_and_nothing_else() -> None:
    from pyro_vmm.modalities.cell_input import cells_sha256

    setup = CountSetup("counts", "donor", ["sex"], ["mito"], "factor")

    def digest(change: Callable[[AnnData], object]) -> str:
        adata = simulate()
        change(adata)
        return cells_sha256(read_counts(adata, setup))

    def swap(column: str) -> Callable[[AnnData], object]:
        def reverse(adata: AnnData) -> None:
            adata.obs[column] = adata.obs[column].to_numpy()[::-1]

        return reverse

    def move_one_count(adata: AnnData) -> None:
        counts = adata.layers["counts"].toarray()
        cell, gene = np.argwhere((counts[:, :-1] > 0) & (counts[:, 1:] == 0))[0]
        counts[cell, [gene, gene + 1]] = counts[cell, [gene + 1, gene]]
        adata.layers["counts"] = scipy.sparse.csr_matrix(counts)

    same = digest(lambda adata: None)
    assert digest(swap("kind")) == same
    assert digest(lambda adata: adata.layers.update(counts=adata.layers["counts"].tocsc())) == same
    changed = [digest(swap(column)) for column in ("donor", "sex", "mito", "factor")]
    changed.append(digest(move_one_count))
    changed.append(digest(lambda adata: adata.layers.update(counts=adata.layers["counts"][::-1])))
    changed.append(digest(lambda adata: setattr(adata, "var_names", [f"h{i}" for i in range(NUM_GENES)])))
    changed.append(digest(lambda adata: setattr(adata, "obs_names", [f"c{i}" for i in range(NUM_CELLS)])))
    assert len({same, *changed}) == 1 + len(changed)


def test_values_that_are_not_whole_are_fitted_when_the_option_says_so(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fit", str(cells), "--output", str(tmp_path / "run"), *SMALL, "--max-epochs", "1"]
    assert "--allow-non-counts" in one_mistake(command, capsys)
    assert run([*command, "--allow-non-counts"], capsys)[0] == 0
    annotated = anndata.read_h5ad(tmp_path / "run" / "adata.h5ad")
    assert SingleCellVMM.load(tmp_path / "run", annotated).allow_non_counts


def test_components_are_joined_unless_the_option_says_none(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = []
    for merging in ("none", "evidence"):
        output = tmp_path / merging
        command = ["fit", str(cells), "--output", str(output), *SETUP, *SMALL, "--max-epochs", "2"]
        assert run([*command, "--merging", merging, "--weight-rate", "1"], capsys)[0] == 0
        numbers.append(json.loads((output / "config.json").read_text())["fitted"]["clusters"]["number"])
    assert numbers[0] > numbers[1] >= 1
