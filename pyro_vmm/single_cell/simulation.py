"""Cells drawn from the model's own story with known parameters, for tests, notebooks and trying things out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyro_vmm.errors import UserError

if TYPE_CHECKING:
    from anndata import AnnData


def simulate_cells(
    num_cells: int = 1000,
    num_genes: int = 100,
    *,
    num_groups: int = 4,
    num_batches: int = 1,
    latent_dim: int = 3,
    separation: float = 6.0,
    batch_effect: float = 0.5,
    library_size: float = 500.0,
    dropout: float = 0.0,
    seed: int = 0,
) -> AnnData:
    r"""Draw counts from a mixture in the latent space, a log-linear decoder and negative-binomial noise.

    .. math::
        z_n \sim \mathrm{Normal}(\mu_{c_n}, I), \quad \rho_n = \mathrm{softmax}(a + W z_n + b_{s_n}), \quad
        x_{ng} \sim \mathrm{NB}(l_n \rho_{ng}, \theta_g)

    with :math:`l_n` LogNormal around ``library_size``, and a count lost (read as zero) with probability ``dropout``.

    Parameters
    ----------
    num_cells, num_genes, num_groups, num_batches, latent_dim
        Sizes. Groups and batches are independent of each other.
    separation
        Distance of the groups' centres from the origin, in standard deviations within a group; centres are at random but
        no two are nearer to each other than this.
    batch_effect
        Standard deviation of ``b``, in logs of expression.
    library_size
        Median total count.
    dropout
        Probability of losing a count.
    seed
        Decides everything.

    Returns
    -------
    AnnData
        ``X`` CSR counts; ``obs`` group, batch and library_size; ``var`` inverse_dispersion; ``obsm["z"]``;
        ``layers["share"]`` true :math:`\rho` and ``layers["unbatched_share"]`` the same without ``b``.

    Raises
    ------
    UserError
        If a size is less than 1.
    """
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    sizes = {"num_cells": num_cells, "num_genes": num_genes, "num_groups": num_groups, "num_batches": num_batches}
    for name, size in (sizes | {"latent_dim": latent_dim}).items():
        if size < 1:
            raise UserError(f"{name} is {size}: it must be at least 1.")
    rng = np.random.default_rng(seed)
    centres = _spread(rng, num_groups, latent_dim, separation)
    group, batch = rng.integers(num_groups, size=num_cells), rng.integers(num_batches, size=num_cells)
    z = centres[group] + rng.normal(size=(num_cells, latent_dim))
    level, loading = rng.normal(size=num_genes), rng.normal(size=(latent_dim, num_genes)) / np.sqrt(6 * latent_dim)
    shift = batch_effect * rng.normal(size=(num_batches, num_genes))
    unbatched, batched = level + z @ loading, level + z @ loading + shift[batch]
    library = library_size * np.exp(0.3 * rng.normal(size=num_cells))
    theta = np.exp(rng.normal(1.0, 0.5, size=num_genes))
    share = _softmax(batched)
    counts = rng.poisson(library[:, None] * share * rng.gamma(theta, 1 / theta, size=share.shape))
    counts[rng.random(counts.shape) < dropout] = 0
    # No cell may be empty: it would have no library size.
    counts[counts.sum(1) == 0, 0] = 1
    return AnnData(
        csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame(
            {
                "group": pd.Categorical([f"group {code}" for code in group]),
                "batch": pd.Categorical([f"batch {code}" for code in batch]),
                "library_size": library,
            },
            index=[f"cell {row}" for row in range(num_cells)],
        ),
        var=pd.DataFrame({"inverse_dispersion": theta}, index=[f"gene {column}" for column in range(num_genes)]),
        obsm={"z": z},
        layers={"share": share, "unbatched_share": _softmax(unbatched)},
    )


def _spread(rng: np.random.Generator, number: int, latent_dim: int, separation: float) -> np.ndarray:
    """Points ``[number, D]``, no two nearer than ``separation``; the ball grows until they fit."""
    chosen: list[np.ndarray] = []
    radius, misses = separation, 0
    while len(chosen) < number:
        point = radius * rng.normal(size=latent_dim) / np.sqrt(latent_dim)
        if all(np.linalg.norm(point - other) >= separation for other in chosen):
            chosen.append(point)
        elif (misses := misses + 1) % 100 == 0:
            radius *= 1.1
    return np.stack(chosen)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponential = np.exp(logits - logits.max(1, keepdims=True))
    shares: np.ndarray = exponential / exponential.sum(1, keepdims=True)
    return shares
