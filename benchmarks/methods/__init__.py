"""What the tables compare: each method turns observations into clusters, by ``(x, options, run) -> Fitted``."""

from collections.abc import Callable, Mapping

from benchmarks.fitted import Fitted
from benchmarks.methods.arrays import fit_vmm
from benchmarks.methods.cells import fit_single_cell_vmm
from benchmarks.methods.classical import (
    fit_bayesian_gaussian_mixture,
    fit_gaussian_mixture_by_bic,
    fit_hdbscan,
    fit_kmeans,
)
from benchmarks.methods.fine_mixture import fit_fine_mixture
from benchmarks.methods.released_protocol import fit_stopping_on_labels
from benchmarks.methods.rivals import fit_rival
from benchmarks.methods.vade import fit_vade

FITS: Mapping[str, Callable[..., Fitted]] = {
    "vmm": fit_vmm,
    "single-cell-vmm": fit_single_cell_vmm,
    "vade": fit_vade,
    "k-means": fit_kmeans,
    "gaussian-mixture-bic": fit_gaussian_mixture_by_bic,
    "bayesian-gaussian-mixture": fit_bayesian_gaussian_mixture,
    "hdbscan": fit_hdbscan,
    "fine-mixture": fit_fine_mixture,
    "rival": fit_rival,
}
"""Methods that are handed no label."""

FITS_THAT_SEE_LABELS: Mapping[str, Callable[..., Fitted]] = {"stopping-on-labels": fit_stopping_on_labels}
"""``(x, labels, options, run) -> Fitted``: only here, so that published protocols can be told beside ours."""
