"""Observations as points of a plane: checked, projected, and drawn so that many stay legible."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.projection import Method, Plane, project_to_plane

MAX_POINTS = 250_000


@dataclass(frozen=True)
class DrawnPoints:
    """The observations that become points, in the order in which they are drawn.

    Attributes
    ----------
    plane : Plane
        Coordinates of all observations.
    order : array [P] of int
        Which of them are drawn, shuffled.
    """

    plane: Plane
    order: NDArray[np.intp]

    @property
    def told(self) -> str:
        """How many observations there are and are drawn, and what the axes are, for a caption."""
        number = len(self.plane.points)
        shown = f", {len(self.order):,} of them drawn" if len(self.order) < number else ""
        return f"{number:,} observation{'' if number == 1 else 's'}{shown}; {self.plane.method}"


def checked_latent(latent: ArrayLike) -> NDArray[np.float64]:
    """Latent coordinates [N, D], D >= 1, all finite.

    Raises
    ------
    UserError
        Where they are not.
    """
    z = np.asarray(latent, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] == 0:
        raise UserError(f"latent has shape {list(z.shape)}: pass one row of coordinates an observation, [N, D]")
    if not np.isfinite(z).all():
        raise UserError("latent holds values that are not finite: leave those observations out")
    return z


def choose_points(
    latent: ArrayLike | Plane, *, method: Method = "auto", max_points: int = MAX_POINTS, seed: int = 0
) -> DrawnPoints:
    """Flatten the latent space and choose at random which observations to draw.

    Parameters
    ----------
    latent : array [N, D] or Plane
        Latent coordinates, or what :func:`~pyro_vmm.plotting.projection.project_to_plane` made of them before. Of one
        dimension, the second coordinate is random: it only keeps points apart.
    method, max_points, seed
        As for :func:`~pyro_vmm.plotting.latent.latent_space`.
    """
    generator = np.random.default_rng(seed)
    if isinstance(latent, Plane):
        plane = latent
    elif (z := checked_latent(latent)).shape[1] == 1:
        points = np.stack([z[:, 0], generator.uniform(size=len(z))], axis=1)
        plane = Plane(points, ("latent dimension 1", ""), "the height is random, to keep points apart")
    else:
        plane = project_to_plane(z, method, seed)
    return DrawnPoints(plane, generator.permutation(len(plane.points))[:max_points])


def scatter_points(ax: Axes, points: NDArray[np.float64], **colours: object) -> PathCollection:
    """Draw points [P, 2] rasterised; they shrink and fade as their number grows.

    ``colours`` are matplotlib's: ``c``, ``cmap``, ``vmin``, ``vmax``.
    """
    number = max(len(points), 1)
    return ax.scatter(
        points[:, 0],
        points[:, 1],
        s=float(np.clip(20_000 / number, 0.35, 18)),
        alpha=float(np.clip(14 / number**0.33, 0.35, 0.85)),
        linewidths=0,
        rasterized=True,
        **colours,  # type: ignore[arg-type]
    )
