"""The latent space as a picture, coloured and numbered by cluster."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import blank_axes, headline, named, plural, settle, tidy
from pyro_vmm.plotting.label_placement import spread_labels
from pyro_vmm.plotting.palette import FAINT, INK, MUTED, cluster_colours
from pyro_vmm.plotting.points import MAX_POINTS, DrawnPoints, checked_latent, choose_points, scatter_points
from pyro_vmm.plotting.projection import Method, Plane


def latent_space(
    latent: ArrayLike | Plane,
    clusters: ArrayLike,
    *,
    method: Method = "auto",
    num_components: int | None = None,
    colours: Mapping[int, str] | None = None,
    max_points: int = MAX_POINTS,
    seed: int = 0,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the latent space in two dimensions, coloured by cluster, with each cluster's number at its median.

    Points are drawn in one shuffled order, so that no cluster lies on top for coming last; they shrink and fade as
    their number grows. A one-dimensional latent space is drawn as one row a cluster.

    Parameters
    ----------
    latent : array [N, D] or Plane
        Latent coordinates, or the plane that :func:`~pyro_vmm.plotting.projection.project_to_plane` made of them, so
        that several pictures share one projection.
    clusters : array [N] of int
        Cluster of each observation.
    method : {"auto", "pca", "umap", "mde"}
        Projection where D > 2; see :func:`pyro_vmm.plotting.projection.project_to_plane`.
    num_components : int, optional
        Truncation K of the mixture, told in the title.
    colours : mapping, optional
        Colour of each cluster id; by default the largest clusters get the colours that are easiest to tell apart.
    max_points : int
        At most this many observations, drawn at random, become points; projection and medians use all.
    seed : int
        Seed of the drawing order (and of UMAP and MDE).
    title : str
        Name of the picture, which stands before the finding.
    ax : Axes, optional
        Where to draw; a new figure where absent.

    Raises
    ------
    UserError
        Where shapes disagree or a latent coordinate is not finite.
    """
    z = None if isinstance(latent, Plane) else checked_latent(latent)
    assignment = np.asarray(clusters)
    number = len(latent.points) if isinstance(latent, Plane) else len(np.asarray(latent))
    if assignment.shape != (number,):
        raise UserError(f"clusters has shape {list(assignment.shape)}: pass one for each of the {number} observations")
    ids, index, sizes = np.unique(assignment, return_inverse=True, return_counts=True)
    if colours is None:
        colours = cluster_colours(ids[np.argsort(-sizes, kind="stable")])
    if ax is None:
        ax = blank_axes(7.5, 6.6)
    rows = z is not None and z.shape[1] == 1
    if z is not None and rows:
        generator = np.random.default_rng(seed)
        plane, medians = _rows_of_clusters(z[:, 0], index, len(ids), generator)
        drawn = DrawnPoints(plane, generator.permutation(number)[:max_points])
    else:
        drawn = choose_points(latent if z is None else z, method=method, max_points=max_points, seed=seed)
        plane, medians = drawn.plane, _medians(drawn.plane.points, index, len(ids))
    palette = np.array([colours.get(int(cluster), FAINT) for cluster in ids])
    scatter_points(ax, plane.points[drawn.order], c=palette[index[drawn.order]] if number else None)
    tidy(ax, *plane.axis_names)
    if rows:
        ax.set_yticks([])
    elif number:
        ax.set_aspect("equal", adjustable="datalim")
    in_use = (
        plural(len(ids), "cluster")
        + " in use"
        + (f" of {plural(num_components, 'component')}" if num_components else "")
    )
    headline(ax, named(title, in_use if number else "No observations"), drawn.told)
    _write_numbers(ax, medians, ids)
    return ax


def _medians(points: NDArray[np.float64], index: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Median [C, 2] of the points [N, 2] of each of ``count`` clusters."""
    by_cluster = np.split(points[np.argsort(index, kind="stable")], np.cumsum(np.bincount(index, minlength=count))[:-1])
    return np.array([np.median(members, axis=0) for members in by_cluster]) if count else np.empty((0, 2))


def _rows_of_clusters(
    z: NDArray[np.float64], index: NDArray[np.intp], count: int, generator: np.random.Generator
) -> tuple[Plane, NDArray[np.float64]]:
    """One row a cluster, in order of its median; the height within a row only keeps points apart."""
    centres = np.array([np.median(z[index == cluster]) for cluster in range(count)])
    row = np.empty(count, dtype=np.intp)
    row[np.argsort(centres, kind="stable")] = np.arange(count)
    points = np.stack([z, row[index] + generator.uniform(-0.35, 0.35, len(z))], axis=1)
    names = ("latent dimension 1", "cluster, in order of its median")
    return Plane(points, names, "one row a cluster"), np.stack([centres, row.astype(np.float64)], axis=1)


def _write_numbers(ax: Axes, medians: NDArray[np.float64], ids: NDArray[np.int_]) -> None:
    """Write each cluster's id at its median, moved aside with a thin line where ids would overlap."""
    if not len(ids):
        return
    settle(ax)
    ax.autoscale_view()
    ax.apply_aspect()
    size = 10.0 if len(ids) <= 30 else 8.0
    pixel = ax.figure.dpi / 72
    names = [str(cluster) for cluster in ids]
    boxes = np.array([[0.64 * size * len(name) + 3, size + 2] for name in names]) * pixel
    anchors = ax.transData.transform(medians)
    middles = spread_labels(anchors, boxes)
    for name, median, anchor, middle in zip(
        names, medians, anchors, ax.transData.inverted().transform(middles), strict=True
    ):
        if np.abs(ax.transData.transform(middle) - anchor).max() > 0.8 * size * pixel:
            ax.plot(*zip(median, middle, strict=True), color=MUTED, linewidth=0.6, zorder=3)
        ax.text(
            float(middle[0]),
            float(middle[1]),
            name,
            ha="center",
            va="center",
            fontsize=size,
            fontweight="bold",
            color=INK,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            zorder=4,
        )
