"""What each cluster is: the decoded centre of its heaviest component, typical observations and generated samples."""

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import CAPTION_SIZE, TICK_SIZE, TITLE_SIZE, percent, plural
from pyro_vmm.plotting.mosaic import as_images, mosaic
from pyro_vmm.plotting.palette import INK, MUTED

CELL_INCHES = 0.48


def component_gallery(
    centres: ArrayLike,
    typical: ArrayLike | None,
    samples: ArrayLike | None,
    weights: ArrayLike,
    component_ids: ArrayLike,
    *,
    pseudo_inputs: ArrayLike | None = None,
    image_shape: tuple[int, ...] | None = None,
    colours: Mapping[int, str] | None = None,
    max_components: int = 25,
    figure: Figure | None = None,
) -> Figure:
    """Draw one row a cluster, heaviest first: pseudo-input, decoded centre, most typical observations, samples.

    Pseudo-input and decoded centre are those of its heaviest component, as ``VMM.pseudo_inputs`` and
    ``VMM.decoded_centres`` give them; observations and samples are of the whole cluster.

    Parameters
    ----------
    centres : array [C, H, W] or [C, F]
        Decoded centres; flat ones need ``image_shape``. Colour images have 3 channels before or after ``H, W``.
    typical : array [C, T, H, W] or [C, T, F], optional
        Observations most typical of each cluster. Images that are all NaN stay blank: a small cluster may have fewer
        than T members.
    samples : array [C, S, H, W] or [C, S, F], optional
        Observations generated from each cluster.
    weights : array [C]
        Mixture weight of each cluster.
    component_ids : array [C] of int
        Number of each cluster.
    pseudo_inputs : array [C, H, W] or [C, F], optional
        Pseudo-inputs that the centres are encoded from.
    image_shape : tuple of int, optional
        Shape of one image.
    colours : mapping, optional
        Colour of each cluster, as in the picture of the latent space.
    max_components : int
        At most this many rows; the caption says how many clusters are left out and what they weigh.
    figure : Figure, optional
        Where to draw; a new figure where absent.

    Raises
    ------
    UserError
        Where the arrays disagree in their number of clusters, or are no images.
    """
    pi = np.asarray(weights, dtype=np.float64)
    ids = np.asarray(component_ids)
    single = (("input", pseudo_inputs), ("centre", centres))
    groups = [(name, as_images(values, image_shape, 1)[:, None]) for name, values in single if values is not None]
    groups += [
        (name, as_images(values, image_shape, 2))
        for name, values in (("most typical observations", typical), ("generated samples", samples))
        if values is not None and np.asarray(values).shape[1] > 0
    ]
    if any(len(images) != len(pi) for _, images in groups) or ids.shape != pi.shape:
        raise UserError("all images, weights and component_ids must have one entry a cluster each")
    order = np.argsort(-pi, kind="stable")[:max_components]
    if figure is None:
        cells = sum(images.shape[1] for _, images in groups)
        aspect = groups[0][1].shape[2] / groups[0][1].shape[3]
        size = (
            max(4.5, 1.6 + 1.06 * cells * CELL_INCHES),
            0.75 + 0.25 * (len(pi) > len(order)) + 1.06 * max(len(order), 1) * CELL_INCHES * aspect,
        )
        figure = Figure(figsize=size, layout="compressed")
    figure.suptitle(_headline(pi), x=0.01, ha="left", fontsize=TITLE_SIZE, color=INK)
    if not len(order):
        return figure
    # Widths in pixels, gaps included: the rows of neighbouring groups then are equally high and stand level.
    widths = [images.shape[1] * images.shape[3] + (images.shape[1] - 1) * _gap(images.shape[2]) for _, images in groups]
    axes = figure.subplots(1, len(groups), squeeze=False, width_ratios=widths)[0]
    low, high = _grey_range([images[order] for _, images in groups])
    for ax, (name, images) in zip(axes, groups, strict=True):
        _draw_group(ax, name, images[order], low, high)
    _name_rows(axes[0], groups[0][1].shape[2], pi[order], ids[order], colours or {})
    hidden = np.delete(pi, order)
    if hidden.size:
        note = f"Not shown: {plural(hidden.size, 'lighter cluster')}, together {percent(hidden.sum())} of the weight"
        figure.supxlabel(note, x=0.01, ha="left", fontsize=CAPTION_SIZE, color=MUTED)
    return figure


def _headline(weights: NDArray[np.float64]) -> str:
    if not len(weights):
        return "No clusters"
    if len(weights) == 1:
        return f"1 cluster, {percent(weights[0])} of the weight"
    return f"{len(weights)} clusters, from {percent(weights.max())} to {percent(weights.min())} of the weight"


def _gap(side: int) -> int:
    return max(1, round(side / 14))


def _grey_range(images: list[NDArray[np.float64]]) -> tuple[float, float]:
    """Range shared by every image, so that a pale centre looks pale beside its observations."""
    finite = np.concatenate([group[np.isfinite(group)] for group in images])
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _draw_group(ax: Axes, name: str, images: NDArray[np.float64], low: float, high: float) -> None:
    if images.ndim == 5:
        images = (images - low) / ((high - low) or 1.0)
    greys = matplotlib.colormaps["gray"].with_extremes(bad="white")
    ax.imshow(mosaic(images, _gap(images.shape[2])), cmap=greys, vmin=low, vmax=high, interpolation="nearest")
    ax.set_title(name, fontsize=TICK_SIZE, color=MUTED, loc="left", pad=4)
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])


def _name_rows(
    ax: Axes, height: int, weights: NDArray[np.float64], ids: NDArray[np.int_], colours: Mapping[int, str]
) -> None:
    middles = np.arange(len(ids)) * (height + _gap(height)) + (height - 1) / 2
    names = [f"#{cluster}  {percent(share)}" for cluster, share in zip(ids, weights, strict=True)]
    ax.set_yticks(middles, names, fontsize=TICK_SIZE, color=INK)
    ax.tick_params(axis="y", length=0, pad=14 if colours else 5)
    for middle, cluster in zip(middles, ids, strict=True):
        if int(cluster) in colours:
            ax.plot(
                -0.14, middle, "s", color=colours[int(cluster)], transform=ax.get_yaxis_transform(), clip_on=False, ms=6
            )
