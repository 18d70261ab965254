"""The command line, as a user meets it: one small fit, its folder, its score, its resumption."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

from pyro_vmm import VMM
from pyro_vmm.command_line.fit_request import FitRequest
from pyro_vmm.command_line.main import INTERRUPTED, main, parser
from pyro_vmm.command_line.output_folder import in_words
from pyro_vmm.modalities.array_input import DIGITS, ArrayInput

SMALL = ["--num-components", "8", "--latent-dim", "3", "--batch-size", "64", "--device", "cpu", "--quiet"]


def clusters_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "clusters.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "images.npz"
    digits = load_digits()
    ids = np.array([f"scan-{i}" for i in range(300)])
    np.savez(path, X=(digits.images[:300] / 16).astype(np.float32), labels=digits.target[:300], ids=ids)
    return path


@pytest.fixture(scope="module")
def fitted(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("fitted") / "run"
    assert (
        main(["fit", str(images), "--likelihood", "bernoulli", "--output", str(output), *SMALL, "--max-epochs", "4"])
        == 0
    )
    return output


def test_output_folder_is_complete_and_consistent(fitted: Path) -> None:
    config = json.loads((fitted / "config.json").read_text())
    assert config["fit"]["num_observations"] == 300
    assert config["versions"]["torch"]
    history = pd.read_csv(fitted / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["validation_elbo"].notna().all()
    latent = np.load(fitted / "latent.npy")
    assert latent.shape == (300, 3)
    rows = clusters_of(fitted)
    assert [row["id"] for row in rows] == [f"scan-{i}" for i in range(300)]
    assert {path.name for path in (fitted / "figures").iterdir()} == {
        "training.png",
        "latent.png",
        "components.png",
        "weights.png",
        "entropy.png",
    }
    assert list((fitted / "checkpoint").glob("state-*.safetensors"))


def test_the_stored_model_is_the_one_that_the_folder_describes(fitted: Path, images: Path) -> None:
    model = VMM.load(fitted)
    x = np.load(images)["X"].reshape(300, -1)
    proba = model.predict_proba(x)
    rows = clusters_of(fitted)
    np.testing.assert_array_equal(proba.argmax(1), [int(row["cluster"]) for row in rows])
    np.testing.assert_allclose(proba.max(1), [float(row["probability"]) for row in rows], atol=1e-6)
    np.testing.assert_array_equal(
        np.argsort(-proba, 1, kind="stable")[:, 1], [int(row["second_choice"]) for row in rows]
    )
    np.testing.assert_allclose(model.transform(x), np.load(fitted / "latent.npy"), atol=1e-6)


def test_score_reads_labels_and_writes_every_score(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(fitted), "--labels", "labels"]) == 0
    scores = json.loads((fitted / "scores.json").read_text())
    assert {"accuracy_many_to_one", "accuracy_hungarian", "purity", "nmi", "ari", "ami"} <= scores["clusters"].keys()
    assert len(scores["elbo_surgery"]) >= 6
    assert f"{scores['clusters']['nmi']:.4f}"[:5] in capsys.readouterr().out


def test_labels_do_not_influence_the_fit(images: Path, fitted: Path, tmp_path: Path) -> None:
    stored = dict(np.load(images))
    stored["labels"] = np.random.default_rng(0).permutation(stored["labels"])
    np.savez(tmp_path / "images.npz", **stored)
    again = tmp_path / "run"
    arguments = ["fit", str(tmp_path / "images.npz"), "--likelihood", "bernoulli", "--output", str(again)]
    assert main([*arguments, *SMALL, "--max-epochs", "4"]) == 0
    assert (again / "model.safetensors").read_bytes() == (fitted / "model.safetensors").read_bytes()


def test_a_longer_fit_resumed_is_the_same_as_one_never_stopped(images: Path, tmp_path: Path) -> None:
    base = ["fit", str(images), "--likelihood", "bernoulli", *SMALL]
    assert main([*base, "--output", str(tmp_path / "whole"), "--max-epochs", "6"]) == 0
    assert main([*base, "--output", str(tmp_path / "parts"), "--max-epochs", "3"]) == 0
    assert main([*base, "--output", str(tmp_path / "parts"), "--max-epochs", "6", "--resume"]) == 0
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def test_interruption_leaves_a_fit_that_resumes(images: Path, tmp_path: Path) -> None:
    base = ["fit", str(images), "--likelihood", "bernoulli", *SMALL]
    script = (
        "import os, signal, sys\n"
        "from pyro_vmm.training import Trainer\n"
        "from pyro_vmm.command_line.interruption import StopOnSignal\n"
        "told = StopOnSignal.step_ended\n"
        "def step_ended(self, trainer):\n"
        "    if trainer.svi.steps_taken == 7: os.kill(os.getpid(), signal.SIGINT)\n"
        "    told(self, trainer)\n"
        "StopOnSignal.step_ended = step_ended\n"
        "from pyro_vmm.command_line.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = [*base, "--output", str(tmp_path / "cut"), "--max-epochs", "6"]
    aloud = [argument for argument in arguments if argument != "--quiet"]
    stopped = subprocess.run([sys.executable, "-c", script, *aloud], capture_output=True, text=True, check=False)
    assert stopped.returncode == INTERRUPTED
    assert "--resume" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "Stopped after 7 steps (" in stopped.stderr
    assert "found" not in stopped.stdout + stopped.stderr
    assert main(["score", str(tmp_path / "cut"), "--labels", "labels"]) == 2
    assert main([*arguments, "--resume"]) == 0
    assert main([*base, "--output", str(tmp_path / "whole"), "--max-epochs", "6"]) == 0
    whole, cut = (tmp_path / name / "model.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_a_reader_that_has_seen_enough_is_no_error(fitted: Path) -> None:
    command = f"{sys.executable} -m pyro_vmm score {fitted} --labels labels --no-surgery | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_large_images_train_networks_first_unless_told_otherwise(name: str) -> None:
    images = ArrayInput(name, None, np.array([]), likelihood="bernoulli", image_shape=(28, 28))

    def options(*given: str) -> dict[str, Any]:
        arguments = parser().parse_args(["fit", name, "--output", "run", *given])
        arguments.command_line = []
        request = FitRequest.of(arguments)
        return images.options(request.options) | dict(request.options)

    own = options()
    assert (own["kl_warmup_steps"], own["prior_rest_steps"], own["max_epochs"]) == (5_000, 5_000, 60)
    assert own.get("latent_dim", 10) == (30 if name == "fashion-mnist" else 10)
    assert options("--merging", "misclassification")["merging"] == "misclassification"
    told = options("--kl-warmup-steps", "0", "--prior-rest-steps", "7", "--max-epochs", "9")
    assert (told["kl_warmup_steps"], told["prior_rest_steps"], told["max_epochs"]) == (0, 7, 9)


def test_the_demo_gives_everyone_the_same_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of threads, and again into the same folder."""
    monkeypatch.setitem(DIGITS, "max_epochs", 3)
    latents, output = [], tmp_path / "demo"
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert main(["demo", "--output", str(output)]) == 0
            latents.append(np.load(output / "latent.npy"))
    finally:
        torch.set_num_threads(before)
    assert (latents[0] == latents[1]).all()
    assert json.loads((output / "config.json").read_text())["fit"]["threads"] == 1
    assert json.loads((output / "scores.json").read_text())


@pytest.mark.parametrize(
    ("number", "used", "words"),
    [
        (2, 8, "2 clusters, joined from 8 components in use of 10"),
        (1, 1, "1 cluster in use of 10 components"),
    ],
)
def test_a_fit_says_what_it_found(number: int, used: int, words: str) -> None:
    clusters: Any = SimpleNamespace(number=number, components_in_use=used, weights=np.full(10, 0.1))
    assert in_words(clusters) == words
