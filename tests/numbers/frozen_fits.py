"""Ten small fits of every kind, of about 200 steps each, and what each has learned: a hash and the last ELBO.

``python tests/numbers/frozen_fits.py`` prints them; with ``--write`` it adds those of this processor and these versions to
``frozen_fits.json``. Do that only where numbers change on purpose, in a commit that says why.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits

from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.single_cell.simulation import simulate_cells

STORED = Path(__file__).with_name("frozen_fits.json")


class Learned(NamedTuple):
    """What a fit has learned: SHA-256 of all parameters and buffers, and the training ELBO of the last epoch in nats."""

    sha256: str
    elbo: float


def environment() -> str:
    """Processor, threads and versions, on which the last bits of a fit depend."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", "pyro-ppl", "numpy", "numba"))
    return f"{processor}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} thread, {versions}"


def _hash(*modules: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name};".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _arrays(x: NDArray[Any], **options: Any) -> Learned:
    small: dict[str, Any] = {"num_components": 20, "latent_dim": 4, "hidden": (32, 32), "batch_size": 128}
    vmm = VMM(random_state=0, device="cpu", **small | {"max_epochs": 31} | options).fit(x)
    return Learned(_hash(vmm.model_, vmm.guide_), float(vmm.history_["elbo"].iloc[-1]))


def _cells(*, setup: dict[str, Any], train: dict[str, Any] | None = None, **options: Any) -> Learned:
    adata = simulate_cells(900, 60, num_groups=4, num_batches=3, seed=5)
    adata.obs["site"] = [f"s{row % 2}" for row in range(adata.n_obs)]
    adata.obs["age"] = np.linspace(20.0, 80.0, adata.n_obs)
    SingleCellVMM.setup_anndata(adata, **setup)
    small: dict[str, Any] = {"n_latent": 4, "num_components": 20, "n_hidden": 32, "random_state": 0}
    model = SingleCellVMM(adata, **small | options)
    model.train(**{"max_epochs": 31, "batch_size": 128, "accelerator": "cpu"} | (train or {}))
    return Learned(_hash(model.module, model.guide), -float(model.history["elbo_train"].iloc[-1, 0]))


def _digits() -> NDArray[np.float64]:
    return load_digits().data[:900] / 16


def _tumours(num_features: int) -> NDArray[np.float64]:
    return load_breast_cancer().data[:, :num_features]


FITS: dict[str, Callable[[], Learned]] = {
    "arrays: bernoulli": lambda: _arrays(_digits(), likelihood_options={"pixels_per_feature": 16}),
    "arrays: normal, standardised": lambda: _arrays(_tumours(30), likelihood="normal", standardize=True, max_epochs=50),
    "arrays: student-t, Gaussian mixture, Dirichlet, cosine": lambda: _arrays(
        _tumours(10),
        likelihood="student-t",
        standardize=True,
        max_epochs=50,
        prior="gaussian-mixture",
        weights="dirichlet",
        learning_rate_schedule="cosine",
    ),
    "arrays: VampPrior, diagonal": lambda: _arrays(_digits(), prior="vamp-prior", covariance="diagonal"),
    "arrays: counts": lambda: _arrays(simulate_cells(900, 30, seed=3).X.toarray(), likelihood="nb"),
    "images: convolutions": lambda: _arrays(
        _digits(), encoder="conv", decoder="conv", image_shape=(8, 8), max_epochs=29
    ),
    "images: warm-up, prior at rest, expected centres": lambda: _arrays(
        _digits(),
        likelihood="continuous-bernoulli",
        image_shape=(8, 8),
        kl_warmup_steps=60,
        prior_rest_steps=40,
        centre_uncertainty="expected",
    ),
    "cells: zinb": lambda: _cells(setup={}),
    "cells: zinb, batches": lambda: _cells(setup={"batch_key": "batch"}),
    "cells: nb, all covariates, library inferred": lambda: _cells(
        setup={"batch_key": "batch", "categorical_covariate_keys": ["site"], "continuous_covariate_keys": ["age"]},
        gene_likelihood="nb",
        use_observed_lib_size=False,
        normalization="layer",
        dispersion="gene-batch",
        n_layers=2,
        train={"weight_rate": 3.0},
    ),
}


def _main() -> None:
    torch.set_num_threads(1)
    learned = {}
    for name, fit in FITS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            learned[name] = fit()
        print(f"{learned[name].sha256[:16]}  {learned[name].elbo:10.4f}  {name}", flush=True)
    if "--write" in sys.argv[1:]:
        stored = json.loads(STORED.read_text()) if STORED.exists() else {"elbo": {}, "sha256": {}}
        stored["elbo"] = {name: each.elbo for name, each in learned.items()}
        stored["sha256"][environment()] = {name: each.sha256 for name, each in learned.items()}
        STORED.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    _main()
