"""Colours that stay apart for colour-blind readers, for one cluster or a hundred."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

INK = "#222222"
MUTED = "#6b6b6b"
FAINT = "#c9c9c9"
PRIMARY = "#0072b2"
SECONDARY = "#d55e00"

# Okabe & Ito (2008) without black and yellow: black is for text, yellow vanishes on white.
_SEEDS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LENGTH = 128

# Linear-RGB matrices of total protan and deutan deficiency: Machado, Oliveira & Fernandes (2009), severity 1.0.
_VISIONS = np.array(
    [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ]
)
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _TO_XYZ.sum(axis=1)


def perceived(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIELAB coordinates of colours as seen with normal, protan and deutan vision.

    Parameters
    ----------
    rgb : array [C, 3]
        sRGB values in [0, 1].

    Returns
    -------
    array [3, C, 3]
        L*, a*, b* (last axis) of each colour for each kind of vision (first axis).
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.einsum("vij,cj->vci", _VISIONS, linear), 0.0, 1.0)
    xyz = seen @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def _parse(colour: str) -> list[float]:
    return [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]


@lru_cache(maxsize=1)
def _palette() -> tuple[str, ...]:
    """Greedy farthest-point order of a grid of mid-light colours, begun with Okabe and Ito's."""
    levels = np.linspace(0.0, 1.0, 16)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lightness, chroma = perceived(grid)[0, :, 0], np.hypot(*perceived(grid)[0, :, 1:].T)
    # Neither lost on white paper, nor glaring, nor mistaken for the grey of what is unused.
    grid = grid[(lightness > 30) & (lightness < 80) & (chroma > 25) & (chroma < 90)]
    seeds = np.array([_parse(colour) for colour in _SEEDS])
    candidates = perceived(grid)

    def distance(chosen: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.linalg.norm(candidates - perceived(chosen[None]), axis=-1).min(axis=0)

    nearest = np.min([distance(seed) for seed in seeds], axis=0)
    chosen = list(seeds)
    while len(chosen) < _LENGTH:
        best = grid[int(np.argmax(nearest))]
        chosen.append(best)
        nearest = np.minimum(nearest, distance(best))
    return tuple("#" + "".join(f"{round(255 * float(channel)):02x}" for channel in colour) for colour in chosen)


def cluster_colours(clusters: Iterable[int]) -> dict[int, str]:
    """One colour a cluster: the first clusters get those that are easiest to tell apart.

    The first 128 are distinct, and the distance counted is the smallest over normal, protan and deutan vision. Nobody
    can tell a hundred colours apart by name: draw the cluster's number as well.

    Parameters
    ----------
    clusters : iterable of int
        Distinct cluster ids, the most important (largest) first.

    Returns
    -------
    dict
        Hexadecimal colour of each cluster id.
    """
    palette = _palette()
    return {int(cluster): palette[index % len(palette)] for index, cluster in enumerate(clusters)}
