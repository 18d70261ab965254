"""``pyro-vmm stability``: further seeds of a fit, each a whole fit of its own, and what they agree on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from pyro_vmm.command_line import stability as command
from pyro_vmm.command_line.main import INTERRUPTED, USER_MISTAKE, main
from pyro_vmm.diagnosis import stability
from pyro_vmm.diagnosis.stability_table import stability_from_table
from pyro_vmm.errors import UserError
from pyro_vmm.report.fit_folder import read_fit
from pyro_vmm.report.seen import look
from pyro_vmm.single_cell import simulate_cells

SMALL = [
    "--num-components",
    "8",
    "--latent-dim",
    "3",
    "--batch-size",
    "64",
    "--device",
    "cpu",
    "--quiet",
    "--merging",
    "none",
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "images.npz"
    np.savez(
        path, X=(load_digits().images[:200] / 16).astype(np.float32), ids=np.array([f"scan {i}" for i in range(200)])
    )
    return path


@pytest.fixture(scope="module")
def compared(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit with seed 4 and what two more seeds say."""
    output = tmp_path_factory.mktemp("a folder") / "run"
    fit = ["fit", str(images), "--likelihood", "bernoulli", "--output", str(output), "--seed", "4", *SMALL]
    assert main([*fit, "--max-epochs", "40"]) == 0
    assert main(["stability", str(output), "--num-seeds", "3"]) == 0
    return output


@pytest.fixture
def run(compared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(compared, tmp_path / "run"))


def clusters_of(folder: Path) -> list[int]:
    return pd.read_csv(folder / "clusters.csv")["cluster"].tolist()


def test_the_table_holds_every_run_and_what_they_agree_on(compared: Path) -> None:
    table = pd.read_csv(compared / "stability.csv")
    assert table["id"].tolist() == [f"scan {i}" for i in range(200)]
    runs = {seed: table[f"seed_{seed}"].tolist() for seed in (4, 5, 6)}
    assert all(len(set(run)) > 1 for run in runs.values())
    assert runs == {4: clusters_of(compared)} | {s: clusters_of(compared / "seeds" / str(s)) for s in (5, 6)}
    expected = stability(list(runs.values()), [4, 5, 6])
    assert table["consensus"].tolist() == expected.consensus.tolist()
    np.testing.assert_allclose(table["vote"], expected.vote, atol=1e-6)
    again = stability_from_table(table)
    assert again.seeds == (4, 5, 6)
    np.testing.assert_array_equal(again.rand_index, expected.rand_index)


def test_another_seed_is_the_fit_that_the_command_would_make(compared: Path, images: Path, tmp_path: Path) -> None:
    fit = ["fit", str(images), "--likelihood", "bernoulli", "--output", str(tmp_path), "--seed", "5", *SMALL]
    assert main([*fit, "--max-epochs", "40"]) == 0
    by_hand, made = ((folder / "model.safetensors").read_bytes() for folder in (tmp_path, compared / "seeds" / "5"))
    assert by_hand == made
    assert made != (compared / "model.safetensors").read_bytes()


def test_what_is_finished_is_not_fitted_again(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = []
    monkeypatch.setattr(command, "fit", lambda request: fitted.append(request.options["random_state"]))
    assert main(["stability", str(run), "--num-seeds", "2"]) == 0
    assert "2 runs found" in capsys.readouterr().out
    # A seed that is yet to be fitted is, and one that stops before its end stops it all.
    assert main(["stability", str(run), "--num-seeds", "5"]) == INTERRUPTED
    assert fitted == [7]


def test_what_was_interrupted_goes_on(run: Path, images: Path) -> None:
    folder = run / "seeds" / "5"
    whole = (folder / "model.safetensors").read_bytes()
    shutil.rmtree(folder)
    fit = ["fit", str(images), "--likelihood", "bernoulli", "--output", str(folder), "--seed", "5", *SMALL]
    assert main([*fit, "--max-epochs", "20"]) == 0  # as though it had been stopped there
    assert main(["stability", str(run), "--num-seeds", "3"]) == 0
    assert (folder / "model.safetensors").read_bytes() == whole


def test_a_seed_whose_results_are_missing_is_not_trained_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run / "seeds" / "5"
    (folder / "history.csv").unlink()

    def step(*arguments: object) -> None:
        raise AssertionError("it trains again")

    monkeypatch.setattr("pyro_vmm.infer.EmpiricalBayesSVI.step", step)
    assert main(["stability", str(run), "--num-seeds", "2"]) == 0
    assert (folder / "history.csv").exists()


def test_a_report_says_whether_seeds_agree(run: Path) -> None:
    seen = look(read_fit(run))
    assert seen.diagnosis is not None
    assert "3 runs found" in seen.diagnosis["stability between seeds"].sentence
    assert main(["report", str(run)]) == 0
    assert "Consensus cluster 0" in (run / "report.html").read_text()


def test_a_report_leaves_out_what_is_of_an_earlier_fit(run: Path) -> None:
    table = pd.read_csv(run / "clusters.csv")
    table["cluster"] = np.roll(table["cluster"], 1)
    table.to_csv(run / "clusters.csv", index=False)
    seen = look(read_fit(run))
    assert seen.stability is None
    assert any("earlier state" in notice for notice in seen.notices)
    with pytest.raises(KeyError):
        seen.diagnosis["stability between seeds"]  # type: ignore[index]


@pytest.mark.parametrize(
    "text", ["", "no,table\n1", "id,seed_4\na,1\n", "id,seed_4,seed_x\na,1,2\n", "id,seed_4,seed_5\na,1,b\n"]
)
def test_a_damaged_table_is_named(run: Path, text: str) -> None:
    (run / "stability.csv").write_text(text)
    with pytest.raises(UserError, match=r"stability\.csv is damaged: run pyro-vmm stability again"):
        look(read_fit(run))


def test_fits_that_cannot_be_repeated(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*arguments: str) -> str:
        assert main(["stability", *arguments]) == USER_MISTAKE
        return capsys.readouterr().err

    assert "at least 2" in told(str(run), "--num-seeds", "1")
    assert "no folder" in told(str(tmp_path / "nothing"))
    stored = dict(np.load(images))
    changed = tmp_path / "changed.npz"
    np.savez(changed, **stored)
    fit = ["fit", str(changed), "--likelihood", "bernoulli", "--output", str(tmp_path / "changed"), *SMALL]
    assert main([*fit, "--max-epochs", "1"]) == 0
    np.savez(changed, **(stored | {"X": stored["X"][::-1]}))
    assert "has changed since" in told(str(tmp_path / "changed"))
    changed.unlink()
    assert "changed.npz" in told(str(tmp_path / "changed"))
    (run / "seeds" / "5" / "clusters.csv").write_text("id,cluster,probability,second_choice\n")
    assert "clusters.csv" in told(str(run))
    shutil.rmtree(run / "seeds")
    config = json.loads((run / "config.json").read_text())
    for facts in ({"command": 3}, {"command": "pyro-vmm demo"}, {}):
        (run / "config.json").write_text(
            json.dumps(config | {"fit": {"num_observations": 200, "data_sha256": ""} | facts})
        )
        assert "by which command it was fitted: fit again" in told(str(run))
    for name in ("model.safetensors", "clusters.csv"):
        (run / name).unlink()
    assert "clusters.csv is missing" in told(str(run))


def test_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adata = simulate_cells(150, 30, num_groups=3, num_batches=2, seed=0)
    adata.layers["counts"] = adata.X
    adata.write_h5ad(tmp_path / "cells.h5ad")
    fit = [
        "fit",
        str(tmp_path / "cells.h5ad"),
        "--layer",
        "counts",
        "--batch-key",
        "batch",
        "--output",
        str(tmp_path / "run"),
    ]
    assert main([*fit, *SMALL, "--max-epochs", "3"]) == 0
    assert main(["stability", str(tmp_path / "run"), "--num-seeds", "2", "--quiet"]) == 0
    assert "2 runs found" in capsys.readouterr().out
    seen = look(read_fit(tmp_path / "run"))
    assert seen.diagnosis is not None
    assert "2 runs found" in seen.diagnosis["stability between seeds"].sentence
