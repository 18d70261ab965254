"""The loop written by hand, plain Pyro and ours: the benchmark of their cost begins by holding them against each other."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "step_cost.py"


def test_the_same_steps_are_timed(tmp_path: Path) -> None:
    output = tmp_path / "step_cost.json"
    command = [sys.executable, "-W", "error", str(SCRIPT), "--repeats", "1", "--output", str(output)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert "losses and updates equal on the same parameters and noise: yes" in run.stdout
    assert {"ours", "hand", "onednn", "pyro"} <= set(json.loads(output.read_text())["milliseconds, 25 50 75 %"])
