"""What each cluster is where observations are no images: the centre of its heaviest component, feature by feature."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import CAPTION_SIZE, TICK_SIZE, blank_axes, headline, one_line, percent, plural, tidy
from pyro_vmm.plotting.palette import INK


def component_profiles(
    centres: ArrayLike,
    weights: ArrayLike,
    component_ids: ArrayLike,
    *,
    feature_names: Sequence[str] | None = None,
    max_components: int = 25,
    max_features: int = 40,
    what: str = "Decoded centres",
    ax: Axes | None = None,
) -> Axes:
    """Draw decoded centres as a heat map, cluster x feature, heaviest cluster first.

    Each feature is given in standard deviations from its mean over the clusters given, so that one abundant feature
    does not drown the others. Where there are more than ``max_features``, those that differ most between clusters are
    drawn; they are ordered by the cluster in which they are highest.

    Parameters
    ----------
    centres : array [C, F]
        Decoded centres, each of its cluster's heaviest component.
    weights : array [C]
        Mixture weight of each cluster.
    component_ids : array [C] of int
        Number of each cluster.
    feature_names : sequence of F str, optional
        Names of the features; their positions where absent.
    max_components, max_features : int
        At most this many rows and columns; the caption says what is left out.
    what : str
        What the rows are, for the title: decoded centres, pseudo-inputs, means of the clusters' cells.
    ax : Axes, optional
        Where to draw; a new figure where absent.

    Raises
    ------
    UserError
        Where the shapes disagree.
    """
    centre = np.asarray(centres, dtype=np.float64)
    pi = np.asarray(weights, dtype=np.float64)
    ids = np.asarray(component_ids)
    if centre.ndim != 2 or centre.shape[:1] != pi.shape or ids.shape != pi.shape:
        raise UserError("centres must be [C, F], with one weight and one id for each of its C clusters")
    names = (
        [str(i) for i in range(centre.shape[1])]
        if feature_names is None
        else [one_line(name, 30) for name in feature_names]
    )
    if len(names) != centre.shape[1]:
        raise UserError(f"feature_names has {len(names)} names: pass one for each of {centre.shape[1]} features")
    order = np.argsort(-pi, kind="stable")[:max_components]
    contrast = _contrast(centre)[order]
    features = _telling_features(centre, contrast, max_features)
    if ax is None:
        ax = blank_axes(max(5.5, 2.6 + 0.2 * len(features)), max(2.6, 1.6 + 0.24 * len(order)))
    tidy(ax, "feature")
    ax.spines[:].set_visible(False)
    if order.size and features.size:
        _draw(ax, contrast[:, features], [names[i] for i in features])
        rows = [f"#{cluster}  {percent(share)}" for cluster, share in zip(ids[order], pi[order], strict=True)]
        ax.set_yticks(range(len(rows)), rows, fontsize=TICK_SIZE, color=INK)
    hidden = np.delete(pi, order)
    notes = [] if len(features) == len(names) else [f"the {len(features)} of {len(names):,} features that differ most"]
    if hidden.size:
        notes.append(
            f"not shown: {plural(hidden.size, 'lighter cluster')}, together {percent(hidden.sum())} of the weight"
        )
    headline(ax, f"{what} of {plural(len(pi), 'cluster')}", "; ".join(notes))
    return ax


def _contrast(centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure each feature in standard deviations from its mean over clusters [C, F]; 0 where it does not vary."""
    if not len(centre):
        return centre
    deviation = centre - centre.mean(axis=0)
    scale = centre.std(axis=0)
    return np.divide(deviation, scale, out=np.zeros_like(deviation), where=scale > 1e-12 * np.abs(centre).max(axis=0))


def _telling_features(
    centre: NDArray[np.float64], contrast: NDArray[np.float64], max_features: int
) -> NDArray[np.intp]:
    """Features that differ most between clusters, ordered by the row in which they are highest."""
    if not centre.size:
        return np.empty(0, dtype=np.intp)
    chosen = np.sort(np.argsort(-centre.std(axis=0), kind="stable")[:max_features])
    return chosen[np.argsort(contrast[:, chosen].argmax(axis=0), kind="stable")]


def _draw(ax: Axes, contrast: NDArray[np.float64], names: list[str]) -> None:
    limit = max(1.0, float(np.quantile(np.abs(contrast), 0.98)))
    # Orange and purple are told apart in every kind of colour vision, unlike red and green.
    picture = ax.imshow(contrast, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=CAPTION_SIZE if len(names) <= 40 else 6)
    ax.tick_params(length=0)
    bar = ax.figure.colorbar(picture, ax=ax, shrink=0.8, pad=0.02)
    bar.set_label("SDs from the mean cluster", fontsize=CAPTION_SIZE)
    bar.ax.tick_params(labelsize=CAPTION_SIZE, length=0)
    bar.outline.set_visible(False)
