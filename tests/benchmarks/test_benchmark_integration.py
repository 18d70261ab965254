"""The integration table by the common command, with methods that stand in for the slow ones."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from benchmarks import embedding_scores, tables
from benchmarks.count_files import FILES, read
from benchmarks.fitted import Absent
from benchmarks.harness import Trial, finished
from benchmarks.methods import rivals
from benchmarks.tables import integration
from pyro_vmm.command_line.main import main
from pyro_vmm.single_cell import simulate_cells


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with one file of cells, under the name of one of the benchmark's."""
    cells = simulate_cells(60, 12, num_groups=3, num_batches=2)
    cells.obs["cell_type"] = cells.obs["group"]
    del cells.layers["share"], cells.layers["unbatched_share"]
    cells.write_h5ad(tmp_path / "starmap_mpfc_spatial.h5ad")
    return tmp_path


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[AnnData]:
    """What a rival that stands in for PCA was given; Leiden and scib-metrics are stood in for, too."""
    given: list[AnnData] = []

    def stub(adata: AnnData, seed: int) -> rivals.Embedding:
        given.append(adata)
        return np.random.default_rng(seed).normal(size=(adata.n_obs, 2)), {"epochs": 3.0}

    def leiden(embedding: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(len(embedding)) % 4, np.ones(len(embedding))

    monkeypatch.setattr(rivals, "RIVALS", {"pca": stub, "seurat": rivals.seurat})
    monkeypatch.setattr(rivals, "pca", lambda adata, seed: None)
    monkeypatch.setattr(rivals, "version", lambda package: "1")
    for module in (rivals, embedding_scores):
        monkeypatch.setattr(module, "leiden", leiden)
    monkeypatch.setattr(integration, "NEEDED", ())
    monkeypatch.setattr(integration, "NEEDED_IN_FULL", ())
    # No Rscript on this path, whatever the machine has.
    monkeypatch.setenv("PATH", "")
    rivals.seurat_version.cache_clear()
    only_rivals = replace(
        integration.TABLE,
        trials=lambda quick, seed: [
            trial for trial in integration.trials(False, seed) if trial.method in ("pca", "seurat")
        ],
    )
    monkeypatch.setitem(tables.TABLES, "integration", only_rivals)
    return given


def test_fits_see_counts_and_batches_and_what_is_absent_is_left_out(
    data: Path, seen: list[AnnData], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = []

    def integration_scores(*arguments: object) -> dict[str, float]:
        scored.append(arguments)
        return {"total": 0.5, "bio_conservation": 0.4, "batch_correction": 0.6, "cells": 60.0}

    monkeypatch.setattr(embedding_scores, "integration_scores", integration_scores)
    monkeypatch.setattr(embedding_scores, "_known", {})
    command = ["benchmark", "integration", "--seeds", "1", "--jobs", "0", "--output", str(tmp_path / "runs")]
    command += ["--data-root", str(data)]
    assert main(command) == 0, "".join(capsys.readouterr())
    assert [list(adata.obs.columns) for adata in seen] == [["batch"]]
    told = capsys.readouterr().out
    assert "left out: Rscript with the package Seurat is not installed here" in told
    assert "left out: there is no" in told
    assert f"**1 of {2 * len(FILES)} trials have been run.**" in told
    assert "pca, mean over 1 files: NMI" in told
    assert "Total 0.500, bio 0.400, batch 0.600" in told
    trial = integration.trials(False, 0)[2 * 9]
    result = finished(tmp_path / "runs" / "integration", trial)
    assert result is not None
    assert result["facts"]["versions"]["scanpy"] == "1"
    assert {"leiden_nmi", "leiden_ari", "leiden_clusters", "epochs", "total"} <= set(result["numbers"])
    assert result["numbers"]["clusters"] == 4
    assert main(command) == 0
    assert len(seen) == len(scored) == 1
    assert main([*command, "--list", "--only", "starmap*"]) == 0
    listed = capsys.readouterr().out.splitlines()[-2:]
    assert listed == ["done   starmap_mpfc_spatial/pca/seed0", "to do  starmap_mpfc_spatial/seurat/seed0"]


def test_an_embedding_is_scored_once_and_against_batches_only_where_there_are(
    seen: list[AnnData], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    totals = {"total": 0.5, "bio_conservation": 0.4, "batch_correction": 0.6}
    monkeypatch.setattr(embedding_scores, "integration_scores", lambda *given: calls.append(given) or totals)
    monkeypatch.setattr(embedding_scores, "_known", {})
    embedding, truth = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 4
    for batches, number in ((2, 1), (2, 1), (1, 1)):
        cells = simulate_cells(40, 8, num_groups=2, num_batches=batches)
        scores = embedding_scores.embedding_scores(cells, embedding, truth, 0)
        assert scores["leiden_nmi"] == scores["leiden_ari"] == 1.0
        assert ("total" in scores) == (batches == 2)
        assert len(calls) == number


def test_mistakes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integration, "NEEDED", ("no_such_package",))
    output = ["--output", str(tmp_path / "runs")]
    for arguments, told in (
        (["--jobs", "-3"], "--jobs"),
        (["--data-root", str(data), "--only", "nosuch"], "--only nosuch"),
        ([], "--data-root"),
        (["--data-root", str(tmp_path / "empty")], "h5ad"),
        (["--data-root", str(data)], "no_such_package"),
    ):
        assert main(["benchmark", "integration", *arguments, *output]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1


def test_cells_and_cell_types_of_a_file_are_in_one_order(data: Path) -> None:
    cells, cell_types = read(data / "starmap_mpfc_spatial.h5ad")
    truth = simulate_cells(60, 12, num_groups=3, num_batches=2)
    assert list(cells.obs.columns) == ["batch"]
    assert (cells.X != truth.X).nnz == 0
    assert (cell_types == truth.obs["group"].astype(str)).all()
    with pytest.raises(Absent, match=r"no_such\.h5ad"):
        read(data / "no_such.h5ad")


def test_each_prior_has_a_row() -> None:
    """The standard normal alone has no clusters of its own."""
    ours: list[Trial] = [trial for trial in integration.trials(False, 0) if trial.fit == "single-cell-vmm"]
    found = {trial.method: trial.options for trial in ours}
    assert {name: options.get("model", {}).get("prior", "vamp-mixture") for name, options in found.items()} == {
        "normal": "standard-normal",
        "vamp-prior": "vamp-prior",
        "dp-gmm": "gaussian-mixture",
        "vmm": "vamp-mixture",
    }
    assert [name for name, options in found.items() if "afterwards" in options] == ["normal"]
    assert all(options["embedding"] for options in found.values())


def test_time_of_a_method_in_another_process_counts() -> None:
    """R works in a process of its own, whose time this one's clock does not know."""
    before = rivals._cpu_seconds()
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert rivals._cpu_seconds() - before >= 0.25
