"""A user's mistakes on the command line: one clear sentence on stderr, exit status 2, no traceback."""

from pathlib import Path

import numpy as np
import pytest

from pyro_vmm.command_line.main import main

SMALL = ["--num-components", "4", "--latent-dim", "2", "--max-epochs", "1", "--device", "cpu", "--quiet"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 5)).astype(np.float32)
    np.save(tmp_path / "good.npy", x)
    np.save(tmp_path / "normalised.npy", np.abs(x))
    np.save(tmp_path / "one.npy", x[:1])
    np.save(tmp_path / "flat.npy", x[:, 0])
    holed = x.copy()
    holed[7, 2] = np.nan
    np.save(tmp_path / "holed.npy", holed)
    (tmp_path / "text.csv").write_text("a,b\n1,x\n2,y\n3,x\n")
    (tmp_path / "table.csv").write_text(
        "id,a,b,kind\n" + "".join(f"r{i},{i},{i % 3},{'xy'[i % 2]}\n" for i in range(30))
    )
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not a zip")
    return tmp_path


MISTAKES = [
    (["holed.npy"], ["NaN", "7"]),
    (["one.npy"], ["1 observation"]),
    (["flat.npy"], ["dimension"]),
    (["absent.npy"], ["absent.npy"]),
    (["broken.npz"], ["broken.npz"]),
    (["text.csv"], ["'b'"]),
    (["nonsense"], ["nonsense"]),
    (["cells.h5ad"], ["h5ad"]),
    (["good.npy", "--likelihood", "bernoulli"], ["ernoulli", "1]"]),
    (["good.npy", "--likelihood", "nb"], ["'nb'", "observation 0", "raw counts"]),
    (["normalised.npy", "--likelihood", "nb"], ["'nb'", "observation 0", "raw counts, not normalised"]),
    (["good.npy", "--likelihood", "gaussian"], ["'gaussian'", "normal"]),
    (["good.npy", "--prior", "vampire"], ["'vampire'", "vamp-mixture"]),
    (["good.npy", "--prior-inference", "bayes"], ["'bayes'", "map-dp"]),
    (["good.npy", "--weights", "equal"], ["'equal'", "stick-breaking"]),
    (["good.npy", "--responsibility-gradient", "half"], ["'half'", "stopped"]),
    (["good.npy", "--centre-uncertainty", "half"], ["'half'", "expected"]),
    (["good.npy", "--num-components", "50"], ["num_components=50", "36"]),
    (["good.npy", "--num-components", "0"], ["num_components"]),
    (["good.npy", "--latent-dim", "0"], ["latent_dim"]),
    (["good.npy", "--latent-dim", "1000000000"], ["latent_dim", "at most 32768"]),
    (["good.npy", "--prior-weight", "0"], ["prior_weight"]),
    (["good.npy", "--prior-weight", "nan"], ["prior_weight"]),
    (["good.npy", "--learning-rate", "-1"], ["-1"]),
    (["good.npy", "--batch-size", "0"], ["batch_size"]),
    (["good.npy", "--max-epochs", "0"], ["max_epochs"]),
    (["good.npy", "--patience", "0"], ["patience"]),
    (["good.npy", "--device", "tpu"], ["'tpu'", "cpu"]),
    (["good.npy", "--threads", "0"], ["--threads"]),
    (["good.npy", "--network", "conv"], ["image_shape"]),
    (["good.npy", "--network", "transformer"], ["'transformer'", "mlp"]),
    (["good.npy", "--resume"], ["no config.json"]),
    (["good.npy", "--num-components", "many"], ["--num-components", "many"]),
    (["good.npy", "--frobnicate"], ["--frobnicate"]),
]


@pytest.mark.parametrize(("arguments", "fragments"), MISTAKES, ids=[" ".join(case[0]) for case in MISTAKES])
def test_fit(
    arguments: list[str],
    fragments: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    try:
        status = main(["fit", arguments[0], "--output", "out", *SMALL, *arguments[1:]])
    except SystemExit as leaving:  # argparse's own way out
        status = int(leaving.code or 0)
    message = capsys.readouterr().err
    assert status == 2
    assert message.count("\n") == 1, "one line"
    assert message.startswith("pyro-vmm: ")
    assert "Traceback" not in message
    for fragment in fragments:
        assert fragment in message


def one_mistake(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_output_folder(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    fit = ["fit", "good.npy", *SMALL, "--output"]
    (folder / "file").write_text("")
    assert "cannot be written" in one_mistake([*fit, "file"], capsys)
    assert main([*fit, "out"]) == 0
    assert "earlier fit" in one_mistake([*fit, "out"], capsys)
    np.save("other.npy", np.load("good.npy") + 1)
    assert "other data" in one_mistake(["fit", "other.npy", *SMALL, "--output", "out", "--resume"], capsys)
    assert "latent_dim=2, not 3" in one_mistake([*fit, "out", "--resume", "--latent-dim", "3"], capsys)
    from pyro_vmm.command_line.output_folder import OutputFolder

    with OutputFolder(folder / "out"):
        assert "in use by another fit" in one_mistake([*fit, "out", "--resume"], capsys)
    for state in (folder / "out" / "checkpoint").glob("*.safetensors"):
        state.write_bytes(state.read_bytes()[:100])
    assert "damaged" in one_mistake([*fit, "out", "--resume"], capsys)
    for state in (folder / "out" / "checkpoint").iterdir():
        state.unlink()
    assert "no checkpoint" in one_mistake([*fit, "out", "--resume"], capsys)


def test_score(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    assert main(["fit", "table.csv", "--label-column", "kind", *SMALL, "--output", "out"]) == 0
    assert main(["score", "out", "--labels", "kind", "--no-surgery"]) == 0
    assert "tissue" in one_mistake(["score", "out", "--labels", "tissue"], capsys)
    assert "feature" in one_mistake(["score", "out", "--labels", "a"], capsys)
    assert "no config.json" in one_mistake(["score", "nowhere", "--labels", "kind"], capsys)
    (folder / "out" / "config.json").write_text("{")
    assert "damaged" in one_mistake(["score", "out", "--labels", "kind"], capsys)
