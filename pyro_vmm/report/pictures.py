"""The pictures of a report, each with the words that stand for it."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pyro_vmm import plotting
from pyro_vmm.errors import UserError
from pyro_vmm.plotting.figures import DOTS_PER_INCH, figure_of, png_of
from pyro_vmm.plotting.palette import cluster_colours
from pyro_vmm.report.fit_folder import FitFolder
from pyro_vmm.report.observations import Observations

CELLS_A_CLUSTER = 40
"""Cells whose denoised expression is averaged to show what a cluster is."""
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes
    ----------
    name
        A short name of small letters and hyphens.
    heading
        What it shows.
    alternative
        What a reader who cannot see it is told.
    png
        The file.
    note
        How to read it, where its own words do not say.
    """

    name: str
    heading: str
    alternative: str
    png: bytes
    note: str = ""

    @property
    def source(self) -> str:
        """The file as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in CSS pixels, 96 to the inch, so that type has the size that it was set in."""
        pixels = (int.from_bytes(self.png[start : start + 4], "big") for start in (16, 20))
        width, height = (round(number * 96 / DOTS_PER_INCH) for number in pixels)
        return width, height


def colours_of(fit: FitFolder, seen: Observations) -> dict[int, str]:
    """Colour of each cluster in use, the same as in the pictures that the fit wrote."""
    assert fit.clusters is not None
    clusters = np.unique(fit.clusters["cluster"].to_numpy(dtype=np.int64))
    if seen.model is not None:
        weights = np.asarray(seen.model.weights_)
        order = np.argsort(-weights, kind="stable")
        clusters = order[np.isin(order, clusters)]
    return cluster_colours(clusters)


def pictures_of_training(fit: FitFolder) -> Iterator[Picture]:
    """ELBO and components in use over steps, and against each other."""
    if not len(fit.history):
        return
    upper, lower = plotting.training_curves(fit.history)
    yield _picture("training", "How the fit went", upper, lower)
    try:
        ax = plotting.elbo_against_clusters(fit.history)
    except UserError:  # clusters were not recorded
        return
    yield _picture("elbo-clusters", "ELBO against the number of components", ax)


def pictures_of_clusters(fit: FitFolder, seen: Observations) -> Iterator[Picture]:
    """Every picture of a finished fit but those of its training."""
    assert fit.clusters is not None
    assert fit.latent is not None
    clusters = fit.clusters["cluster"].to_numpy(dtype=np.int64)
    colours = colours_of(fit, seen)
    num_components = None if seen.model is None else len(seen.model.weights_)
    one_dimension = fit.latent.shape[1] == 1
    # One projection for all, so that the pictures can be laid over each other.
    plane = fit.latent if one_dimension else plotting.project_to_plane(np.asarray(fit.latent, dtype=np.float64))
    ax = plotting.latent_space(plane, clusters, num_components=num_components, colours=colours)
    yield _picture("latent", "Latent space by cluster", ax)
    ax = plotting.latent_by_value(plane, fit.clusters["probability"].to_numpy(), limits=(0.0, 1.0))
    yield _picture("probability", "Latent space by the probability of the cluster", ax)
    if seen.batches is not None:
        yield _picture("batches", "Latent space by batch", plotting.latent_by_category(plane, seen.batches))
    if seen.labels is not None:
        ax = plotting.latent_by_category(plane, seen.labels, name="label")
        yield _picture(
            "labels", "Latent space by label", ax, note="Labels were read for this report, never for the fit."
        )
        yield _picture("label-table", "Clusters and labels", plotting.cluster_label_table(clusters, seen.labels))
    yield from _what_components_are(fit, seen, clusters)
    if seen.model is not None:
        used = np.isin(np.arange(len(seen.model.weights_)), clusters)
        yield _picture("weights", "Mixture weights", plotting.mixture_weights(seen.model.weights_, used))
        tree = seen.model.merge_tree_
        if tree.merges:
            yield _picture("merge-tree", "Which clusters would join next", plotting.merge_tree(tree))
    yield from _stored(fit, "entropy", "How certain clusters are", "Histogram of the entropy of the responsibilities.")
    surgery = (fit.scores or {}).get("elbo_surgery")
    if surgery:
        upper, lower = plotting.elbo_surgery_bars({"fit": surgery})
        yield _picture("surgery", "The ELBO on held-out observations, taken apart", upper, lower)


def _what_components_are(fit: FitFolder, seen: Observations, clusters: NDArray[np.int64]) -> Iterator[Picture]:
    if fit.of_cells:
        if seen.model is not None:
            yield _expression(seen, clusters)
        return
    image = fit.config["estimator"].get("image_shape") is not None
    told = (
        "pseudo-input and decoded centre of its heaviest component, most typical observations and samples"
        if image
        else "decoded centre of its heaviest component, by feature"
    )
    yield from _stored(fit, "components", "What the clusters are", f"A row a cluster: {told}.")
    inputs = None if image or seen.model is None else seen.model.pseudo_inputs()
    if inputs is not None:
        ids = np.unique(clusters)
        names = fit.config["fitted"].get("feature_names_in") or None
        ax = plotting.component_profiles(
            inputs[ids], seen.model.weights_[ids], ids, feature_names=names, what="Pseudo-inputs"
        )
        yield _picture("pseudo-inputs", "Pseudo-inputs", ax)


def _expression(seen: Observations, clusters: NDArray[np.int64]) -> Picture:
    """Denoised expression, averaged over a few cells of each cluster."""
    generator = np.random.default_rng(0)
    ids = np.unique(clusters)
    rows = [generator.permutation(np.flatnonzero(clusters == cluster))[:CELLS_A_CLUSTER] for cluster in ids]
    expression = seen.model.get_normalized_expression(indices=np.concatenate(rows), library_size=1e4).to_numpy()
    parts = np.split(np.log1p(expression), np.cumsum([len(part) for part in rows])[:-1])
    ax = plotting.component_profiles(
        np.stack([part.mean(axis=0) for part in parts]),
        seen.model.weights_[ids],
        ids,
        feature_names=list(seen.model.gene_names),
        what="Denoised expression",
    )
    note = f"Mean of log(1 + expression per 10,000 counts) over up to {CELLS_A_CLUSTER} cells of each cluster."
    return _picture("expression", "What the clusters are", ax, note=note)


def _stored(fit: FitFolder, name: str, heading: str, alternative: str) -> Iterator[Picture]:
    """A picture that the fit wrote because it needs more than the tables; nothing where it is gone or no PNG."""
    try:
        png = (fit.path / "figures" / f"{name}.png").read_bytes()
    except OSError:
        return
    if png.startswith(PNG) and len(png) > 24:
        yield Picture(name, heading, alternative, png)


def _picture(name: str, heading: str, *axes: Axes, note: str = "") -> Picture:
    figure: Figure = figure_of(axes[0])
    said = ". ".join(words for ax in axes for words in _words(ax) if words)
    return Picture(name, heading, f"{heading}. {said}.", png_of(figure), note)


def _words(ax: Axes) -> list[str]:
    """Title and caption of axes, as one line each."""
    captions = [text.get_text() for text in ax.texts if getattr(text, "xycoords", None) == "axes fraction"]
    return [" ".join(words.split()).replace(r"\$", "$") for words in (ax.get_title(loc="left"), *captions)]
