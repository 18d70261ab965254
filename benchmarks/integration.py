"""Integration and clustering of single-cell counts: ``SingleCellVMM`` beside PCA, Harmony, Scanorama, SCVI and Seurat.

``pyro-vmm benchmark integration --data-root DATA`` runs all three stages.

Three stages, so that labels cannot leak into a fit:

* ``fit`` reads counts and batches alone, chooses 2,000 genes the same for all methods and leaves an embedding and
  clusters for each file, method and seed. What is there already is skipped, and told of where its method was another then: a
  stopped run goes on where it stood.
* ``score`` reads the cell types and compares: NMI and ARI of the clusters over all cells, the aggregates of scib-metrics
  on a fixed subsample. It prints no score.
* ``table`` gathers the scores and prints them.

Needs scanpy, igraph, scikit-misc, harmonypy, scanorama, scvi-tools and scib-metrics. Run with ``OMP_NUM_THREADS=1`` and
``NUMBA_NUM_THREADS=1``: times are told for one thread.
"""

import argparse
import contextlib
import fnmatch
import json
import os
import platform
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import integration_table
import numpy as np
import torch
from anndata import AnnData
from integration_data import FILES, prepare, shape, write_json
from integration_methods import LEIDEN, METHODS, Absent, Fitted, definition, leiden, load, versions

SEEDS = range(5)
RESULTS = Path(__file__).resolve().parent / "results"


def fit_one(adata: AnnData, method: str, seed: int) -> tuple[Fitted, dict[str, Any]]:
    """Fit one method and say what it took, imports and Leiden left out."""
    load(method, adata)
    wall, cpu = time.perf_counter(), cpu_seconds()
    fitted = METHODS[method](adata.copy(), seed)
    seconds = {"cpu_seconds": cpu_seconds() - cpu, "wall_seconds": time.perf_counter() - wall}
    if len(fitted.embedding) != adata.n_obs or not np.isfinite(fitted.embedding).all():
        raise ValueError(f"{method}: an embedding of {fitted.embedding.shape} for {adata.n_obs} cells, or not finite")
    facts = {
        "method": method,
        "seed": seed,
        **{name: round(value, 2) for name, value in seconds.items()},
        "epochs": fitted.epochs,
        "options": fitted.options,
        "definition": definition(method),
        "leiden": LEIDEN,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": versions(method),
    }
    return fitted, facts


def cpu_seconds() -> float:
    """CPU time of this process and of those it waited for (R works in one of its own)."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def save(folder: Path, fitted: Fitted, facts: dict[str, Any]) -> None:
    """Write a fit as a whole or not at all; a method without clusters of its own gets Leiden's."""
    unfinished = folder.with_name(f".{os.getpid()}-{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    by_leiden = leiden(fitted.embedding, facts["seed"])
    np.save(unfinished / "embedding.npy", fitted.embedding)
    np.save(unfinished / "clusters_leiden.npy", by_leiden)
    np.save(unfinished / "clusters.npy", by_leiden if fitted.clusters is None else fitted.clusters)
    write_json(unfinished / "facts.json", facts)
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(unfinished)  # another process was quicker


def runs(arguments: argparse.Namespace) -> Iterator[tuple[str, str, int, Path]]:
    """File, method, seed and folder of every fit asked for: the first seed of everything comes first."""
    for seed in arguments.seeds:
        for file in (name for name in FILES if name in arguments.files):
            for method in (name for name in METHODS if name in arguments.methods):
                if fnmatch.fnmatch(f"{file}/{method}/seed{seed}", arguments.only):
                    yield file, method, seed, arguments.work / "fits" / file / f"{method}-seed{seed}"


@contextlib.contextmanager
def told(name: str, failed: list[str]) -> Iterator[None]:
    """Print an error and note it in `failed` instead of stopping the other runs."""
    try:
        yield
    except Absent as missing:
        print(f"{name} left out: {missing}", flush=True)
    except Exception:
        failed.append(name)
        print(f"{name} FAILED\n{traceback.format_exc()}", flush=True)


def fit(arguments: argparse.Namespace) -> None:
    """Fit what is not there yet; a failure is told and does not stop the others."""
    torch.set_num_threads(arguments.threads)
    failed: list[str] = []
    tell_of_other_definitions(arguments)
    for file, method, seed, folder in runs(arguments):
        if folder.exists():
            continue
        with told(f"{file} {method} seed {seed}", failed):
            adata = prepare(arguments.data / f"{file}.h5ad", arguments.work / "data" / f"{file}.h5ad")
            fitted, facts = fit_one(adata, method, seed)
            save(folder, fitted, {"file": file, "data": shape(adata)} | facts)
            epochs = "" if fitted.epochs is None else f", {fitted.epochs} epochs"
            print(f"{file} {method} seed {seed}: {facts['cpu_seconds']:.1f} CPU seconds{epochs}", flush=True)
    if failed:
        sys.exit(f"{len(failed)} fits failed: {', '.join(failed)}")


def tell_of_other_definitions(arguments: argparse.Namespace) -> None:
    """Say which fits that are there already would come out otherwise now, as far as the source can tell."""
    others = [
        folder
        for _, method, _, folder in runs(arguments)
        if folder.exists() and json.loads((folder / "facts.json").read_text()).get("definition") != definition(method)
    ]
    if others:
        print(
            f"{len(others)} fits were made by another definition of their method or another state of pyro_vmm ({others[0]} is "
            "one): remove their folders to make them again.",
            flush=True,
        )


def score(arguments: argparse.Namespace) -> None:
    """Score every fit that is there, file by file."""
    # Not above: scores need the labels, and no fit needs scores.
    from integration_scores import Scorer

    failed: list[str] = []
    for file in (name for name in FILES if name in arguments.files):
        scores = arguments.work / "scores" / file
        source, prepared = arguments.data / f"{file}.h5ad", arguments.work / "data" / f"{file}.h5ad"
        scorer = Scorer(source, prepared, cache=scores / "scib")
        for name, method, seed, folder in runs(arguments):
            if name != file or not folder.exists():
                continue
            with told(f"{file} {method} seed {seed}", failed):
                start = time.perf_counter()
                write_json(scores / f"{folder.name}.json", scorer.score(folder, scib=not arguments.no_scib))
                print(f"{file} {method} seed {seed}: scored in {time.perf_counter() - start:.1f} s", flush=True)
    if failed:
        sys.exit(f"{len(failed)} fits not scored: {', '.join(failed)}")


def table(arguments: argparse.Namespace) -> None:
    """Write the CSV and its provenance and print the tables."""
    found = integration_table.rows(arguments.work, arguments.files, arguments.methods, arguments.seeds)
    if found.empty:
        sys.exit(f"nothing scored yet in {arguments.work}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    found.round(5).to_csv(arguments.output / f"{arguments.name}.csv", index=False)
    facts = integration_table.provenance(arguments.work, found)
    write_json(arguments.output / f"{arguments.name}.json", facts)
    page = integration_table.page(found.round(5), facts)
    (arguments.output / f"{arguments.name}.md").write_text(page)
    print(page)


def parse() -> argparse.Namespace:
    selection = argparse.ArgumentParser(add_help=False)
    selection.add_argument("--work", type=Path, default=Path("runs/integration"), help="fits and scores lie here")
    selection.add_argument("--files", nargs="+", choices=FILES, default=FILES, metavar="FILE")
    selection.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    selection.add_argument("--only", default="*", metavar="PATTERN", help="of FILE/METHOD/seedS, as in a shell")
    selection.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), metavar="SEED")
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, required=True, help="folder of the .h5ad files")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = parser.add_subparsers(required=True)
    stage = stages.add_parser("fit", parents=[data, selection], help="embeddings and clusters, without labels")
    stage.add_argument("--threads", type=int, default=1, help="threads of torch")
    stage.set_defaults(run=fit)
    stage = stages.add_parser("score", parents=[data, selection], help="compare fits with the cell types")
    stage.add_argument("--no-scib", action="store_true", help="clusters only")
    stage.set_defaults(run=score)
    stage = stages.add_parser("table", parents=[selection], help="gather and print the scores")
    stage.add_argument("--output", type=Path, default=RESULTS, help="folder of integration.csv, .json and .md")
    stage.set_defaults(run=table, name="integration")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
