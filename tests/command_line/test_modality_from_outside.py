"""A modality that is no part of the package is fitted, scored, reported and refitted by the command."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from modalities.shares import Shares

from pyro_vmm.command_line.main import main
from pyro_vmm.fit import Fit
from pyro_vmm.modalities import named, register, registry

SMALL = ["--num-components", "4", "--latent-dim", "2", "--batch-size", "20", "--device", "cpu", "--quiet"]

register(Shares)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(0)
    kind = generator.integers(0, 2, 60)
    shares = generator.gamma(np.array([[8.0, 1.0, 1.0], [1.0, 1.0, 8.0]])[kind])
    frame = pd.DataFrame(shares, columns=["sand", "silt", "clay"], index=[f"field {row}" for row in range(60)])
    path = tmp_path_factory.mktemp("table") / "soils.shares.csv"
    frame.assign(kind=np.array(["a", "b"])[kind]).to_csv(path, index_label="id")
    return path


def command(table: Path, output: Path, *more: str) -> list[str]:
    return ["fit", str(table), "--output", str(output), "--label-column", "kind", *SMALL, *more]


@pytest.fixture(scope="module")
def fitted(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("fitted") / "run"
    assert main(command(table, output, "--width", "8", "--max-epochs", "4")) == 0
    return output


@pytest.fixture
def run(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "run"))


def mistake(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def test_it_is_fitted(fitted: Path) -> None:
    config = json.loads((fitted / "config.json").read_text())
    assert (config["kind"], config["options"]["width"], config["options"]["learning_rate"]) == ("shares", 8, 3e-3)
    clusters = pd.read_csv(fitted / "clusters.csv")
    assert clusters["id"].tolist() == [f"field {row}" for row in range(60)]
    assert {"training.png", "latent.png", "weights.png"} <= {path.name for path in (fitted / "figures").iterdir()}
    fit = Fit.load(fitted)
    assert fit.labels is not None
    assert fit.labels.tolist() == clusters["cluster"].tolist()


@pytest.fixture
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_vmm.plotting.save_figures", lambda *_, **__: [])


@pytest.mark.usefixtures("_no_figures")
def test_it_goes_on(fitted: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = tmp_path / "parts"
    assert main(command(table, parts, "--width", "8", "--max-epochs", "2")) == 0
    assert main(command(table, parts, "--width", "8", "--max-epochs", "4", "--resume")) == 0
    assert (parts / "model.safetensors").read_bytes() == (fitted / "model.safetensors").read_bytes()
    told = mistake(command(table, parts, "--width", "9", "--resume"), capsys)
    assert "was begun with --width 8, not --width 9: resume with the same options" in told


def test_it_is_scored(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(run), "--labels", "kind"]) == 0
    scores = json.loads((run / "scores.json").read_text())
    assert scores["clusters"]["classes"] == 2
    assert "elbo_surgery" not in scores
    told = mistake(["score", str(run), "--labels", "sand"], capsys)
    assert "--labels sand was given to the fit, so a score against it means nothing: fit without it." in told
    assert "has none: leave it out" in mistake(["score", str(run), "--labels", "kind", "--batch-key", "lab"], capsys)


def test_another_input_is_not_scored(
    run: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = pd.read_csv(table, index_col="id")
    changed["sand"] += 0.5
    changed.to_csv(tmp_path / "changed.shares.csv")
    config = json.loads((run / "config.json").read_text())
    config["fit"]["input"] = str(tmp_path / "changed.shares.csv")
    (run / "config.json").write_text(json.dumps(config))
    told = mistake(["score", str(run), "--labels", "kind"], capsys)
    assert "changed.shares.csv has changed since the fit: score with the same input." in told


def test_it_is_reported(run: Path) -> None:
    assert main(["report", str(run), "--labels", "kind"]) == 0
    assert "soils.shares.csv" in (run / "report.html").read_text()


@pytest.mark.usefixtures("_no_figures")
def test_it_is_fitted_with_other_seeds(run: Path, table: Path, tmp_path: Path) -> None:
    assert main(["stability", str(run), "--num-seeds", "2", "--quiet"]) == 0
    assert main(command(table, tmp_path / "by hand", "--width", "8", "--max-epochs", "4", "--seed", "1")) == 0
    made, by_hand = (folder / "model.safetensors" for folder in (run / "seeds" / "1", tmp_path / "by hand"))
    assert made.read_bytes() == by_hand.read_bytes()


def test_flags_are_those_of_the_modality(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", np.ones((9, 3)))
    told = mistake(["fit", str(tmp_path / "x.npy"), "--output", str(tmp_path / "run"), "--width", "3"], capsys)
    assert "--width is for shares (.shares.csv or .shares.npz) only, not for " in told
    told = mistake(command(table, tmp_path / "run", "--network", "mlp", "--data-root", "."), capsys)
    assert "--network and --data-root are for arrays and images only, not for " in told
    assert "--width is 0: it must be a whole number" in mistake(command(table, tmp_path, "--width", "0"), capsys)
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    assert "units of the hidden layer" in capsys.readouterr().out


def test_an_installed_package_brings_its_modalities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "entry_points", lambda group: [SimpleNamespace(name="shares", load=lambda: Shares)])
    registry._of_other_packages.cache_clear()
    try:
        assert named("shares") is Shares
        assert registry.recognised("x.shares.csv") is Shares
        assert registry.recognised("x.csv").name == "arrays"
        assert registry.recognised("x.h5ad").name == "single-cell"
    finally:
        registry._of_other_packages.cache_clear()
