"""Two coordinates for every observation's latent, and the words that say what they are."""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.errors import UserError

Method = Literal["auto", "pca", "umap", "mde"]

MOST_FOR_NEIGHBOURS = 100_000
"""Above so many observations ``"auto"`` takes principal components: neighbour graphs would take many minutes."""


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
    method : {"auto", "pca", "umap", "mde"}
        ``"auto"`` takes UMAP where the package umap-learn is installed, or else a minimum-distortion embedding (MDE)
        where pymde is, or else principal components, and these also for more than 100,000 observations. Distances in
        UMAP and MDE are not distances in the latent space: judge separation by the responsibilities. Fifteen
        observations or fewer, too few for a neighbour graph, are drawn by their principal components in any case.
    seed : int
        Seed of UMAP and MDE.

    Raises
    ------
    UserError
        For an unknown method, or for ``"umap"`` or ``"mde"`` without the package.

    References
    ----------
    L. McInnes et al. (2018), "UMAP: uniform manifold approximation and projection", arXiv 1802.03426.
    A. Agrawal et al. (2021), "Minimum-distortion embedding", arXiv 2103.02559.
    """
    if method not in get_args(Method):
        raise UserError(f"method {method!r} is unknown: choose 'auto', 'pca', 'umap' or 'mde'")
    if latent.shape[1] == 2:
        return Plane(latent, ("latent dimension 1", "latent dimension 2"), "the latent space itself")
    if len(latent) <= 15:
        return _principal_components(latent)
    if method == "auto":
        method = _best_installed() if len(latent) <= MOST_FOR_NEIGHBOURS else "pca"
    if method == "pca":
        return _principal_components(latent)
    module, package, embed = _OF_NEIGHBOURS[method]
    if importlib.util.find_spec(module) is None:
        raise UserError(f"method {method!r} needs the package {package}: install it or choose 'pca'")
    return embed(latent, seed)


def _best_installed() -> Method:
    for method in ("umap", "mde"):
        if importlib.util.find_spec(_OF_NEIGHBOURS[method][0]) is not None:
            return "umap" if method == "umap" else "mde"
    return "pca"


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


def _mde(latent: NDArray[np.float64], seed: int) -> Plane:
    from pyro_vmm.random_numbers import OwnRandomNumbers

    torch, pymde = importlib.import_module("torch"), importlib.import_module("pymde")
    # pymde draws from the global generators only: seed them for the while, and leave them as they were. Its own seed() seeds
    # those of every CUDA device, too.
    with OwnRandomNumbers(seed):
        state = np.random.get_state()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        try:
            problem = pymde.preserve_neighbors(torch.as_tensor(latent).float(), embedding_dim=2, verbose=False)
            points = problem.embed().cpu().numpy()
        finally:
            np.random.set_state(state)  # noqa: NPY002
    return Plane(points.astype(np.float64), ("MDE 1", "MDE 2"), "minimum-distortion embedding of the latent space")


_OF_NEIGHBOURS: dict[str, tuple[str, str, Callable[[NDArray[np.float64], int], Plane]]] = {
    "umap": ("umap", "umap-learn", _umap),
    "mde": ("pymde", "pymde", _mde),
}
"""Module, package and function of each method that needs a package of its own."""
