"""Two coordinates for every observation's latent, and the words that say what they are."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.errors import UserError

Method = Literal["auto", "pca", "umap"]


@dataclass(frozen=True)
class Plane:
    """A flat view of a latent space.

    Attributes
    ----------
    points : array [N, 2]
        Coordinates of the observations.
    axis_names : tuple of str
        What the two coordinates are.
    method : str
        What made them, in words for a caption.
    """

    points: NDArray[np.float64]
    axis_names: tuple[str, str]
    method: str


def project_to_plane(latent: NDArray[np.float64], method: Method = "auto", seed: int = 0) -> Plane:
    """Flatten a latent space of two or more dimensions.

    Parameters
    ----------
    latent : array [N, D]
        Finite latent coordinates, D >= 2. Two dimensions are returned as they are.
    method : {"auto", "pca", "umap"}
        ``"auto"`` takes UMAP where the package ``umap`` is installed, principal components otherwise. Distances in a
        UMAP are not distances in the latent space: judge separation by the responsibilities. Fifteen observations or
        fewer, too few for UMAP's neighbour graph, are drawn by their principal components in any case.
    seed : int
        Seed of UMAP.

    Raises
    ------
    UserError
        For an unknown method, or for ``"umap"`` without the package.
    """
    if method not in ("auto", "pca", "umap"):
        raise UserError(f"method {method!r} is unknown: choose 'auto', 'pca' or 'umap'")
    if latent.shape[1] == 2:
        return Plane(latent, ("latent dimension 1", "latent dimension 2"), "the latent space itself")
    few = len(latent) <= 15
    installed = importlib.util.find_spec("umap") is not None
    if method == "umap" and not installed:
        raise UserError("method 'umap' needs the package umap-learn: install it or choose 'pca'")
    return _principal_components(latent) if method == "pca" or few or not installed else _umap(latent, seed)


def _principal_components(latent: NDArray[np.float64]) -> Plane:
    if not len(latent):
        return Plane(np.empty((0, 2)), ("PC 1", "PC 2"), "principal components")
    centred = latent - latent.mean(axis=0)
    # The [D, D] covariance instead of a decomposition of [N, D]: a million observations cost no more than one pass.
    variances, directions = np.linalg.eigh(centred.T @ centred / len(latent))
    directions = directions[:, [-1, -2]]
    # Eigenvectors have no sign of their own: fix it, or the picture flips from one machine to the next.
    directions = directions * np.where(directions[np.abs(directions).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    total = variances.sum()
    shares = variances[[-1, -2]] / total if total > 0 else np.zeros(2)
    return Plane(
        centred @ directions,
        (f"PC 1 ({100 * shares[0]:.0f} %)", f"PC 2 ({100 * shares[1]:.0f} %)"),
        "principal components of the latent space (share of variance)",
    )


def _umap(latent: NDArray[np.float64], seed: int) -> Plane:
    umap = importlib.import_module("umap")
    # One job, because a seeded UMAP warns that it ignores any other number.
    points = umap.UMAP(n_components=2, random_state=seed, n_jobs=1).fit_transform(latent)
    return Plane(np.asarray(points, dtype=np.float64), ("UMAP 1", "UMAP 2"), "UMAP of the latent space")
