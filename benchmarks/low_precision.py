"""What bfloat16 costs: held-out ELBO and clusters of real cells with and without ``low_precision``. No label is read.

``python benchmarks/low_precision.py --data DATA --output benchmarks/results/low_precision.json`` fits every file of ``DATA``
both ways; each finished fit is a file below ``--work``, so that a stopped command goes on where it was.
"""

import argparse
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from integration_data import FILES, write_json
from prior_rate import fit

from pyro_vmm.infer import PRIOR_RATE


def main() -> None:
    """Fit what is not there yet and write all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help="folder of the .h5ad files")
    parser.add_argument("--work", type=Path, default=Path("runs/low-precision"), help="finished fits lie here")
    parser.add_argument("--files", nargs="+", choices=FILES, default=list(FILES), metavar="FILE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fits = []
    for file in arguments.files:
        for seed in arguments.seeds:
            for low in (False, True):
                stored = arguments.work / f"{file}-{'low' if low else 'full'}-seed{seed}.json"
                if not stored.exists():
                    stored.parent.mkdir(parents=True, exist_ok=True)
                    paths = arguments.data / f"{file}.h5ad", arguments.work / "data" / f"{file}.h5ad"
                    found = {"low_precision": low} | fit(*paths, PRIOR_RATE, seed, low_precision=low)
                    write_json(stored, found)
                fits.append(json.loads(stored.read_text()))
                print(fits[-1], flush=True)
    given = [word if word != str(arguments.data) else "DATA" for word in sys.argv[1:]]
    results = {
        "command": " ".join(["python", "benchmarks/low_precision.py", *given]),
        "versions": {name: version(name) for name in ("torch", "pyro-ppl", "numpy", "anndata")},
        "cores": os.cpu_count(),
        "fits": fits,
    }
    write_json(arguments.output, results)


if __name__ == "__main__":
    main()
