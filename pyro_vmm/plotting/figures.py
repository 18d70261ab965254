"""The set of pictures that a fit leaves behind, as PNG files."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.option_checks import as_folder
from pyro_vmm.plotting.canvas import any_letter
from pyro_vmm.plotting.entropy import responsibility_entropy
from pyro_vmm.plotting.gallery import component_gallery
from pyro_vmm.plotting.label_table import cluster_label_table
from pyro_vmm.plotting.latent import latent_space
from pyro_vmm.plotting.palette import cluster_colours
from pyro_vmm.plotting.profiles import component_profiles
from pyro_vmm.plotting.projection import Method
from pyro_vmm.plotting.shown_fit import ShownClusters, ShownFit
from pyro_vmm.plotting.training import training_curves
from pyro_vmm.plotting.weights import mixture_weights

DOTS_PER_INCH = 150


def save_figures(
    directory: str | Path,
    fit: Any,
    data: Any = None,
    *,
    labels: ArrayLike | None = None,
    feature_names: Sequence[str] | None = None,
    method: Method = "pca",
) -> list[Path]:
    """Write every picture of a fit.

    Parameters
    ----------
    directory : path
        Made if absent; files of the same names are replaced.
    fit : VMM, SingleCellVMM, Fit or ObservedFit
        After its training.
    data : array [N, F] or AnnData
        Observations to show, of a VMM or a Fit. Of a SingleCellVMM cells to show, or None for those fitted. None of an
        ObservedFit.
    labels : array [N], optional
        Labels, for a final picture of clusters against labels.
    feature_names : sequence of F str, optional
        Names of the features of observations that are no images; None for those that the fit knows.
    method : {"pca", "auto", "umap", "mde"}
        Projection of the latent space; see :func:`~pyro_vmm.plotting.projection.project_to_plane`.

    Returns
    -------
    list of Path
        ``training.png``, ``latent.png``, ``components.png`` (not of single cells), ``weights.png``, ``entropy.png`` and, with
        labels, ``labels.png``. Where a cluster is shown by one component, it is the heaviest of its components.

    Raises
    ------
    UserError
        For a fit of another kind, for observations that are missing or cannot be read, and for a folder that cannot be
        written.
    """
    shown = ShownFit.of(fit, data, feature_names)
    directory = as_folder(directory)
    pi, assignment = shown.weights, shown.responsibilities.argmax(1)
    in_use = np.bincount(assignment, minlength=len(pi)) > 0
    # One colour a cluster in every picture, the most telling ones for the heaviest.
    by_weight = np.argsort(-pi, kind="stable")
    colours = cluster_colours(by_weight[in_use[by_weight]])
    latent = latent_space(shown.latent, assignment, method=method, num_components=len(pi), colours=colours)
    pictures = {
        "training.png": figure_of(training_curves(shown.history)[0]),
        "latent.png": figure_of(latent),
    }
    if shown.clusters is not None:
        pictures["components.png"] = _components(shown.clusters, pi, colours)
    pictures["weights.png"] = figure_of(mixture_weights(pi, in_use))
    pictures["entropy.png"] = figure_of(responsibility_entropy(shown.responsibilities))
    if labels is not None:
        pictures["labels.png"] = figure_of(cluster_label_table(assignment, labels))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return [save_figure(figure, directory / name) for name, figure in pictures.items()]
    except OSError as error:
        raise UserError(f"{directory} cannot be written ({error.strerror}): choose another folder.") from error


def _components(clusters: ShownClusters, weights: NDArray[np.float64], colours: Mapping[int, str]) -> Figure:
    shown = weights[clusters.ids]
    if clusters.image_shape is None:
        profiles = component_profiles(clusters.centres, shown, clusters.ids, feature_names=clusters.feature_names)
        return figure_of(profiles)
    return component_gallery(
        clusters.centres,
        clusters.typical,
        clusters.samples,
        shown,
        clusters.ids,
        pseudo_inputs=clusters.pseudo_inputs,
        image_shape=clusters.image_shape,
        colours=colours,
    )


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
