"""How components become clusters: by valleys, evidence, misclassification or not at all; no label of a data set enters.

python benchmarks/joining.py latents --output benchmarks/results/joining_latents.json
python benchmarks/joining.py overlapping --output benchmarks/results/joining_overlapping.json
python benchmarks/joining.py simulated --output benchmarks/results/joining_simulated.json
python benchmarks/joining.py agreement --data DATA --output benchmarks/results/joining_agreement.json

``latents`` draws classes of latents, Gaussian or bent, and joins the components of a fine mixture of them, by evidence and by
valleys: ARI with the truth for several ``evidence_weight``. ``overlapping`` draws them at more distances and of more unequal
sizes, and joins what is misclassified first, from several shares on. ``simulated`` fits counts drawn with known groups, few
counts a cell and many, at several rates of the mixture weights beside the networks: ARI with the truth. ``agreement`` fits real
files twice, with weights that learn as fast as the networks and ten times faster, and says how far the clusters of the two fits
agree (ARI between them) for several ``evidence_weight``.
"""

import argparse
import itertools
import json
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from pyro_vmm import SingleCellVMM
from pyro_vmm.clustering import joined, merge_tree
from pyro_vmm.persistence import versions
from pyro_vmm.scoring import format_table
from pyro_vmm.single_cell import simulate_cells

Array = NDArray[Any]
SHALLOW, FEW, DEEP = "120 counts a cell", "250 counts a cell", "4000 counts a cell"
SIMULATED: dict[str, dict[str, Any]] = {
    SHALLOW: {"num_cells": 2500, "num_genes": 160, "num_groups": 10, "library_size": 120.0, "separation": 5.0},
    FEW: {"num_cells": 2500, "num_genes": 160, "num_groups": 8, "library_size": 250.0, "separation": 4.0},
    DEEP: {"num_cells": 1500, "num_genes": 300, "num_groups": 10, "library_size": 4000.0, "separation": 4.5},
}
LATENTS = (
    (2_000, 5, 6),
    (2_000, 10, 8),
    (10_000, 5, 10),
    (10_000, 10, 10),
    (10_000, 10, 20),
    (10_000, 20, 10),
    (40_000, 10, 10),
)
"""Observations, dimensions and classes."""
FILES = (
    "tian_cell_line_mixtures",
    "zeisel_cortex_subset",
    "cao_worm_neuron",
    "scdcc_10x_pbmc_top2000",
    "starmap_mpfc_spatial",
)
RATES = (1.0, 3.0, 10.0)
EVIDENCE_WEIGHTS = (500.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0, float("inf"))
MISCLASSIFICATION_COST = 0.9  # pairs are joined while more than a tenth of one is taken for the other
SHARES = (0.05, 0.06, 0.07, 0.08, 0.1)
EVEN, UNEVEN = 5.0, 1.0  # concentrations of the Dirichlet distribution that the sizes of classes are drawn from


def fit(adata: Any, rate: float, seed: int, **training: Any) -> tuple[float, Array, Array]:
    """Best held-out ELBO, responsibilities of the components and posterior means."""
    batches = adata.obs["batch"].nunique() if "batch" in adata.obs else 1
    SingleCellVMM.setup_anndata(adata, batch_key="batch" if batches > 1 else None)
    model = SingleCellVMM(adata, merging="none", random_state=seed)
    model.train(weight_rate=rate, **training)
    elbo = -float(model.history["elbo_validation"]["elbo_validation"].min())
    return elbo, model.predict_proba(), model.get_latent_representation()


def clusters(responsibilities: Array, latents: Array, criterion: Any, cost: float, **options: Any) -> Array:
    """Cluster of each cell when components are joined while that costs less than ``cost``."""
    tree = merge_tree(responsibilities, criterion=criterion, latents=latents, **options)
    joined: Array = tree.joined_below(cost)[responsibilities.argmax(1)]
    return joined


def drawn_classes(
    sizes: Sequence[int], apart: float, bent: float, seed: int, evenness: float = EVEN
) -> tuple[Array, Array]:
    """Latents ``[N, D]`` of C classes of unlike sizes and shapes, and their classes ``[N]``; ``sizes`` are N, D and C.

    Half of the classes have another no more than ``apart`` from their centre. ``bent`` curves them: quadratic in a Gaussian.
    """
    number, dim, num_classes = sizes
    rng = np.random.default_rng(seed)
    truth = rng.choice(num_classes, size=number, p=rng.dirichlet(np.full(num_classes, evenness)))
    centres = rng.normal(size=(num_classes, dim))
    distances = np.linalg.norm(centres[:, None] - centres, axis=-1) + np.diag(np.full(num_classes, np.inf))
    centres *= apart / np.median(distances.min(1))
    latents = np.empty((number, dim))
    for each in range(num_classes):
        noise = rng.normal(size=((truth == each).sum(), dim))
        shape = 0.5 * rng.normal(size=(dim, dim)) / np.sqrt(dim) + 0.9 * np.eye(dim)
        turn = rng.normal(size=(dim, dim)) / np.sqrt(dim)
        curve = 0.7 * bent * (np.square(noise @ turn) - 1.0) * rng.choice([-1.0, 1.0], size=dim)
        latents[truth == each] = centres[each] + (noise + curve) @ shape.T
    return latents, truth


def in_latents(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Classes drawn in a latent space: a mixture of 40 Gaussians of them, joined by each rule; ARI with the truth."""
    from sklearn.mixture import GaussianMixture

    rows = []
    for sizes, apart, bent in itertools.product(LATENTS, (4.0, 6.0), (0.0, 0.5)):
        for seed in range(arguments.seeds):
            latents, truth = drawn_classes(sizes, apart, bent, seed)
            fine = GaussianMixture(40, random_state=seed, max_iter=40, reg_covar=1e-4, tol=1e-2)
            with warnings.catch_warnings(action="ignore"):  # a start is wanted, not convergence
                responsibilities = fine.fit(latents[:10_000]).predict_proba(latents)
            row = {"observations": sizes[0], "dimensions": sizes[1], "classes": sizes[2], "apart": apart, "bent": bent}
            for rule, weight in itertools.product(("evidence", "valleys"), EVIDENCE_WEIGHTS):
                found = clusters(responsibilities, latents, rule, 0.0, evidence_weight=weight)
                rows.append(
                    row | {"seed": seed, "rule": rule, "evidence_weight": weight, "clusters": len(np.unique(found))}
                )
                rows[-1]["ARI"] = float(adjusted_rand_score(truth, found))
        print(format_table(rows[-2 * len(EVIDENCE_WEIGHTS) :]), flush=True)
    return rows


def overlapping(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Classes near to one another and far, of like and unlike sizes: ARI with the truth by valleys, and after misclassification."""
    from sklearn.mixture import GaussianMixture

    rows = []
    for apart, evenness, bent in itertools.product((2.5, 3.0, 3.5, 4.0, 6.0), (EVEN, UNEVEN), (0.0, 0.5)):
        for sizes, seed in itertools.product(LATENTS, range(arguments.seeds)):
            latents, truth = drawn_classes(sizes, apart, bent, seed, evenness)
            fine = GaussianMixture(40, random_state=seed, max_iter=40, reg_covar=1e-4, tol=1e-2)
            with warnings.catch_warnings(action="ignore"):  # a start is wanted, not convergence
                responsibilities = fine.fit(latents[:10_000]).predict_proba(latents)
            row: dict[str, Any] = {"observations": sizes[0], "dimensions": sizes[1], "classes": sizes[2]}
            row |= {"apart": apart, "evenness": evenness, "bent": bent, "seed": seed}
            for share in (None, *SHARES):
                found = after_misclassification(responsibilities, latents, share)
                row |= {"share": share, "clusters": len(np.unique(found))}
                rows.append(row | {"ARI": float(adjusted_rand_score(truth, found))})
        of_these = rows[-len(LATENTS) * arguments.seeds * (1 + len(SHARES)) :]
        means = [np.mean([each["ARI"] for each in of_these if each["share"] == share]) for share in (None, *SHARES)]
        print(apart, evenness, bent, "valleys", *(f"{mean:.3f}" for mean in means), flush=True)
    return rows


def after_misclassification(responsibilities: Array, latents: Array, share: float | None) -> Array:
    """Clusters by valleys (None), or of what is left when pairs are joined of which more than ``share`` of one is misclassified."""
    if share is not None:
        first = merge_tree(responsibilities, criterion="misclassification")
        responsibilities = joined(responsibilities, first.joined_below(1.0 - share))
    weight = None if share is None else float("inf")
    tree = merge_tree(responsibilities, criterion="valleys", latents=latents, evidence_weight=weight)
    found: Array = joined(responsibilities, tree.joined_below(0.0)).argmax(1)
    return found


def simulated(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Known groups: each rule's clusters and their ARI with the truth."""
    rows = []
    for seed in range(arguments.seeds):
        for name, sizes in SIMULATED.items():
            for rate in RATES:
                adata = simulate_cells(**sizes, num_batches=2, latent_dim=5, seed=seed)
                truth = adata.obs["group"].to_numpy()
                elbo, responsibilities, latents = fit(adata, rate, seed, max_epochs=200)
                found = {
                    "none": responsibilities.argmax(1),
                    "misclassification": clusters(
                        responsibilities, latents, "misclassification", MISCLASSIFICATION_COST
                    ),
                    "evidence": clusters(responsibilities, latents, "evidence", 0.0),
                    "valleys": clusters(responsibilities, latents, "valleys", 0.0),
                }
                rows.append(
                    {"cells": name, "groups": sizes["num_groups"], "weight_rate": rate, "seed": seed, "elbo": elbo}
                )
                for rule, labels in found.items():
                    rows[-1] |= {
                        f"{rule}, clusters": len(np.unique(labels)),
                        f"{rule}, ARI": float(adjusted_rand_score(truth, labels)),
                    }
                print(format_table(rows[-1:]), flush=True)
    return rows


def agreement(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Real files without their labels: clusters of two fits, and the ARI between these."""
    import anndata

    rows = []
    for name in arguments.files:
        fits = []
        for rate in (RATES[0], RATES[-1]):
            stored = arguments.work / f"{name}-rate{rate:g}.npz"
            if not stored.exists():
                adata = anndata.read_h5ad(arguments.data / f"{name}.h5ad")
                elbo, responsibilities, latents = fit(adata, rate, seed=0)
                stored.parent.mkdir(parents=True, exist_ok=True)
                np.savez(stored, elbo=elbo, responsibilities=responsibilities, latents=latents)
            with np.load(stored) as file:
                fits.append({key: file[key] for key in ("elbo", "responsibilities", "latents")})
        for weight in EVIDENCE_WEIGHTS:
            found = [
                clusters(each["responsibilities"], each["latents"], "evidence", 0.0, evidence_weight=weight)
                for each in fits
            ]
            rows.append(
                {
                    "file": name,
                    "evidence_weight": weight,
                    "clusters, rate 1": len(np.unique(found[0])),
                    "clusters, rate 10": len(np.unique(found[1])),
                    "ARI between": float(adjusted_rand_score(*found)),
                    "elbo, rate 1": float(fits[0]["elbo"]),
                    "elbo, rate 10": float(fits[1]["elbo"]),
                }
            )
        print(format_table(rows[-len(EVIDENCE_WEIGHTS) :]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = parser.add_subparsers(required=True)
    drawn = stages.add_parser("latents")
    drawn.add_argument("--seeds", type=int, default=3)
    drawn.set_defaults(run=in_latents)
    near = stages.add_parser("overlapping")
    near.add_argument("--seeds", type=int, default=1)
    near.set_defaults(run=overlapping)
    stage = stages.add_parser("simulated")
    stage.add_argument("--seeds", type=int, default=3)
    stage.set_defaults(run=simulated)
    other = stages.add_parser("agreement")
    other.add_argument("--data", type=Path, required=True, help="folder of files whose genes have been chosen")
    other.add_argument("--work", type=Path, default=Path("runs/joining"), help="fits lie here")
    other.add_argument("--files", nargs="+", choices=FILES, default=FILES)
    other.set_defaults(run=agreement)
    for each in (drawn, near, stage, other):
        each.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = arguments.run(arguments)
    if arguments.output:
        facts = {
            "command": shlex.join(["python", *sys.argv]),
            "cores": os.cpu_count(),
            "threads": 1,
            "versions": versions(),
        }
        arguments.output.write_text(json.dumps(facts | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
