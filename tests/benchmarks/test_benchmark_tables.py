"""Every table in a tiny form, by the command that users type."""

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import benchmarks
from benchmarks import tables
from benchmarks.harness import Column, Table, Trial, collect, result_file, write_table
from benchmarks.harness.page import page
from benchmarks.tables import ablation, images, scaling, sensitivity
from benchmarks.tables.settings import NETWORKS_FIRST
from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.command_line import benchmark
from pyro_vmm.command_line.main import main
from pyro_vmm.infer import PRIOR_RATE
from pyro_vmm.modalities.latent_dimensions import dimensions_for

SMALLER: dict[str, Any] = {"num_cells": 100, "num_genes": 10, "num_observations": 100}
SHORTER: dict[str, Any] = {"steps": 2, "surgery": 2, "patience": 1, "pretraining_epochs": 1, "most_components": 2}
OF_MODEL: dict[str, dict[str, Any]] = {
    "vmm": {"hidden": (8,)},
    "stopping-on-labels": {"hidden": (8,), "max_epochs": 2},
    "vade": {"hidden": (8,)},
    "single-cell-vmm": {"n_hidden": 8},
}


CLUSTERING = ("images", "ablation", "sensitivity", "elbo-surgery", "tabular", "scaling", "joining")
"""The others measure something else, or need packages that the tests do not."""


def tiny(trial: Trial) -> Trial:
    """The same trial on few observations and for few steps."""
    source = {name: min(value, SMALLER[name]) if name in SMALLER else value for name, value in trial.source.items()}
    source |= {"num_observations": 110} if trial.source["kind"] == "digits" else {}
    options = {name: SHORTER.get(name, value) for name, value in trial.options.items()}
    if "model" in options:
        model = options["model"] | OF_MODEL[trial.fit]
        model = {name: value for name, value in model.items() if name not in NETWORKS_FIRST}
        options["model"] = model | {"num_components": min(model.get("num_components", 10), 10)}
    return replace(trial, source=source, options=options)


@pytest.mark.parametrize("name", CLUSTERING)
def test_table(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It runs to the end; the page shows every method, and the mean of every number."""
    table = tables.TABLES[name]
    monkeypatch.setitem(
        tables.TABLES, name, replace(table, trials=lambda quick, seed: [tiny(t) for t in table.trials(quick, seed)])
    )
    arguments = ["benchmark", name, "--quick", "--seeds", "1", "--jobs", "0", "--output", str(tmp_path)]
    assert main(arguments) == 0, capsys.readouterr().err
    contents = json.loads((tmp_path / f"{name}-quick.json").read_text())
    planned = table.trials(True, 0)
    assert contents["planned"] == contents["finished"] == len(planned) == len(contents["rows"])
    text = (tmp_path / f"{name}-quick.md").read_text()
    assert f"    pyro-vmm benchmark {name} --quick --seeds 1\n" in text
    for row in contents["rows"]:
        assert not row["error"]
        assert f"| {row['data']} | {row['method']} |" in text
    csv = pd.read_csv(tmp_path / f"{name}-quick.csv")
    shown = [column["key"] for column in contents["columns"] if column["key"] in csv]
    assert {"clusters", "cpu_seconds"} <= set(shown)
    assert np.isfinite(csv["clusters"]).all()
    labelled = [row for row in contents["rows"] if "labels" in row["told"]]
    assert bool(labelled) == (name == "images")
    # Again: nothing is left to do.
    capsys.readouterr()
    assert main(arguments) == 0
    again = capsys.readouterr()
    assert f"{name}: {len(planned)} of {len(planned)} trials done before, 0 to do" in again.out
    assert "another state of the source" not in again.err
    if name != "tabular":
        return
    monkeypatch.setattr("benchmarks.source_digest.source_digest", lambda folder: "another")
    assert main(arguments) == 0
    assert f"{len(planned)} finished trials were made by another state of the source" in capsys.readouterr().err


@pytest.mark.parametrize("name", tables.TABLES)
@pytest.mark.parametrize("quick", [True, False])
def test_trials_of_a_table_have_names_of_their_own(name: str, quick: bool) -> None:
    trials = [trial for seed in range(2) for trial in tables.TABLES[name].trials(quick, seed)]
    assert len({result_file(Path(), trial) for trial in trials}) == len(trials)
    for trial in trials:
        json.dumps(dict(trial.options))
        knows = "num_clusters" in json.dumps(dict(trial.options)) or trial.fit == "vade"
        assert bool(trial.told) == (knows or trial.fit == "stopping-on-labels"), trial.name


def test_what_trains_otherwise_is_told_nothing_of_a_warm_up() -> None:
    for trial in images.trials(False, 0):
        assert (NETWORKS_FIRST.items() <= trial.options["model"].items()) == (trial.fit == "vmm"), trial.name
        assert (set(NETWORKS_FIRST) & set(trial.options["model"]) == set()) == (trial.fit != "vmm"), trial.name


def test_page_gives_means_and_ranges_and_owns_up(tmp_path: Path) -> None:
    trials = [Trial("d", {}, method, "f", {}, seed) for method in ("a", "b") for seed in range(3)]
    table = Table("t", "Title", "Question?", lambda quick, seed: [], (Column("nmi", "NMI", 2),))
    for trial, nmi in zip(trials[:5], (0.1, 0.2, 0.6, 0.5, None), strict=True):
        file = result_file(tmp_path, trial)
        file.parent.mkdir(parents=True, exist_ok=True)
        facts = {
            "machine": "m",
            "cores": 1,
            "threads": 1,
            "device": "cpu",
            "versions": {"p": "1"},
            "source": {"s": "x"},
        }
        content = {"digest": trial.digest, "facts": facts, "numbers": {} if nmi is None else {"nmi": nmi}}
        file.write_text(json.dumps(content | ({"error": "nan"} if nmi is None else {})))
    contents = collect(table, trials, tmp_path, "the command", quick=False)
    text = write_table(contents, tmp_path / "results").read_text()
    assert "| d | a | 3 | 0.30 (0.10 to 0.60) |" in text
    assert "| d | b | 2 (1 not finite) | 0.50 |" in text
    assert "all seeds that were run are in it, but those not finite." in text
    assert "**5 of 6 trials have been run.**" in text
    assert "    the command\n" in text
    assert page(json.loads((tmp_path / "results" / "t.json").read_text())) == text


def test_results_of_version_0_1_are_shown_by_their_present_names() -> None:
    """There many-to-one was by the surest observation, and the majority's share the purity."""
    results = Path(benchmarks.__file__).parent / "results"
    text = page(json.loads((results / "images.json").read_text()))
    assert "| accuracy, many-to-one | accuracy, Hungarian | accuracy, surest observation |" in text
    assert "| the number of classes | 1 | 0.796 | 0.796 | 0.786 |" in text
    assert text == (results / "images.md").read_text()


def rows(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"data": "d", "group": "", "told": ""} | columns)


def test_verdict_on_the_minibatch_follows_from_the_numbers() -> None:
    def verdict(slope: float, number: int, noise: float = 0.5) -> str:
        random = np.random.default_rng(0)
        size = np.array([64, 128, 256, 512, 1024])
        table = pd.concat(
            rows(
                data="digits",
                seed=seed,
                group=["minibatch B", "", *["minibatch B"] * 3],
                method=["minibatch B = 64", sensitivity.DEFAULT, *(f"minibatch B = {b}" for b in size[2:])],
                # Seeds differ in their level, which is no effect of the minibatch.
                clusters=10.0 * seed + slope * np.log2(size) + noise * random.normal(size=5),
            )
            for seed in range(number)
        )
        # What another option does is beside the point.
        other = rows(data="digits", seed=0, group=["prior weight M"] * 2, method="M = 1", clusters=[1.0, 90.0])
        return sensitivity.findings(pd.concat([table, other]))[-1]

    assert "it still sets the granularity in part" in verdict(1.0, 5)
    assert "by +1.00 (95 % interval +1.00 to +1.00, 5 seeds)" in verdict(1.0, 5, noise=0.0)
    assert "an effect is not shown" in verdict(0.0, 5)
    assert "by +0.00 (95 % interval +0.00 to +0.00, 5 seeds): an effect is not shown" in verdict(0.0, 5, noise=0.0)
    assert "does not say whether" in verdict(1.0, 1)


def test_an_option_is_held_against_the_default_on_its_own_seeds() -> None:
    default = rows(data="digits", seed=range(3), method=sensitivity.DEFAULT, clusters=[10.0, 20.0, 60.0])
    option = rows(
        data="digits", seed=range(2), group="prior weight M", method="prior weight M = 64", clusters=[8.0, 9.0]
    )
    assert sensitivity.findings(pd.concat([default, option])) == [
        "digits, clusters by prior weight M: 64: 8.5; by default, on the same seeds, 15.0."
    ]


def test_sensitivity_fits_the_default_once_and_knows_what_it_is() -> None:
    full = sensitivity.trials(quick=False, seed=0)
    assert len(full) == len({trial.name for trial in full}) == 2 * (1 + 5 * 4)
    for data, facade, train in (("digits", VMM, VMM), ("simulated cells", SingleCellVMM, SingleCellVMM.train)):
        default = next(t for t in full if t.data == data and t.method == sensitivity.DEFAULT)
        of_model, of_training = (
            {name: option.default for name, option in inspect.signature(each).parameters.items()}
            for each in (facade, train)
        )
        options = of_model | of_training | dict(default.options["model"]) | dict(default.options.get("train", {}))
        assert sensitivity.DEFAULTS[data] == {
            "components K": options["num_components"],
            "minibatch B": options["batch_size"],
            "prior weight M": options["prior_weight"],
            "latent dimension D": options["latent_dim"]
            if facade is VMM
            else dimensions_for(default.source["num_cells"]),
            "learning-rate ratio": PRIOR_RATE,
        }
        assert options["prior_learning_rate"] is None
        assert options.get("n_latent") is None


def test_ablation_is_paired_by_seed() -> None:
    table = rows(
        method=["VMM", "x", "x", "VMM"],
        seed=[0, 0, 1, 1],
        nmi=[0.5, 0.6, 0.8, 0.5],
        validation_elbo=[-1.0, -3.0, -2.0, -2.0],
        clusters=[10, 12, 14, 10],
    )
    assert ablation.findings(table) == [
        "d, x minus VMM: NMI +0.200 (+0.100 to +0.300), ELBO -1.00 (-2.00 to +0.00), clusters +3.0 (+2.0 to +4.0)."
    ]


def test_scaling_finds_the_power() -> None:
    table = rows(cpu_seconds=[1.0, 10.0, 100.0], peak_memory_mb=[1.0, 1.0, 1.0])
    table["data"] = ["1,000 cells", "10,000 cells", "100,000 cells"]
    assert scaling.findings(table) == [
        "Between 1,000 and 100,000 cells: CPU time grows as N^1.00, peak memory grows as N^0.00."
    ]


def test_images_compare_within_a_protocol() -> None:
    table = rows(
        group=[images.OURS, images.OURS, images.RELEASED], method=["VMM", "DP-GMM", "VMM"], nmi=[0.7, 0.8, 0.9]
    )
    assert images.findings(table) == [
        "d: without labels the mean NMI of VMM is 0.700, the best of the others 0.800 (DP-GMM); with the released "
        "protocol VMM's is 0.900."
    ]


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    output = ["--output", str(tmp_path)]
    for arguments, told in (
        (["nonsense"], "images, ablation"),
        (["tabular", "--seeds", "0"], "--seeds is 0"),
        (["tabular", "--jobs", "-1"], "--jobs is -1"),
        (["tabular", "--only", "*no such*"], "--list"),
        (["tabular", "--devices", "tpu"], "tpu"),
    ):
        assert main(["benchmark", *arguments, *output]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    assert main(["benchmark", "tabular", "--list", "--only", "wine/k-means/seed[01]", *output]) == 0
    assert capsys.readouterr().out == "to do  wine/k-means/seed0\nto do  wine/k-means/seed1\n"
    monkeypatch.setattr(benchmark.pyro_vmm, "__file__", str(tmp_path / "pyro_vmm" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", "tabular", *output]) == 2
    assert "in a checkout" in capsys.readouterr().err
