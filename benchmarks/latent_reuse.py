"""What the empirical-Bayes step loses or gains by reusing the latent samples of the ELBO step.

Reused samples come from the encoder one update ago; fresh ones cost another pass through it. scikit-learn's digits, one
fifth held out, are fitted both ways from the same initial state in the same order, over several seeds. What is compared
needs no label: the validation ELBO (nats per image, the same noise for both) and the number of clusters in use, each
averaged over the last epochs. Two runs drift apart from the smallest difference, so that a third one, with reused
latents but other noise, shows how much chance alone does. Differences are taken seed by seed.
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.likelihoods import Bernoulli
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks import MLPDecoder, MLPEncoder
from pyro_vmm.priors import VampMixture
from pyro_vmm.training import Trainer

LATENT_DIM, NUM_COMPONENTS, HIDDEN = 10, 100, (256, 256)
AVERAGED_EPOCHS = 5
RUNS = {"reused": ("reused", 0), "fresh": ("fresh", 0), "reused, other draws": ("reused", 1)}


def fit(x: Tensor, validation_x: Tensor, *, latents: str, extra_draws: int, seed: int, epochs: int) -> dict[str, float]:
    """Train once; the initial state depends on ``seed`` alone, the noise of training also on ``extra_draws``."""
    torch.manual_seed(seed)
    num_features = x.shape[1]
    encoder = MLPEncoder(num_features, HIDDEN, num_outputs=AmortizedNormal.num_outputs(LATENT_DIM))
    guide = AmortizedNormal(encoder)
    prior = VampMixture(LATENT_DIM, guide, x[torch.randperm(len(x))[:NUM_COMPONENTS]])
    decoder = MLPDecoder(LATENT_DIM, HIDDEN[::-1], num_outputs=num_features)
    model = LatentMixtureModel(prior, decoder, Bernoulli(pixels_per_feature=16))
    torch.rand(extra_draws)
    svi = EmpiricalBayesSVI(model, guide, optim=1e-3, latents=latents)
    trainer = Trainer(svi, x, validation_x, batch_size=128, max_epochs=epochs, seed=seed)
    start = time.process_time()
    last = trainer.run()[-AVERAGED_EPOCHS:]
    return {
        "validation_elbo": float(np.mean([row["validation_elbo"] for row in last])),
        "clusters_in_use": float(np.mean([row["clusters_in_use"] for row in last])),
        "cpu_seconds": time.process_time() - start,
    }


def paired(runs: list[dict[str, Any]], one: str, other: str, quantity: str) -> dict[str, Any]:
    """Differences ``one - other`` by seed, their mean and its standard error."""
    differences = [run[one][quantity] - run[other][quantity] for run in runs]
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(runs))
    return {
        "by_seed": np.round(differences, 3).tolist(),
        "mean": round(float(np.mean(differences)), 3),
        "standard_error": round(error, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--output", type=Path, help="write the results here as JSON")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be at least 2: one difference has no standard error")
    torch.set_num_threads(arguments.threads)

    x = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    runs: list[dict[str, Any]] = []
    print(f"{'seed':<6}{'latents':<22}{'validation ELBO':>16}{'clusters':>10}{'CPU s':>8}")
    for seed in range(arguments.seeds):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        held_out, training = order[: len(x) // 5], order[len(x) // 5 :]
        run: dict[str, Any] = {"seed": seed}
        for name, (latents, extra_draws) in RUNS.items():
            options = {"latents": latents, "extra_draws": extra_draws, "seed": seed, "epochs": arguments.epochs}
            run[name] = fit(x[training], x[held_out], **options)
            elbo, clusters, seconds = run[name].values()
            print(f"{seed:<6}{name:<22}{elbo:>16.2f}{clusters:>10.1f}{seconds:>8.1f}", flush=True)
        runs.append(run)
    differences = {
        f"{quantity}: reused - {other}": paired(runs, "reused", other, quantity)
        for quantity in ("validation_elbo", "clusters_in_use")
        for other in ("fresh", "reused, other draws")
    }
    for name, row in differences.items():
        print(f"{name}: mean {row['mean']} +- {row['standard_error']} (standard error), by seed {row['by_seed']}")
    results = {
        "command": " ".join(["python", "benchmarks/latent_reuse.py", *sys.argv[1:]]),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "epochs_averaged": AVERAGED_EPOCHS,
        "runs": runs,
        "paired": differences,
    }
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
