"""The set of pictures that a fit leaves behind, as PNG files."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pyro_vmm.plotting.canvas import any_letter
from pyro_vmm.plotting.entropy import responsibility_entropy
from pyro_vmm.plotting.gallery import component_gallery
from pyro_vmm.plotting.label_table import cluster_label_table
from pyro_vmm.plotting.latent import latent_space
from pyro_vmm.plotting.palette import cluster_colours
from pyro_vmm.plotting.profiles import component_profiles
from pyro_vmm.plotting.projection import Method
from pyro_vmm.plotting.training import training_curves
from pyro_vmm.plotting.weights import mixture_weights

DOTS_PER_INCH = 150


def save_figures(
    directory: Path,
    *,
    history: pd.DataFrame,
    latent: ArrayLike,
    clusters: ArrayLike,
    responsibilities: ArrayLike,
    weights: ArrayLike,
    image_shape: tuple[int, ...] | None,
    centres: ArrayLike | None,
    typical: ArrayLike | None,
    samples: ArrayLike | None,
    component_ids: ArrayLike,
    pseudo_inputs: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    feature_names: Sequence[str] | None = None,
    method: Method = "auto",
) -> list[Path]:
    """Write every picture of a fit.

    Parameters
    ----------
    directory : Path
        Made if absent; files of the same names are replaced.
    history : pandas.DataFrame
        As for :func:`~pyro_vmm.plotting.training.training_curves`.
    latent : array [N, D]
        Latent coordinates.
    clusters : array [N] of int
        Cluster of each observation, a number in 0..K-1.
    responsibilities : array [N, K]
        Rows sum to one.
    weights : array [K]
        Mixture weights of all components.
    image_shape : tuple of int, optional
        Shape of one observation if it is an image; without it the components are drawn feature by feature.
    centres : array [C, F] or [C, H, W], optional
        Decoded centres of the components to show; without them there is no ``components.png``.
    typical, samples : array [C, T, F] or [C, T, H, W], optional
        Most typical and generated observations of the components to show; drawn for images only.
    component_ids : array [C] of int
        Which components those are, numbers in 0..K-1.
    pseudo_inputs : array [C, F] or [C, H, W], optional
        Pseudo-inputs of the components to show; drawn for images only.
    labels : array [N], optional
        Labels, for a final picture of clusters against labels.
    feature_names : sequence of F str, optional
        Names of the features of observations that are no images.
    method : {"auto", "pca", "umap", "mde"}
        Projection of the latent space.

    Returns
    -------
    list of Path
        ``training.png``, ``latent.png``, ``weights.png``, ``entropy.png`` and, with centres, ``components.png`` and, with
        labels, ``labels.png``.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    pi = np.asarray(weights, dtype=np.float64)
    assignment = np.asarray(clusters)
    shown = np.asarray(component_ids)
    in_use = np.bincount(assignment.astype(np.intp), minlength=len(pi)) > 0
    # One colour a component in every picture, the most telling ones for the heaviest.
    by_weight = np.argsort(-pi, kind="stable")
    colours = cluster_colours(by_weight[in_use[by_weight]])
    pictures = {
        "training.png": figure_of(training_curves(history)[0]),
        "latent.png": figure_of(
            latent_space(latent, assignment, method=method, num_components=len(pi), colours=colours)
        ),
    }
    if centres is not None and image_shape is None:
        profiles = component_profiles(centres, pi[shown], shown, feature_names=feature_names)
        pictures["components.png"] = figure_of(profiles)
    elif centres is not None and image_shape is not None:
        pictures["components.png"] = component_gallery(
            centres,
            typical,
            samples,
            pi[shown],
            shown,
            pseudo_inputs=pseudo_inputs,
            image_shape=image_shape,
            colours=colours,
        )
    pictures["weights.png"] = figure_of(mixture_weights(pi, in_use))
    pictures["entropy.png"] = figure_of(responsibility_entropy(responsibilities))
    if labels is not None:
        pictures["labels.png"] = figure_of(cluster_label_table(assignment, labels))
    return [save_figure(figure, directory / name) for name, figure in pictures.items()]


def save_figure(figure: Figure, path: Path) -> Path:
    """Write one figure as PNG with the Agg canvas, whatever backend the user has chosen; returns the path."""
    path.write_bytes(png_of(figure))
    return path


def png_of(figure: Figure) -> bytes:
    """One figure as the bytes of a PNG file, drawn with the Agg canvas."""
    FigureCanvasAgg(figure)  # becomes the figure's own canvas
    page = BytesIO()
    with any_letter():
        figure.savefig(page, dpi=DOTS_PER_INCH, format="png")
    return page.getvalue()


def figure_of(ax: Axes) -> Figure:
    """The figure that the axes stand in."""
    figure = ax.get_figure(root=True)
    assert figure is not None  # every picture above made its own
    return figure
