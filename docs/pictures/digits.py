"""Draw ``digits.png``, the picture of the front page: a fit of scikit-learn's digits, with the settings of ``pyro-vmm demo``.

Run from the root of the repository, some minutes on one core: ``python docs/pictures/digits.py``.
"""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE

from pyro_vmm import VMM
from pyro_vmm.modalities.array_input import DIGITS
from pyro_vmm.plotting.palette import cluster_colours

MEMBERS = 8


def main() -> None:
    """Fit, and draw the map of the latents beside members of each cluster."""
    x = load_digits().data / 16
    vmm = VMM(**DIGITS, random_state=0).fit(x)
    print(f"{vmm.n_clusters_} clusters after {vmm.n_iter_} epochs")
    picture(vmm, x).savefig(Path(__file__).with_suffix(".png"), dpi=110, bbox_inches="tight")


def picture(vmm: VMM, x: np.ndarray) -> Figure:
    """Latents left; right, members of each cluster drawn at random, its number in the colour that it has on the left."""
    figure = Figure(figsize=(10.0, 4.4))
    FigureCanvasAgg(figure)
    left, right = figure.subfigures(1, 2, width_ratios=(1.0, 1.1))
    colours = cluster_colours(np.arange(vmm.n_clusters_))
    ax = left.add_axes((0.0, 0.0, 1.0, 0.94))
    ax.set_axis_off()
    on_paper = TSNE(random_state=0).fit_transform(vmm.transform(x))
    ax.scatter(*on_paper.T, s=5, c=[colours[cluster] for cluster in vmm.labels_], linewidths=0)
    left.suptitle("Embedding of all digits (t-SNE of ten dimensions)", fontsize=9)
    rows = -(-vmm.n_clusters_ // 2)
    spacing = {"left": 0.02, "right": 1.0, "bottom": 0.0, "top": 0.94, "wspace": 0.05, "hspace": 0.08}
    grid = right.subplots(rows, 2 * (MEMBERS + 1), gridspec_kw=spacing)
    for cell in grid.flat:
        cell.set_axis_off()
    rng = np.random.default_rng(0)
    for cluster in range(vmm.n_clusters_):
        column, row = divmod(cluster, rows)
        cells = grid[row, column * (MEMBERS + 1) : (column + 1) * (MEMBERS + 1)]
        cells[0].text(0.5, 0.5, cluster, color=colours[cluster], fontsize=9, weight="bold", ha="center", va="center")
        members = rng.permutation(np.flatnonzero(vmm.labels_ == cluster))[:MEMBERS]
        for cell, image in zip(cells[1:], x[members], strict=False):
            cell.imshow(image.reshape(8, 8), cmap="Greys", vmin=0, vmax=1)
    right.suptitle("Members of each cluster, at random", fontsize=9)
    return figure


if __name__ == "__main__":
    main()
