"""What ``pyro-vmm fit`` of an earlier version has left is scored, reported, gone on with and refitted."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from stored_models.make_stored_models import command_of, write_inputs

from pyro_vmm.command_line.main import main
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.modalities.array_input import DEFAULTS

RELEASES = sorted(path.parent for path in (Path(__file__).parents[1] / "stored_models").glob("*/command_line"))
KINDS = ["arrays", "cells"]
# A rounding error may grow over the steps of training, and releases of torch draw dropout differently.
TOLERANCE = {"arrays": 1e-3, "cells": 3e-2}
OF_ANOTHER_TORCH = 0.2
"""Latents of cells, of which a release of torch that draws dropout differently has trained the last steps."""


@pytest.fixture(params=RELEASES, ids=lambda path: path.name, autouse=True)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of the release's folders beside the inputs, as the present folder."""
    shutil.copytree(request.param / "command_line", tmp_path, dirs_exist_ok=True)
    write_inputs(request.param, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DEFAULTS, "rows.npz", {"hidden": (8,)})
    monkeypatch.setattr("pyro_vmm.plotting.save_figures", lambda *_, **__: [])
    Path("labels.txt").write_text("\n".join("ab"[row % 2] for row in range(60)))
    return tmp_path


def mistake(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


@pytest.mark.parametrize("held_out", ["stored", "worked out"])
def test_scores_are_those_of_then(held_out: str) -> None:
    stored = json.loads(Path("arrays/scores.json").read_text())
    if held_out == "worked out":
        config = json.loads(Path("arrays/config.json").read_text())
        assert config["fitted"].pop("validation_rows")
        Path("arrays/config.json").write_text(json.dumps(config))
    Path("arrays/scores.json").unlink()
    assert main(["score", "arrays", "--labels", "kind"]) == 0
    scores = json.loads(Path("arrays/scores.json").read_text())
    assert scores["clusters"] == stored["clusters"]
    assert scores["epochs"] == stored["epochs"]
    assert scores["elbo_surgery"].keys() == stored["elbo_surgery"].keys()
    for name, value in stored["elbo_surgery"].items():
        assert scores["elbo_surgery"][name] == pytest.approx(value, rel=1e-3, abs=1e-4)


def test_cells_are_scored() -> None:
    assert main(["score", "cells", "--labels", "labels.txt"]) == 0
    assert json.loads(Path("cells/scores.json").read_text())["clusters"]["classes"] == 2


def test_a_finished_fit_of_arrays_is_reported() -> None:
    assert main(["report", "arrays", "--labels", "kind"]) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_results_of_a_resumed_fit_are_written_without_training(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = f"{kind}-stopped"
    resume = [*command_of(kind, output), "--resume"]
    assert main(resume) == 0
    latent = np.load(Path(output, "latent.npy"))
    trained_by = json.loads(Path(kind, "config.json").read_text())["versions"]["torch"]
    same = kind == "arrays" or trained_by == torch.__version__.partition("+")[0]
    tolerance = TOLERANCE[kind] if same else OF_ANOTHER_TORCH
    np.testing.assert_allclose(latent, np.load(Path(kind, "latent.npy")), rtol=tolerance, atol=tolerance)
    for name in ("latent.npy", "clusters.csv"):
        Path(output, name).unlink()
    monkeypatch.setattr(EmpiricalBayesSVI, "step", None)
    assert main(resume) == 0
    np.testing.assert_array_equal(np.load(Path(output, "latent.npy")), latent)
    ids = pd.read_csv(Path(kind, "clusters.csv"))["id"].tolist()
    assert pd.read_csv(Path(output, "clusters.csv"))["id"].tolist() == ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_fit_goes_on_as_it_was_begun(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    output = f"{kind}-stopped"
    resume = [*command_of(kind, output), "--resume"]
    assert "--resume" in mistake(["score", output, "--labels", "labels.txt"], capsys)
    for flag, begun, other in (("--latent-dim", "2", "3"), ("--batch-size", "20", "30"), ("--seed", "3", "4")):
        assert f"was begun with {flag} {begun}, not {flag} {other}: resume" in mistake([*resume, flag, other], capsys)
    assert main(["report", output]) == 0
    assert main(resume) == 0
    assert main(["report", output]) == 0
    history, then = (pd.read_csv(Path(name, "history.csv")) for name in (output, kind))
    assert history["step"].tolist() == then["step"].tolist()
    np.testing.assert_array_equal(history["elbo"][:1], then["elbo"][:1])  # read, not computed
    np.testing.assert_allclose(history["validation_elbo"], then["validation_elbo"], rtol=TOLERANCE[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_is_repeated_with_another_seed(kind: str) -> None:
    assert main(["stability", kind, "--num-seeds", "2", "--quiet"]) == 0
    assert main([*command_of(kind, "by hand"), "--seed", "4"]) == 0
    weights = [Path(name, "model.safetensors").read_bytes() for name in (f"{kind}/seeds/4", "by hand")]
    assert weights[0] == weights[1]
    assert pd.read_csv(Path(kind, "stability.csv"))["seed_4"].tolist() == (
        pd.read_csv("by hand/clusters.csv")["cluster"].tolist()
    )
