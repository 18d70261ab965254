"""Data of the tables: what a fit sees, and, apart from it, the labels.

A source is a mapping with ``kind`` and the options of that kind. Simulated data are drawn anew for every seed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from anndata import AnnData
from sklearn import datasets

from benchmarks.count_files import read
from benchmarks.splatter import splatter_cells
from pyro_vmm.data import load_input
from pyro_vmm.single_cell import simulate_cells

Source = Mapping[str, Any]
CELLS_AT_ONCE = 10_000


def observations(source: Source, seed: int, data_root: Path | None = None) -> Any:
    """What a fit sees: an array ``[N, F]``, or an AnnData of counts with batches and nothing else."""
    data = _load(source, seed, data_root)[0]
    if isinstance(data, AnnData):
        return AnnData(
            data.X, obs=data.obs[[name for name in ("batch",) if name in data.obs]].copy(), var=data.var[[]].copy()
        )
    return data


def labels(source: Source, seed: int, data_root: Path | None = None) -> np.ndarray:
    """Known classes, ``[N]``, in the order of the observations."""
    return np.asarray(_load(source, seed, data_root)[1])


def _load(source: Source, seed: int, data_root: Path | None) -> tuple[Any, Any]:
    options = {name: value for name, value in source.items() if name != "kind"}
    kind = source["kind"]
    if kind in ("digits", "mnist", "fashion-mnist"):
        return _images(kind, data_root, **options)
    if kind == "count-file":
        assert data_root is not None  # the table has looked
        return read(data_root / f"{options['name']}.h5ad")
    return KINDS[kind](seed, **options)


def _images(kind: str, data_root: Path | None, num_observations: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    dataset = load_input(kind, data_root=data_root)
    assert dataset.labels is not None
    return dataset.x[:num_observations], dataset.labels[:num_observations]


def _bundled(load: Callable[..., Any]) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    def of_seed(seed: int) -> tuple[np.ndarray, np.ndarray]:
        return load(return_X_y=True)

    return of_seed


def _mixed_columns(seed: int, num_observations: int, num_classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Columns as in forest-cover data: ten correlated measurements in units of their own and ten indicators.

    Classes are unequal (each a third rarer than the one before), elongated, overlapping and heavy-tailed.
    """
    rng = np.random.default_rng(seed)
    share = 1.5 ** -np.arange(num_classes)
    y = rng.choice(num_classes, num_observations, p=share / share.sum())
    centres = rng.normal(0.0, 2.0, (num_classes, 10))
    shapes = rng.normal(0.0, 1.0, (num_classes, 10, 10)) / np.sqrt(10)
    noise = rng.standard_t(5, (num_observations, 10))
    measured = (centres[y] + np.einsum("nij,nj->ni", shapes[y], noise)) * np.exp(rng.normal(0.0, 2.0, 10))
    present = rng.random((num_observations, 10)) < rng.beta(0.3, 0.7, (num_classes, 10))[y]
    return np.hstack([measured, present]), y


def _cells(seed: int, **options: Any) -> tuple[AnnData, pd.Series]:
    cells = simulate_cells(**options, seed=seed)
    return cells, cells.obs["group"]


def _splatter(seed: int, **options: Any) -> tuple[AnnData, np.ndarray]:
    return splatter_cells(**options, seed=seed)


def _many_cells(
    seed: int, num_cells: int, num_genes: int, num_groups: int, depth: float = 200.0
) -> tuple[AnnData, np.ndarray]:
    """Counts of groups of unequal sizes as sparse rows, made block by block: a million cells need no dense array."""
    rng = np.random.default_rng(seed)
    group = rng.choice(num_groups, num_cells, p=rng.dirichlet(np.full(num_groups, 5.0)))
    shares = rng.gamma(0.6, size=num_genes) * np.exp(rng.normal(0.0, 0.7, (num_groups, num_genes)))
    shares /= shares.sum(1, keepdims=True)
    blocks = []
    for rows in np.split(group, range(CELLS_AT_ONCE, num_cells, CELLS_AT_ONCE)):
        mean = rng.lognormal(np.log(depth), 0.3, (len(rows), 1)) * shares[rows]
        counts = rng.poisson(rng.gamma(2.0, mean / 2.0)).astype(np.float32)
        # No cell may be empty: it would have no library size.
        counts[counts.sum(1) == 0, 0] = 1
        blocks.append(scipy.sparse.csr_matrix(counts))
    return AnnData(scipy.sparse.vstack(blocks, format="csr")), group


def _drawn_classes(
    seed: int, num_observations: int, dim: int, num_classes: int, apart: float, evenness: float, bent: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points of a latent space ``[N, D]`` of classes of unlike shapes, and their classes ``[N]``.

    Half of the classes have another no more than ``apart`` from their centre. ``evenness`` is the concentration of the Dirichlet
    distribution of their sizes. ``bent`` curves them: quadratic in a Gaussian.
    """
    rng = np.random.default_rng(seed)
    y = rng.choice(num_classes, size=num_observations, p=rng.dirichlet(np.full(num_classes, evenness)))
    centres = rng.normal(size=(num_classes, dim))
    distances = np.linalg.norm(centres[:, None] - centres, axis=-1) + np.diag(np.full(num_classes, np.inf))
    centres *= apart / np.median(distances.min(1))
    x = np.empty((num_observations, dim))
    for each in range(num_classes):
        noise = rng.normal(size=((y == each).sum(), dim))
        shape = 0.5 * rng.normal(size=(dim, dim)) / np.sqrt(dim) + 0.9 * np.eye(dim)
        turn = rng.normal(size=(dim, dim)) / np.sqrt(dim)
        curve = 0.7 * bent * (np.square(noise @ turn) - 1.0) * rng.choice([-1.0, 1.0], size=dim)
        x[y == each] = centres[each] + (noise + curve) @ shape.T
    return x, y


def _none(seed: int) -> tuple[None, None]:
    """For measurements that make what they need."""
    return None, None


KINDS: Mapping[str, Callable[..., tuple[Any, Any]]] = {
    "none": _none,
    "wine": _bundled(datasets.load_wine),
    "breast-cancer": _bundled(datasets.load_breast_cancer),
    "digits-table": _bundled(datasets.load_digits),
    "mixed-columns": _mixed_columns,
    "drawn-classes": _drawn_classes,
    "cells": _cells,
    "many-cells": _many_cells,
    "splatter": _splatter,
}
