"""Data and models that several tables share."""

from typing import Any

from benchmarks.harness import Trial

DIGITS: dict[str, Any] = {"kind": "digits"}
DIGITS_MODEL: dict[str, Any] = {
    "likelihood_options": {"pixels_per_feature": 16},
    "num_components": 50,
    "batch_size": 128,
    "learning_rate": 1e-3,
}
"""As ``pyro-vmm fit digits``, but for 50 components."""

CELLS_LEARNING_RATE, CELLS_NUM_COMPONENTS = 1e-3, 100
"""As ``SingleCellVMM`` comes."""

NETWORKS_FIRST = {"kl_warmup_steps": 5_000, "prior_rest_steps": 5_000}
IMAGES: dict[str, dict[str, Any]] = {
    "MNIST": {"source": {"kind": "mnist"}, "model": NETWORKS_FIRST | {"latent_dim": 10, "max_epochs": 200}},
    "Fashion-MNIST": {
        "source": {"kind": "fashion-mnist"},
        "model": NETWORKS_FIRST | {"latent_dim": 30, "max_epochs": 200},
    },
}
"""As ``pyro-vmm fit`` has them (section 7's networks and dimensions, networks trained first), but longer."""

PRIORS: dict[str, dict[str, str]] = {
    "VMM": {"prior": "vamp-mixture"},
    "DP-GMM": {"prior": "gaussian-mixture"},
    "VampPrior": {"prior": "vamp-prior"},
    "N(0, I)": {"prior": "standard-normal"},
}


QUICK_MODEL: dict[str, Any] = {"hidden": (128,), "num_components": 30}
"""Smaller networks and fewer components: what the quick forms change."""


def simulated_cells(quick: bool) -> dict[str, Any]:
    """Source of simulated counts: eight groups in two batches."""
    size = {"num_cells": 600, "num_genes": 60} if quick else {"num_cells": 3000, "num_genes": 300}
    return {"kind": "cells", "num_groups": 8, "num_batches": 2, "latent_dim": 5} | size


def many_groups(quick: bool) -> dict[str, Any]:
    """Source of simulated counts: twenty groups, near each other in three dimensions, in two batches."""
    size = {"num_cells": 1200, "num_genes": 60} if quick else {"num_cells": 6000, "num_genes": 300}
    return {"kind": "cells", "num_groups": 20, "num_batches": 2, "library_size": 1000.0} | size


CELLS = {"simulated cells": simulated_cells, "many groups": many_groups}


def cells_trial(
    method: str, seed: int, quick: bool, *, data: str = "simulated cells", group: str = "", **options: Any
) -> Trial:
    """``SingleCellVMM`` on simulated cells with these options; fewer components and steps in the quick form."""
    model = {"num_components": 30 if quick else CELLS_NUM_COMPONENTS} | options.pop("model", {})
    options = {"model": model, "steps": 300 if quick else 5000} | options
    return Trial(data, CELLS[data](quick), method, "single-cell-vmm", options, seed, group)


def digits_trial(method: str, seed: int, quick: bool, *, group: str = "", **options: Any) -> Trial:
    """``VMM`` on digits with these options; smaller networks and fewer steps in the quick form."""
    model = DIGITS_MODEL | (QUICK_MODEL if quick else {}) | options.pop("model", {})
    options = {"model": model, "steps": 400 if quick else 3000} | options
    return Trial("digits", DIGITS, method, "vmm", options, seed, group)
