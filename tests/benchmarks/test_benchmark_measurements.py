"""What the tables measure of the package itself."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks import tables
from benchmarks.harness import Trial
from benchmarks.measurements import mutations
from benchmarks.measurements.seeded_faults import FAULTS, Fault
from benchmarks.run import Run
from benchmarks.tables import mutations as mutations_table
from benchmarks.tables import throughput as throughput_table
from pyro_vmm.command_line.main import main


def measured(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[dict[str, Any]]:
    """Rows of the quick form with other options or another source, by the command."""
    table = tables.TABLES[name]

    def smaller(trial: Trial) -> Trial:
        return replace(
            trial,
            source=dict(trial.source) | changes.get("source", {}),
            options=dict(trial.options) | changes.get("options", {}),
        )

    trials = [smaller(trial) for trial in table.trials(True, 0)]
    monkeypatch.setitem(tables.TABLES, name, replace(table, trials=lambda quick, seed: trials))
    assert main(["benchmark", name, "--quick", "--seeds", "1", "--jobs", "0", "--output", str(folder)]) == 0
    rows: list[dict[str, Any]] = json.loads((folder / f"{name}-quick.json").read_text())["rows"]
    return rows


def test_the_same_steps_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop written by hand, plain Pyro and ours: the measurement begins by comparing their losses and updates."""
    (row,) = measured("step-cost", tmp_path, monkeypatch, options={"repeats": 1})
    assert {f"{name}, ms" for name in ("ours", "hand", "onednn", "pyro")} <= row.keys()
    assert 0.0 < row["ours / hand, 25 %"] <= row["ours / hand"] <= row["ours / hand, 75 %"]
    assert "nmi" not in row


def test_counts_on_disk_are_trained_on_as_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, disk = measured("from-disk", tmp_path, monkeypatch, options={"num_cells": 300})
    assert (memory["method"], disk["method"]) == ("from memory", "from disk")
    assert memory["held_out_elbo"] == disk["held_out_elbo"] < 0.0
    assert all(row[key] > 0.0 for row in (memory, disk) for key in ("read_rows_a_cpu_second", "peak_memory_mb"))


def test_throughput_is_of_every_contestant_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "scvi.model", None)
    rows = measured("throughput", tmp_path, monkeypatch, source={"num_cells": 120, "num_genes": 10})
    assert [row["method"] for row in rows] == list(throughput_table.OURS)
    assert all(row[throughput_table.RATE] and row[throughput_table.WHOLE] > 0 for row in rows)
    assert "left out: scvi-tools is not installed here" in capsys.readouterr().out


def test_throughput_is_compared_within_a_round() -> None:
    name = next(iter(throughput_table.OURS))
    rows = pd.DataFrame(
        [
            {"seed": seed, "method": method, throughput_table.RATE: rate, throughput_table.WHOLE: rate / 2}
            for seed, method, rate in (
                (0, throughput_table.SCVI, 100.0),
                (0, name, 300.0),
                (1, throughput_table.SCVI, 10.0),
                (1, name, 20.0),
            )
        ]
    )
    assert throughput_table.findings(rows)[0] == f"{name}, an epoch: 2.50 times SCVI's cells (rounds: 3.00, 2.00)."


@pytest.mark.parametrize(("status", "noticed", "too_slow"), [(0, 0.0, 0.0), (1, 1.0, 0.0), (-14, 0.0, 1.0)])
def test_a_fault_is_seeded_in_a_copy(
    status: int, noticed: float, too_slow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = FAULTS[3]
    original = (mutations.ROOT / "pyro_vmm" / fault.file).read_text()

    def run_tests(folder: Path, tests: list[str], seconds: int) -> int:
        assert (folder / "pyro_vmm" / fault.file).read_text() == original.replace(fault.right, fault.wrong)
        assert tests == fault.tests.split()
        return status

    monkeypatch.setattr(mutations, "run_tests", run_tests)
    monkeypatch.setattr(mutations, "COPIED", ("pyro_vmm",))
    numbers = mutations.measure_mutation(None, {"number": 3, "seconds": 9}, Run(0)).numbers
    assert numbers == {"noticed": noticed, "too_slow": too_slow}
    assert (mutations.ROOT / "pyro_vmm" / fault.file).read_text() == original


def test_tests_that_fail_without_a_fault_and_a_fault_without_a_place_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutations, "COPIED", ())
    monkeypatch.setattr(Path, "read_text", lambda path: "the log")
    monkeypatch.setattr(mutations, "run_tests", lambda folder, tests, seconds: 1)
    with pytest.raises(AssertionError, match="the log"):
        mutations.measure_mutation(None, {"number": None, "seconds": 9}, Run(0))
    with pytest.raises(RuntimeError, match="holds 0 times: not there"):
        mutations.seed_fault(tmp_path, Fault("vmm.py", "not there", "", "test_vmm.py"))


def test_faults_that_went_unnoticed_are_named() -> None:
    rows = pd.DataFrame(
        {"data": ["all", "a.py", "b.py"], "method": ["no fault", "0", "1"], "noticed": [None, 1.0, 0.0]}
    )
    assert mutations_table.findings(rows) == ["1 of 2 faults were noticed.", "Not noticed: b.py, 1."]


def test_every_seeded_fault_has_one_place_and_tests_that_exist() -> None:
    assert len(FAULTS) >= 30
    for fault in FAULTS:
        assert (mutations.ROOT / "pyro_vmm" / fault.file).read_text().count(fault.right) == 1, fault
        assert fault.right != fault.wrong
        assert all((mutations.ROOT / "tests" / name).exists() for name in fault.tests.split()), fault
