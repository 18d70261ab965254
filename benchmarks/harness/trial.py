"""One trial: a data set, a method with its options, a seed; and the one file that it leaves."""

import hashlib
import json
import os
import platform
import resource
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fitted import Fitted
from benchmarks.run import Run, TrialCheckpoint
from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.errors import UserError


@dataclass(frozen=True)
class Trial:
    """What is fitted, and how. Everything but the machine follows from these fields.

    Attributes
    ----------
    data
        What the table calls the data.
    source
        ``kind`` of the data and the options of its loader; see :mod:`benchmarks.datasets`.
    method
        What the table calls the method.
    fit
        Name of the function in :data:`benchmarks.methods.FITS`, :data:`benchmarks.methods.FITS_THAT_SEE_LABELS` or
        :data:`benchmarks.measurements.MEASUREMENTS`.
    options
        Its options: plain values.
    seed
        Of the fit, and of simulated data.
    group
        Heading that the trial stands under.
    told
        What of the truth the method is told; empty for nothing.
    """

    data: str
    source: Mapping[str, Any]
    method: str
    fit: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    group: str = ""
    told: str = ""

    @property
    def name(self) -> str:
        """Path of the trial: group, data, method and seed."""
        parts = (self.group, self.data, self.method, f"seed{self.seed}")
        return "/".join("".join(c if c.isalnum() or c in "-.=" else "_" for c in part) for part in parts if part)

    @property
    def digest(self) -> str:
        """Of all fields: another definition has another digest."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def result_file(folder: Path, trial: Trial) -> Path:
    """Where the trial's result stands."""
    return folder / f"{trial.name}.json"


def finished(folder: Path, trial: Trial) -> dict[str, Any] | None:
    """The trial's result, or None where there is none of the same definition."""
    try:
        result = json.loads(result_file(folder, trial).read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        raise UserError(
            f"{result_file(folder, trial)} is damaged: remove it, and the trial will be run again."
        ) from None
    return result if result.get("digest") == trial.digest else None


def run_trial(trial: Trial, folder: Path, device: str, data_root: Path | None) -> dict[str, Any]:
    """Fit without labels, then score with them, and write both as one file, whole or not at all.

    A loss that ceases to be finite is a result as well: it is written with what was said. Times are of the fit alone. A run
    that was stopped is gone on with from its checkpoint, unless definition, device or source have changed since.
    """
    from benchmarks import measurements, methods  # noqa: F401 - before time and memory are taken
    from benchmarks.datasets import observations
    from pyro_vmm.training import InterruptedWarning

    fitted, result = None, {"trial": trial.name, "digest": trial.digest, "definition": asdict(trial)}
    # Of the source as it was imported: it may change while a fit goes on.
    result["facts"] = facts(device)
    x = observations(trial.source, trial.seed, data_root)
    memory = peak_memory()
    checkpoint = TrialCheckpoint(
        result_file(folder, trial).with_suffix(".checkpoint"),
        belongs_to={"definition": trial.digest, "device": result["facts"]["device"], **result["facts"]["source"]},
    )
    try:
        with warnings.catch_warnings():
            # What was learned of half a fit is no result.
            warnings.simplefilter("error", InterruptedWarning)
            fitted = fit(trial, x, Run(trial.seed, device, checkpoint), data_root)
    except InterruptedWarning:
        raise KeyboardInterrupt from None
    except ArithmeticError as error:
        result["error"] = " ".join(str(error).split())
    result["numbers"] = checkpoint.spent() | {"memory_before_mb": memory, "peak_memory_mb": peak_memory()}
    if fitted is not None:
        result["facts"]["versions"] |= fitted.versions
        result["numbers"] |= fitted.numbers
        result["numbers"] |= score(trial, fitted, data_root)
    path = result_file(folder, trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(result, indent=1) + "\n").encode())
    checkpoint.remove()
    return result


def fit(trial: Trial, x: Any, run: Run, data_root: Path | None) -> Fitted:
    """Fit a method; only those that say so in their name and in the table are handed labels."""
    from benchmarks.datasets import labels
    from benchmarks.measurements import MEASUREMENTS
    from benchmarks.methods import FITS, FITS_THAT_SEE_LABELS

    if trial.fit in FITS_THAT_SEE_LABELS:
        assert trial.told, f"{trial.name} sees labels and does not say so"
        seen = labels(trial.source, trial.seed, data_root)
        return FITS_THAT_SEE_LABELS[trial.fit](x, seen, trial.options, run)
    return {**MEASUREMENTS, **FITS}[trial.fit](x, trial.options, run)


def peak_memory() -> float:
    """The most that this process has held so far, in MB."""
    # Bytes on macOS, kilobytes elsewhere.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def score(trial: Trial, fitted: Fitted, data_root: Path | None) -> dict[str, float]:
    """Compare clusters, and an embedding where there is one, with the labels."""
    from benchmarks.datasets import labels
    from pyro_vmm.scoring import cluster_scores

    if fitted.clusters is None:
        return {}
    truth = labels(trial.source, trial.seed, data_root)
    numbers = cluster_scores(truth, fitted.clusters, fitted.probability)
    if fitted.embedding is not None:
        from benchmarks.datasets import observations
        from benchmarks.embedding_scores import embedding_scores

        cells = observations(trial.source, trial.seed, data_root)
        numbers |= embedding_scores(cells, fitted.embedding, truth, trial.seed)
    return numbers


def facts(device: str) -> dict[str, Any]:
    """What else a result depends on."""
    import torch

    from benchmarks.source_digest import source_digest
    from pyro_vmm.fit.config import versions

    return {
        "versions": versions(),
        "source": {folder: source_digest(folder) for folder in ("pyro_vmm", "benchmarks")},
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device if device == "cpu" else torch.cuda.get_device_name(device),
    }
