"""Simulated counts of cells with known groups, by a generator that is not our model: Splatter's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from anndata import AnnData
from scipy.sparse import csr_matrix

# Splatter's defaults (splatParams): gene means, outlier genes, dispersion.
_MEAN_SHAPE, _MEAN_RATE = 0.6, 0.3
_OUTLIER_SHARE, _OUTLIER_LOC, _OUTLIER_SCALE = 0.05, 4.0, 0.5
_COMMON_VARIATION, _VARIATION_DF = 0.1, 60.0
_LIBRARY_SCALE = 0.3


def splatter_cells(
    sizes: Sequence[int],
    num_genes: int,
    *,
    changed: float | Sequence[float] = 0.1,
    change_loc: float = 0.1,
    change_scale: float = 0.4,
    library_size: float = 1500.0,
    num_batches: int = 1,
    batch_scale: float = 0.1,
    seed: int,
) -> tuple[AnnData, np.ndarray]:
    r"""Draw negative-binomial counts of groups that differ in some genes' means.

    Means of genes are Gamma, and a few genes are outliers. A group multiplies the means of a share of the genes by random factors.
    A cell's expected counts are these means, scaled to its LogNormal library size. The coefficient of variation falls with the
    mean, :math:`(0.1 + 1 / \sqrt{\mu_{ng}}) \sqrt{60 / \chi^2_{60}}`, and the counts are Poisson around a Gamma of that variation.

    Parameters
    ----------
    sizes
        Cells of each group, ``[G]``.
    num_genes
        Genes.
    changed
        Share of the genes that are differentially expressed in a group, of all or of each ``[G]``. 0 for all makes one population.
    change_loc, change_scale
        Mean and standard deviation of the logarithms of the factors before their sign is drawn at random, up or down.
    library_size
        Median total count.
    num_batches, batch_scale
        Batches at random, and the standard deviation of the logarithm of a batch's factor on each gene.
    seed
        Of all random numbers.

    Returns
    -------
    AnnData, ndarray
        Counts ``[N, genes]`` in CSR form with ``obs["batch"]`` where there are batches, and the group of each cell, ``[N]``.
        Cells are in random order.

    References
    ----------
    L. Zappia, B. Phipson and A. Oshlack (2017), "Splatter: simulation of single-cell RNA sequencing data", Genome Biology 18.
    """
    rng = np.random.default_rng(seed)
    number = sum(sizes)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    batch = rng.integers(num_batches, size=number)
    means = rng.gamma(_MEAN_SHAPE, 1.0 / _MEAN_RATE, size=num_genes)
    outlier = rng.random(num_genes) < _OUTLIER_SHARE
    means[outlier] = np.median(means) * rng.lognormal(_OUTLIER_LOC, _OUTLIER_SCALE, size=outlier.sum())
    shares = np.broadcast_to(changed, len(sizes))
    changes = rng.random((len(sizes), num_genes)) < shares[:, None]
    factors = np.abs(rng.normal(change_loc, change_scale, size=changes.shape)) * rng.choice([-1.0, 1.0], changes.shape)
    of_group = means * np.exp(np.where(changes, factors, 0.0))
    of_batch = np.exp(rng.normal(0.0, batch_scale, size=(num_batches, num_genes)) * (num_batches > 1))
    expected = of_group[group] * of_batch[batch]
    library = rng.lognormal(np.log(library_size), _LIBRARY_SCALE, size=(number, 1))
    expected *= library / expected.sum(1, keepdims=True)
    variation = (_COMMON_VARIATION + 1.0 / np.sqrt(expected)) * np.sqrt(
        _VARIATION_DF / rng.chisquare(_VARIATION_DF, num_genes)
    )
    shape = 1.0 / np.square(variation)
    counts = rng.poisson(rng.gamma(shape, expected / shape)).astype(np.float32)
    counts[counts.sum(1) == 0, 0] = 1.0  # no cell may be empty: it would have no library size
    cells = AnnData(csr_matrix(counts))
    if num_batches > 1:
        cells.obs["batch"] = batch.astype(str)
    return cells, group
