"""How fast single-cell models train: ``SingleCellVMM`` beside scvi-tools' ``SCVI``, cells per CPU-second and peak memory.

One file, written once: 10,000 cells of eight types by 2,000 genes, about 90 % of the counts zero, compressed sparse rows.
Every contestant is the same architecture, 1 x 128 hidden units, ten latent dimensions, zero-inflated negative binomial,
minibatches of 256 out of 90 % of the cells, on the same number of threads and in a process of its own, in turns:

* ``scvi``  : scvi-tools' ``SCVI``, its usual ``train``.
* ``normal``: ``SingleCellVMM`` with the standard normal prior.
* ``vmm``   : ``SingleCellVMM`` as it comes, a VampPrior mixture of K = 100.
* ``normal-low``, ``vmm-low``: the same with ``low_precision=True``, which multiplies in bfloat16.

After one epoch to warm up, ``train`` is called twice, for few and for many epochs. ``cells a CPU-second`` is from the
difference of the two calls, which is what an epoch costs; ``whole call`` is from the longer call with all that it does before and
after its epochs (``SingleCellVMM`` evaluates all cells and builds its merge tree there). Both of ours evaluate the held-out
cells and count the clusters in use after every epoch, which ``SCVI`` does not do without early stopping. Memory is the most
that the process has held resident, imports and the file included.

Needs scvi-tools beside pyro-vmm's own dependencies. CPU time on a shared machine is noisy: compare within a repetition.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NUM_CELLS, NUM_GENES, NUM_TYPES, BATCH_SIZE, SEED = 10_000, 2_000, 8, 256, 0
TRAINED_SHARE = 0.9
CONTESTANTS = ("scvi", "normal", "vmm", "normal-low", "vmm-low")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

MEASUREMENTS = ("cells a CPU-second", "whole call", "peak memory, MB")


def simulate(file: Path) -> None:
    """Write negative-binomial counts of a few cell types, as h5ad."""
    import anndata
    import numpy as np
    import scipy.sparse

    rng = np.random.default_rng(SEED)
    level = rng.gamma(0.6, size=NUM_GENES)
    shares = level * np.exp(rng.normal(0.0, 1.0, (NUM_TYPES, NUM_GENES)))
    shares /= shares.sum(1, keepdims=True)
    library, kind = rng.lognormal(np.log(320.0), 0.3, NUM_CELLS), rng.integers(NUM_TYPES, size=NUM_CELLS)
    blocks = []
    for rows in np.array_split(np.arange(NUM_CELLS), 10):
        mean = library[rows, None] * shares[kind[rows]]
        blocks.append(scipy.sparse.csr_matrix(rng.poisson(rng.gamma(2.0, mean / 2.0)).astype(np.float32)))
    counts = scipy.sparse.vstack(blocks, format="csr")
    anndata.AnnData(counts).write_h5ad(file)


def model_of(contestant: str, adata: Any) -> Any:
    """The model, not yet trained."""
    if contestant == "scvi":
        from scvi.model import SCVI

        SCVI.setup_anndata(adata)
        return SCVI(adata, n_hidden=128, n_layers=1, n_latent=10, gene_likelihood="zinb")
    from pyro_vmm import SingleCellVMM

    SingleCellVMM.setup_anndata(adata)
    prior = "standard-normal" if contestant.startswith("normal") else "vamp-mixture"
    return SingleCellVMM(adata, prior=prior, low_precision=contestant.endswith("-low"))


def measure(contestant: str, file: Path, epochs: tuple[int, int], threads: int) -> dict[str, Any]:
    """Train one model in this process."""
    import logging
    import warnings
    from importlib.metadata import version

    import anndata
    import torch

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    package = "scvi" if contestant == "scvi" else "pyro_vmm"
    __import__(package)
    torch.manual_seed(SEED)
    model = model_of(contestant, anndata.read_h5ad(file))
    options = {"batch_size": BATCH_SIZE, "train_size": TRAINED_SHARE, "early_stopping": False, "accelerator": "cpu"}
    seconds = []
    for number in (1, *epochs):
        start = time.process_time()
        model.train(max_epochs=number, enable_progress_bar=False, **options)
        seconds.append(time.process_time() - start)
    cells, (few, many) = TRAINED_SHARE * NUM_CELLS, epochs
    # Bytes on macOS, kilobytes elsewhere.
    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024
    names = ("torch", "numpy", "anndata", *(("scvi-tools",) if contestant == "scvi" else ("pyro-ppl", "numba")))
    return {
        "cells a CPU-second": cells * (many - few) / (seconds[2] - seconds[1]),
        "whole call": cells * many / seconds[2],
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
        "CPU seconds": seconds,
        "versions": {name: version(name) for name in names},
    }


def in_own_process(role: str, arguments: argparse.Namespace, file: Path) -> dict[str, Any]:
    """Run this file again for one role; this process stays small, because a child's peak memory starts at its parent's."""
    command = [sys.executable, __file__, "--role", role, "--file", str(file), "--threads", str(arguments.threads)]
    command += ["--epochs", *map(str, arguments.epochs)]
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(arguments.threads))
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def quartiles(values: list[float]) -> list[float]:
    """25, 50 and 75 %."""
    found = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * values
    return [float(f"{value:.4g}") for value in found]


def play(role: str, arguments: argparse.Namespace) -> None:
    """What a child does."""
    sys.path.insert(0, str(ROOT))
    found = {}
    if role == "simulate":
        simulate(arguments.file)
    else:
        found = measure(role, arguments.file, tuple(arguments.epochs), arguments.threads)
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds in which every contestant trains once")
    parser.add_argument("--epochs", type=int, nargs=2, default=(2, 12), help="epochs of the two timed calls")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "throughput", help="where the file is written")
    parser.add_argument("--output", type=Path, help="write the results here as JSON")
    parser.add_argument("--role", choices=("simulate", *CONTESTANTS), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        play(arguments.role, arguments)
        return

    file = arguments.work / f"counts-seed{SEED}.h5ad"
    if not file.exists():
        arguments.work.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{os.getpid()}-{file.name}")
        in_own_process("simulate", arguments, unfinished)
        unfinished.rename(file)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.contestants}
    for repeat in range(arguments.repeats):
        first = repeat % len(runs)
        for name in [*runs][first:] + [*runs][:first]:
            runs[name].append(in_own_process(name, arguments, file))
            row = "  ".join(f"{key} {runs[name][-1][key]:.0f}" for key in MEASUREMENTS)
            print(f"repeat {repeat + 1} {name:<12}{row}", flush=True)

    table = {
        name: {key: quartiles([run[key] for run in found]) for key in MEASUREMENTS} for name, found in runs.items()
    }
    ratios = {
        name: {
            key: quartiles([a[key] / b[key] for a, b in zip(found, runs["scvi"], strict=True)]) for key in MEASUREMENTS
        }
        for name, found in runs.items()
        if name != "scvi" and "scvi" in runs
    }
    results = {
        "command": " ".join(["python", "benchmarks/throughput.py", *sys.argv[1:]]),
        "python": platform.python_version(),
        "versions": {key: value for found in runs.values() for key, value in found[0]["versions"].items()},
        "cores": os.cpu_count(),
        "threads": arguments.threads,
        "seed": SEED,
        "repeats": arguments.repeats,
        "shapes": f"{NUM_CELLS} x {NUM_GENES}, 1 x 128, D=10, ZINB, B={BATCH_SIZE}, K=100, train share {TRAINED_SHARE}",
        "25 50 75 %": table,
        "ratios to scvi within a repetition, 25 50 75 %": ratios,
        "runs": {
            name: [{k: v for k, v in run.items() if k != "versions"} for run in found] for name, found in runs.items()
        },
    }
    for title, rows in (("", table), (" / scvi", ratios)):
        for key in MEASUREMENTS:
            print(f"\n{key + title:<32}{'25, 50, 75 %':>27}")
            for name, row in rows.items():
                print(f"{name:<32}" + "".join(f"{value:9.4g}" for value in row[key]))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
