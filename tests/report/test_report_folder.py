"""Folders that hold no fit, half a fit or a damaged one; inputs and labels that are gone or not to be used."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL
from sklearn.metrics import normalized_mutual_info_score

from pyro_vmm import UserError
from pyro_vmm.command_line.main import main
from pyro_vmm.report import write_report
from pyro_vmm.single_cell import simulate_cells


@pytest.fixture
def run(images_fit: Path, tmp_path: Path) -> Path:
    return shutil.copytree(images_fit, tmp_path / "run")


def one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith("pyro-vmm: ")
    return told


def test_the_command_writes_the_page_and_says_where(
    run: Path, capsys: pytest.CaptureFixture[str], no_pictures: None
) -> None:
    assert main(["report", str(run)]) == 0
    assert str(run / "report.html") in capsys.readouterr().out
    assert (run / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_no_folder_no_fit_no_file_of_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "There is no folder" in one_line(["report", str(tmp_path / "absent")], capsys)
    assert "holds no model" in one_line(["report", str(tmp_path)], capsys)
    (tmp_path / "config.json").write_text('{"name": "another program"}')
    assert "not a model of pyro-vmm" in one_line(["report", str(tmp_path)], capsys)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("name", ["history.csv", "clusters.csv", "latent.npy", "model.safetensors", "config.json"])
@pytest.mark.parametrize("how", ["gone", "empty", "cut"])
def test_damaged_and_missing_files_are_named(run: Path, name: str, how: str, capsys) -> None:
    path = run / name
    whole = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] if how == "cut" else b"")
    if (name, how) == ("history.csv", "cut"):
        path.write_bytes(b"epoch,step,elbo\n1,2,\x00\xff")
    assert name in one_line(["report", str(run)], capsys)
    assert not (run / "report.html").exists()


def test_tables_of_another_length_are_refused(run: Path) -> None:
    np.save(run / "latent.npy", np.load(run / "latent.npy")[:-1])
    with pytest.raises(UserError, match=r"latent.npy has 199 rows, and the fit 200"):
        write_report(run)


def test_a_configuration_that_lacks_what_it_should_have_is_damaged(run: Path, no_pictures: None) -> None:
    config = json.loads((run / "config.json").read_text())
    del config["fit"]["input"]
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"config.json is damaged"):
        write_report(run)
    (run / "config.json").write_text(json.dumps(config | {"fit": 3}))
    with pytest.raises(UserError, match="not written by pyro-vmm fit"):
        write_report(run)


def test_damaged_scores_are_named(run: Path) -> None:
    (run / "scores.json").write_text("{")
    with pytest.raises(UserError, match=r"scores.json is damaged: run pyro-vmm score again"):
        write_report(run)


def test_an_unfinished_fit_has_a_report_of_its_training_and_says_so(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    del config["fitted"]
    (run / "config.json").write_text(json.dumps(config))
    for name in ("model.safetensors", "clusters.csv", "latent.npy", "history.csv"):
        (run / name).unlink()
    page = write_report(run).read_text()
    assert "has not come to its end" in page
    assert "Unfinished fit of 200 observations" in page
    assert "How the fit went" in page
    assert 'id="cluster-table"' not in page
    shutil.rmtree(run / "checkpoint")
    with pytest.raises(UserError, match="has not written a checkpoint yet"):
        write_report(run)


def test_an_input_that_is_gone_or_changed_is_a_notice(run: Path, no_pictures: None) -> None:
    config = json.loads((run / "config.json").read_text())
    moved = config | {"fit": config["fit"] | {"input": str(run / "moved.npz")}}
    (run / "config.json").write_text(json.dumps(moved))
    assert "The input could not be read again" in write_report(run).read_text()
    np.savez(run / "moved.npz", X=np.zeros((200, 8, 8), np.float32))
    assert "has changed since the fit" in write_report(run).read_text()


def test_labels_that_cannot_be_used(run: Path, hostile_fit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "neither a column" in one_line(["report", str(run), "--labels", "absent"], capsys)
    assert "was given to the fit" in one_line(["report", str(run), "--labels", "pixel_0_0"], capsys)
    assert "was given to the fit" in one_line(["report", str(hostile_fit), "--labels", "donor"], capsys)


def test_labels_of_an_earlier_score_that_are_gone_are_a_notice(run: Path, no_pictures: None) -> None:
    scores = {"clusters": {"nmi": 0.5}, "labels": "gone.csv"}
    (run / "scores.json").write_text(json.dumps(scores))
    page = write_report(run).read_text()
    assert "Pictures with labels are left out" in page
    assert "Clusters against gone.csv" in page


def test_labels_from_a_file_are_matched_to_the_observations(run: Path, tmp_path: Path, no_pictures: None) -> None:
    lines = "\n".join(["id,label", *(f"{i},L{i % 2}" for i in reversed(range(200)))])
    (tmp_path / "labels.csv").write_text(lines)
    page = write_report(run, labels=str(tmp_path / "labels.csv")).read_text()
    clusters = pd.read_csv(run / "clusters.csv")
    largest = clusters[clusters["cluster"] == 0]["id"] % 2
    assert f"<bdi>L{int(largest.mode()[0])}</bdi>" in page
    nmi = normalized_mutual_info_score(clusters["id"] % 2, clusters["cluster"])
    assert f">{nmi:.4g}<" in page


def test_batches_that_the_fit_was_not_told_of_and_labels_are_looked_at(
    tmp_path: Path, no_pictures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = simulate_cells(300, 40, num_groups=3, num_batches=2, batch_effect=2.0, seed=1)
    cells.obs["shuffled"] = np.random.default_rng(0).permutation(cells.obs["group"].to_numpy())
    cells.write_h5ad(tmp_path / "cells.h5ad")
    run = str(tmp_path / "run")
    assert main(["fit", str(tmp_path / "cells.h5ad"), "--output", run, *SMALL, "--max-epochs", "10"]) == 0
    page = write_report(run).read_text()
    assert "batch effect" not in page
    assert "labels in the embedding" not in page
    assert main(["report", run, "--labels", "shuffled", "--batch-key", "batch"]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert re.search(r"Warning:?\W+(<[^>]+>\s*)*batch effect", page)
    assert re.search(r"Warning:?\W+(<[^>]+>\s*)*labels in the embedding", page)
    assert main(["report", run, "--batch-key", "lab"]) == 2
    assert "--batch-key lab is no column" in capsys.readouterr().err


def test_cells_without_their_adata_are_reported_without_genes(
    hostile_fit: Path, tmp_path: Path, no_pictures: None
) -> None:
    run = shutil.copytree(hostile_fit, tmp_path / "run")
    (run / "adata.h5ad").unlink()
    page = write_report(run).read_text(encoding="utf-8")
    assert "adata.h5ad is missing" in page
    assert "Marker genes" not in page
    assert 'id="cluster-table"' in page
