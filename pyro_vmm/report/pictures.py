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
from pyro_vmm.fit import Fit
from pyro_vmm.plotting.figures import DOTS_PER_INCH, figure_of, png_of
from pyro_vmm.plotting.palette import cluster_colours
from pyro_vmm.report.fit_folder import FitFolder
from pyro_vmm.report.seen import Seen

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


def colours_of(folder: FitFolder, seen: Seen) -> dict[int, str]:
    """Colour of each cluster in use, the same as in the pictures that the fit wrote."""
    assert folder.clusters is not None
    assert seen.fit is not None
    order = np.argsort(-seen.fit.weights_, kind="stable")
    return cluster_colours(order[np.isin(order, folder.clusters["cluster"].to_numpy(dtype=np.int64))])


def pictures_of_training(folder: FitFolder) -> Iterator[Picture]:
    """ELBO and components in use over steps, and against each other."""
    if not len(folder.history):
        return
    upper, lower = plotting.training_curves(folder.history)
    yield _picture("training", "How the fit went", upper, lower)
    try:
        ax = plotting.elbo_against_clusters(folder.history)
    except UserError:  # clusters were not recorded
        return
    yield _picture("elbo-clusters", "ELBO against the number of components", ax)


def pictures_of_clusters(folder: FitFolder, seen: Seen) -> Iterator[Picture]:
    """Every picture of a finished fit but those of its training."""
    assert folder.clusters is not None
    assert folder.latent is not None
    assert seen.fit is not None
    clusters, weights = folder.clusters["cluster"].to_numpy(dtype=np.int64), seen.fit.weights_
    # One projection for all, so that the pictures can be laid over each other.
    latent = folder.latent
    plane = latent if latent.shape[1] == 1 else plotting.project_to_plane(latent.astype(np.float64))
    ax = plotting.latent_space(plane, clusters, num_components=len(weights), colours=colours_of(folder, seen))
    yield _picture("latent", "Latent space by cluster", ax)
    ax = plotting.latent_by_value(plane, folder.clusters["probability"].to_numpy(), limits=(0.0, 1.0))
    yield _picture("probability", "Latent space by the probability of the cluster", ax)
    if seen.batches is not None:
        ax = plotting.latent_by_category(plane, seen.batches.named.astype(object))
        yield _picture("batches", "Latent space by batch", ax)
    if seen.labels is not None:
        ax = plotting.latent_by_category(plane, seen.labels, name="label")
        yield _picture(
            "labels", "Latent space by label", ax, note="Labels were read for this report, never for the fit."
        )
        yield _picture("label-table", "Clusters and labels", plotting.cluster_label_table(clusters, seen.labels))
    yield from _what_clusters_are(folder, seen, seen.fit, clusters)
    used = np.isin(np.arange(len(weights)), clusters)
    yield _picture("weights", "Mixture weights", plotting.mixture_weights(weights, used))
    tree = seen.fit.merge_tree_
    if tree.merges:
        yield _picture("merge-tree", "Which clusters would join next", plotting.merge_tree(tree))
    yield from _stored(
        folder, "entropy", "How certain clusters are", "Histogram of the entropy of the responsibilities."
    )
    surgery = (folder.scores or {}).get("elbo_surgery")
    if surgery:
        upper, lower = plotting.elbo_surgery_bars({"fit": surgery})
        yield _picture("surgery", "The ELBO on held-out observations, taken apart", upper, lower)


def _what_clusters_are(folder: FitFolder, seen: Seen, fit: Fit, clusters: NDArray[np.int64]) -> Iterator[Picture]:
    ids, heading = np.unique(clusters), "What the clusters are"
    names = None if fit.modality.feature_names is None else fit.modality.feature_names.tolist()
    profiles = seen.profiles(clusters)
    if profiles is not None:
        ax = plotting.component_profiles(
            profiles.values, fit.weights_[ids], ids, feature_names=names, what=profiles.what
        )
        yield _picture("profiles", heading, ax, note=profiles.note)
    if not fit.model.needs_latents_alone:
        return
    image = folder.options.get("image_shape") is not None
    told = (
        "pseudo-input and decoded centre of its heaviest component, most typical observations and samples"
        if image
        else "decoded centre of its heaviest component, by feature"
    )
    yield from _stored(folder, "components", heading, f"A row a cluster: {told}.")
    inputs = None if image else fit.pseudo_inputs()
    if inputs is not None:
        ax = plotting.component_profiles(inputs[ids], fit.weights_[ids], ids, feature_names=names, what="Pseudo-inputs")
        yield _picture("pseudo-inputs", "Pseudo-inputs", ax)


def _stored(folder: FitFolder, name: str, heading: str, alternative: str) -> Iterator[Picture]:
    """A picture that the fit wrote because it needs more than the tables; nothing where it is gone or no PNG."""
    try:
        png = (folder.path / "figures" / f"{name}.png").read_bytes()
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
