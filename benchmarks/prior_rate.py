"""How fast the prior should learn beside the networks: held-out ELBO and clusters of real cells by that ratio. No label is read.

``python benchmarks/prior_rate.py --data DATA --output benchmarks/results/prior_rate.json`` fits every file of ``DATA`` at every
ratio, one seed; each finished fit is a file below ``--work``, so that a stopped command goes on where it was.
"""

import argparse
import json
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from integration_data import FILES, batch_key, prepare, write_json
from source_digest import source_digest

from pyro_vmm import SingleCellVMM

LEARNING_RATE = 1e-3
RATIOS = (0.1, 0.3, 1.0)


def fit(path: Path, prepared: Path, ratio: float, seed: int, **options: Any) -> dict[str, Any]:
    """Fit one file as `SingleCellVMM` comes, but for the prior's learning rate and the options given."""
    adata = prepare(path, prepared)
    SingleCellVMM.setup_anndata(adata, batch_key=batch_key(adata))
    model, start = SingleCellVMM(adata, random_state=seed, **options), time.process_time()
    model.train(learning_rate=LEARNING_RATE, prior_learning_rate=ratio * LEARNING_RATE)
    history = model.history
    return {
        "file": path.stem,
        "ratio": ratio,
        "seed": seed,
        "validation_elbo": -float(history["elbo_validation"].min().iloc[0]),
        "epochs": len(history["elbo_train"]),
        "components_in_use": int(history["clusters_in_use"].iloc[-1, 0]),
        "clusters": len(np.unique(model.predict())),
        "cpu_seconds": round(time.process_time() - start, 1),
        "digest": source_digest(),
    }


def main() -> None:
    """Fit what is not there yet and write all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help="folder of the .h5ad files")
    parser.add_argument("--work", type=Path, default=Path("runs/prior-rate"), help="finished fits lie here")
    parser.add_argument("--files", nargs="+", choices=FILES, default=list(FILES), metavar="FILE")
    parser.add_argument("--ratios", nargs="+", type=float, default=RATIOS, metavar="RATIO")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fits = []
    for file in arguments.files:
        for ratio in arguments.ratios:
            stored = arguments.work / f"{file}-ratio{ratio:g}-seed{arguments.seed}.json"
            if not stored.exists():
                stored.parent.mkdir(parents=True, exist_ok=True)
                prepared = arguments.work / "data" / f"{file}.h5ad"
                write_json(stored, fit(arguments.data / f"{file}.h5ad", prepared, ratio, arguments.seed))
            fits.append(json.loads(stored.read_text()))
            print(fits[-1], flush=True)
    versions = {name: version(name) for name in ("pyro-vmm", "torch", "pyro-ppl", "numpy", "anndata")}
    command = f"python benchmarks/prior_rate.py --data DATA --files {' '.join(arguments.files)}"
    write_json(arguments.output, {"command": command, "versions": versions, "cores": os.cpu_count(), "fits": fits})


if __name__ == "__main__":
    main()
