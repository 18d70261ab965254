"""A Gaussian mixture with more components than classes, and the rules that join them: no networks, no labels."""

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.mixture import GaussianMixture

from benchmarks.fitted import Fitted
from benchmarks.run import Run
from pyro_vmm.clustering import joined, merge_tree
from pyro_vmm.clustering.criteria import CRITERIA

NUM_COMPONENTS, MOST_FITTED = 40, 10_000


def fit_fine_mixture(x: np.ndarray, options: Mapping[str, Any], run: Run) -> Fitted:
    """Join the components of a mixture of ``x``, ``[N, D]``.

    Parameters
    ----------
    x
        Points of a latent space.
    options
        ``criterion`` and ``evidence_weight`` of :func:`pyro_vmm.clustering.merge_tree`; ``share``: join first what is
        misclassified by more than that share of a component, and by evidence of all observations and ``criterion`` after that.
    run
        Seed.
    """
    responsibilities = _responsibilities(x.tobytes(), x.shape, run.seed)
    weight = options.get("evidence_weight")
    if share := options.get("share"):
        first = merge_tree(responsibilities, criterion="misclassification")
        responsibilities, weight = joined(responsibilities, first.joined_below(1.0 - share)), float("inf")
    tree = merge_tree(responsibilities, criterion=options["criterion"], latents=x, evidence_weight=weight)
    found = joined(responsibilities, tree.joined_below(CRITERIA[options["criterion"]].joined_below))
    return Fitted(found.argmax(1), found.max(1), {"components": float(responsibilities.shape[1])})


@functools.lru_cache(maxsize=1)
def _responsibilities(values: bytes, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Of the components, ``[N, K]``: the rules are compared on the same ones."""
    x = np.frombuffer(values).reshape(shape)
    fine = GaussianMixture(NUM_COMPONENTS, random_state=seed, max_iter=40, reg_covar=1e-4, tol=1e-2)
    with warnings.catch_warnings(action="ignore"):  # a start is wanted, not convergence
        return fine.fit(x[:MOST_FITTED]).predict_proba(x)
