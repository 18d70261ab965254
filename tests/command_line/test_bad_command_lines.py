"""A user's mistakes on the command line: one clear sentence on stderr, exit status 2, no traceback."""

from pathlib import Path

import numpy as np
import pytest

from pyro_vmm.command_line.main import FAILED, main, parser

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
    (tmp_path / "file").touch()
    (tmp_path / "folder.npy").mkdir()
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
    (["good.npy", "--threads", "100000"], ["--threads is 100000", "at most"]),
    (["good.npy", "--checkpoint-seconds", "-5"], ["--checkpoint-seconds is -5.0"]),
    (["good.npy", "--checkpoint-seconds", "nan"], ["--checkpoint-seconds is nan"]),
    (["good.npy", "--output", ""], ["--output", "name a folder"]),
    (["good.npy", "--output", "file/out"], ["--output file/out cannot be written (Not a directory)"]),
    (["good.npy", "--output", "n" * 300], ["cannot be written (File name too long)"]),
    (["n" * 300 + ".npy"], ["There is no file nnn"]),
    (["n" * 300 + ".h5ad"], ["There is no file nnn"]),
    (["n" * 300 + ".zarr"], ["There is no folder nnn"]),
    (["folder.npy"], ["folder.npy is a folder"]),
    (["good.npy", "--network", "conv"], ["--network 'conv' is for images: use 'mlp'."]),
    (["good.npy", "--merging", "never"], ["--merging is 'never'", "valleys"]),
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


@pytest.mark.parametrize(("arguments", "fragments"), MISTAKES, ids=[" ".join(case[0])[-40:] for case in MISTAKES])
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
    told = one_mistake(["score", "out", "--labels", "a"], capsys)
    assert "--labels a was given to the fit, so a score against it means nothing: fit with --label-column a." in told
    assert "--num-clusters is 1000" in one_mistake(
        ["score", "out", "--labels", "kind", "--num-clusters", "1000"], capsys
    )
    assert "no config.json" in one_mistake(["score", "nowhere", "--labels", "kind"], capsys)
    assert "good.npy is a file, not the folder" in one_mistake(["score", "good.npy", "--labels", "kind"], capsys)
    assert "There is no file" in one_mistake(["score", "out", "--labels", "n" * 300 + ".csv"], capsys)
    (folder / "out" / "scores.json").unlink()
    (folder / "out" / "scores.json").mkdir()
    assert main(["score", "out", "--labels", "kind", "--no-surgery"]) == FAILED
    message = capsys.readouterr().err
    assert (
        message
        == "pyro-vmm: out/scores.json: Is a directory. Fix that (is the disk full?); then run the command again.\n"
    )
    (folder / "out" / "config.json").write_text("{")
    assert "damaged" in one_mistake(["score", "out", "--labels", "kind"], capsys)


def test_a_report_of_what_a_full_disk_has_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results that are missing, or of the model that was stored before, are written again by the command that is named."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("pyro_vmm.plotting.save_figures", lambda *_, **__: [])
    fit = ["fit", "good.npy", "--output", "out", *SMALL]
    assert main(fit) == 0
    for name in ("clusters.csv", "latent.npy", "history.csv"):
        (folder / "out" / name).unlink()
        told = one_mistake(["report", "out"], capsys)
        assert f"out/{name} is missing: pyro-vmm fit with the same options and --resume writes it again." in told
        assert main([*fit, "--resume"]) == 0
    history = (folder / "out" / "history.csv").read_bytes()
    assert main([*fit, "--max-epochs", "2", "--resume"]) == 0
    (folder / "out" / "history.csv").write_bytes(history)
    assert "history.csv is of an earlier state of the fit" in one_mistake(["report", "out"], capsys)


def test_warnings_name_flags_on_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("pyro_vmm.plotting.save_figures", lambda *_, **__: [])
    assert main(["fit", "good.npy", "--output", "out", *SMALL, "--kl-warmup-steps", "1000"]) == 0
    assert capsys.readouterr().err == (
        "pyro-vmm: warning: Training ends after 1 steps, and --kl-warmup-steps, --prior-rest-steps or --standard-normal-steps "
        "last for 1,000: raise --max-epochs, or lower these (0 for none).\n"
    )


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["fit", "x.npy", "--output", "y", "--num-components", "x"], "(pyro-vmm fit --help lists what there is)\n"),
        (["fit", "x.npy", "--output", "y", "--typo"], ", pyro-vmm COMMAND --help the options of each)\n"),
        (["fti"], "(pyro-vmm --help lists what there is, "),
    ],
)
def test_the_help_that_is_pointed_to_lists_what_is_missing(
    arguments: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert advice in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fit", "score", "stability", "report", "demo"])
def test_help_is_in_plain_english(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    words = " ".join(capsys.readouterr().out.split())
    for phrase in ("so many", "taken for another", "down to C clusters", "at first"):
        assert phrase not in words
