"""``VMM`` with any prior, its own clusters or another method's in its embedding."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.fitted import Fitted
from benchmarks.methods.classical import bayesian_gaussian_mixture, kmeans, leiden
from benchmarks.methods.joint import JointVMM
from benchmarks.run import Run
from pyro_vmm import VMM
from pyro_vmm.scoring import elbo_surgery

VALIDATION_FRACTION = 0.1


def fit_vmm(x: np.ndarray, options: Mapping[str, Any], run: Run) -> Fitted:
    """Fit ``VMM``.

    Parameters
    ----------
    x
        ``[N, F]``.
    options
        ``model``: keywords of ``VMM``; ``steps``: train for so many at most, and stop when the ELBO has not risen for a
        quarter of them, whatever the minibatch; ``joint``: one update of everything instead of two in turn;
        ``afterwards``: cluster the embedding by ``{"method": ..., ...}``; ``surgery``: take the held-out ELBO apart, with so
        many posterior samples.
    run
        Seed, device and checkpoint.
    """
    keywords = dict(options.get("model", {}))
    if "steps" in options:
        keywords |= epochs_for(options["steps"], len(x), keywords.get("batch_size", 256))
    facade = JointVMM if options.get("joint") else VMM
    estimator = facade(
        **keywords, validation_fraction=VALIDATION_FRACTION, random_state=run.seed, device=run.device
    ).fit(x, watchers=run.watchers, resume=run.resume)
    numbers = numbers_of(estimator)
    if "surgery" in options:
        unseen = estimator.observe(x[estimator.validation_rows_]).tensor()
        parts = elbo_surgery(estimator.model_, estimator.guide_, unseen, num_samples=options["surgery"]).as_dict()
        numbers |= {f"surgery_{name}": value for name, value in parts.items()}
    if "afterwards" in options:
        clusters, probability = cluster_embedding(estimator.transform(x), options["afterwards"], run.seed)
        return Fitted(clusters, probability, numbers)
    return Fitted(estimator.labels_, estimator.predict_proba(x).max(1), numbers)


def epochs_for(steps: int, num_observations: int, batch_size: int) -> dict[str, int]:
    """``max_epochs`` and ``patience`` that hold so many steps and a quarter of them."""
    steps_per_epoch = math.ceil((1 - VALIDATION_FRACTION) * num_observations / batch_size)
    return {
        "max_epochs": math.ceil(steps / steps_per_epoch),
        "patience": max(1, math.ceil(steps / 4 / steps_per_epoch)),
    }


def numbers_of(estimator: VMM) -> dict[str, float]:
    """What a fit says of itself; the ELBO is that of the state kept."""
    history = estimator.history_
    return {
        "validation_elbo": float(history["validation_elbo"].max()),
        "best_epoch": float(history["validation_elbo"].idxmax()) + 1,
        "epochs": float(estimator.n_iter_),
        "steps": float(history["step"].iloc[-1]),
        "components_in_use": float(estimator.n_clusters_),
    }


def cluster_embedding(embedding: np.ndarray, options: Mapping[str, Any], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Clusters ``[N]`` of an embedding ``[N, D]`` and how sure they are, ``[N]``."""
    keywords = {name: value for name, value in options.items() if name != "method"}
    methods = {"k-means": kmeans, "bayesian-gaussian-mixture": bayesian_gaussian_mixture, "leiden": leiden}
    return methods[options["method"]](embedding, seed, **keywords)
