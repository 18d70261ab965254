"""Stick-breaking against Dirichlet weights on scikit-learn's digits, by label-free quantities only.

python benchmarks/weights.py --seeds 3 --output benchmarks/results/weights.json
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

from pyro_vmm import VMM
from pyro_vmm.persistence import versions
from pyro_vmm.scoring import format_table


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=150)
    arguments.add_argument("--output", type=Path)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    x = load_digits().data / 16
    runs = []
    for seed in range(options.seeds):
        for weights in ("stick-breaking", "dirichlet"):
            model = VMM(
                weights=weights,
                likelihood_options={"pixels_per_feature": 16},
                batch_size=128,
                learning_rate=1e-3,
                max_epochs=options.epochs,
                device="cpu",
                random_state=seed,
            ).fit(x)
            runs.append(
                {
                    "weights": weights,
                    "seed": seed,
                    "best_validation_elbo": float(model.history_["validation_elbo"].max()),
                    "epochs": int(model.n_iter_),
                    "clusters": int(model.n_clusters_),
                    "concentration": float(model.model_.prior.mixture_weights.concentration.detach()),
                }
            )
            print(format_table(runs[-1:]), flush=True)
    difference = [
        b["best_validation_elbo"] - a["best_validation_elbo"] for a, b in zip(runs[::2], runs[1::2], strict=True)
    ]
    print(
        f"Dirichlet minus stick-breaking, nats: mean {np.mean(difference):.2f}, each {np.round(difference, 2).tolist()}"
    )
    if options.output:
        facts = {
            "command": shlex.join(["python", *sys.argv]),
            "cores": os.cpu_count(),
            "threads": 1,
            "versions": versions(),
        }
        options.output.write_text(json.dumps(facts | {"runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
