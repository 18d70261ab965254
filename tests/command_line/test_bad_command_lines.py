"""A user's mistakes on the command line: one clear sentence on stderr, exit status 2, no traceback."""

from pathlib import Path

import numpy as np
import pytest

from pyro_vmm.command_line.main import main, parser

OPTIONS = [name for name in vars(parser().parse_args(["fit", "x", "--output", "y"])) if "_" in name]
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
    (
        ["good.npy", "--likelihood", "bernoulli"],
        ["--likelihood 'bernoulli' needs values in [0, 1]", "choose --likelihood 'normal'."],
    ),
    (["good.npy", "--likelihood", "nb"], ["'nb'", "observation 0", "raw counts"]),
    (["normalised.npy", "--likelihood", "nb"], ["'nb'", "observation 0", "raw counts, not normalised"]),
    (["good.npy", "--likelihood", "gaussian"], ["--likelihood 'gaussian'", "normal"]),
    (["good.npy", "--prior", "vampire"], ["--prior 'vampire'", "vamp-mixture"]),
    (["good.npy", "--prior-inference", "bayes"], ["--prior-inference 'bayes'", "map-dp"]),
    (["good.npy", "--weights", "equal"], ["--weights 'equal'", "stick-breaking"]),
    (["good.npy", "--responsibility-gradient", "half"], ["--responsibility-gradient 'half'", "stopped"]),
    (["good.npy", "--centre-uncertainty", "half"], ["--centre-uncertainty 'half'", "expected"]),
    (
        ["good.npy", "--num-components", "50"],
        ["--num-components 50 is more than the 36", "choose at most 36, or --prior 'gaussian-mixture'."],
    ),
    (["good.npy", "--num-components", "0"], ["--num-components is 0"]),
    (["good.npy", "--latent-dim", "0"], ["--latent-dim is 0"]),
    (["good.npy", "--latent-dim", "1000000000"], ["--latent-dim", "at most 32768"]),
    (["good.npy", "--prior-weight", "0"], ["--prior-weight is 0.0"]),
    (["good.npy", "--prior-weight", "nan"], ["--prior-weight is nan"]),
    (["good.npy", "--learning-rate", "-1"], ["--learning-rate is -1.0"]),
    (["good.npy", "--batch-size", "0"], ["--batch-size is 0"]),
    (["good.npy", "--max-epochs", "0"], ["--max-epochs is 0", "at least 1."]),
    (["good.npy", "--patience", "0"], ["--patience is 0"]),
    (["good.npy", "--device", "tpu"], ["--device 'tpu'", "cpu"]),
    (["good.npy", "--threads", "0"], ["--threads"]),
    (["good.npy", "--network", "conv"], ["--network 'conv' is for images: use 'mlp'."]),
    (["good.npy", "--merging", "never"], ["--merging 'never'", "valleys"]),
    (["good.npy", "--evidence-weight", "-1"], ["--evidence-weight is -1.0"]),
    (["good.npy", "--prior-learning-rate", "0"], ["--prior-learning-rate is 0.0"]),
    (["good.npy", "--learning-rate-schedule", "linear"], ["--learning-rate-schedule 'linear'", "cosine"]),
    (["good.npy", "--kl-warmup-steps", "-1"], ["--kl-warmup-steps is -1"]),
    (["good.npy", "--prior-rest-steps", "-1"], ["--prior-rest-steps is -1"]),
    (["good.npy", "--seed", "-1"], ["--seed is -1"]),
    (["good.npy", "--network", "transformer"], ["--network 'transformer' is not known: choose 'mlp' or 'conv'."]),
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
    for option in OPTIONS:
        assert option not in message, "as the library calls it"


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
    assert "--latent-dim 2, not --latent-dim 3" in one_mistake([*fit, "out", "--resume", "--latent-dim", "3"], capsys)
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
