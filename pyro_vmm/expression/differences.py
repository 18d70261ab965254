r"""From the mean expression of two groups to the genes that differ.

The log fold change is :math:`\log_2 (m_1 + \epsilon) - \log_2 (m_2 + \epsilon)` of the groups' mean shares. There are two
measurements of it: one as decoded, :math:`d`, which borrows from all cells and genes and has the decoder's errors, and one as
counted, :math:`c`, which has none of these and more noise. The variance of the decoder's errors, :math:`\tau^2`, is what the two
differ by over all genes beyond their own variances. The log fold change is their mean, weighted by the inverses of
:math:`s_c^2` and :math:`s_d^2 + \tau^2`. Its variance is :math:`s_c^2`, and not less: the decoder was fitted to the same counts
and has their noise, too. With :math:`k` counts of a gene in a group, :math:`s_c^2` is at least
:math:`1 / (\log^2 2 \, (k + 1))` for either group, so that a group without any counts is no certainty. What all
genes show is the prior of each (:mod:`pyro_vmm.expression.shrinkage`). A gene differs where it
is at least ``delta`` in either direction, and the probability of this is the share of the posterior's samples in which it is. Taken
in the order of their probabilities, genes are called as long as the mean probability of not differing stays below the target: the
posterior expected false discovery rate.

A gene whose mean is next to zero in both groups can have any ratio. So :math:`\epsilon` is the share that stands for
``floor`` expected counts in a cell of median size, and genes below it in both groups are never called.

References
----------
P. Boyeau et al. (2019), "Deep generative models for detecting differential expression in single cells" (``delta``, the expected
rate); P. Müller, G. Parmigiani, C. Robert and J. Rousseau (2004), "Optimal sample size for multiple testing", JASA 99 (the rate).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.expression.group_means import GroupMeans
from pyro_vmm.expression.shrinkage import posterior_samples

Mode = Literal["change", "vanilla"]
_OF_ONE_COUNT = 1.0 / np.log(2.0) ** 2
"""Variance of the logarithm, base 2, of a Poisson mean of which one count is known."""
_LEAST = 1e-8
"""Added to both probabilities, so that their ratio has a logarithm."""


@dataclass(frozen=True)
class Differences:
    """Of two groups, by gene; ``[G]`` each but ``lfc``.

    Attributes
    ----------
    lfc
        Log fold changes, ``[S, G]``: samples of their posterior.
    probability
        That the gene differs (``"change"``), or is higher in the first group (``"vanilla"``).
    called
        Whether it is among the genes called.
    above_floor
        Whether it is expressed enough in either group to be called.
    pseudocount
        Added to shares before logarithms.
    """

    lfc: NDArray[np.float64]
    probability: NDArray[np.float64]
    called: NDArray[np.bool_]
    above_floor: NDArray[np.bool_]
    pseudocount: float


def compare(
    first: GroupMeans,
    second: GroupMeans,
    *,
    mode: Mode = "change",
    delta: float = 0.25,
    fdr_target: float = 0.05,
    floor: float = 0.01,
    pseudocount: float | None = None,
) -> Differences:
    """Compare two groups.

    Parameters
    ----------
    first, second
        Mean expression, of the same genes.
    mode
        ``"change"``: a gene differs by at least ``delta``; ``"vanilla"``: it is higher in the first group.
    delta
        Log fold change, base 2.
    fdr_target
        Expected share of false calls among the genes called.
    floor
        Expected counts in a cell of median size.
    pseudocount
        In place of the share that ``floor`` stands for.
    """
    least = floor / min(first.library, second.library)
    epsilon = least if pseudocount is None else pseudocount
    above = np.maximum(first.draws.mean(0), second.draws.mean(0)) >= least
    decoded, counted = (
        np.log2(mine + epsilon) - np.log2(theirs + epsilon)
        for mine, theirs in ((first.draws, second.draws), (first.counted, second.counted))
    )
    least_variance = sum(_OF_ONE_COUNT / (each.mean * each.num_cells + 1.0) for each in (first, second))
    lfc = _together(decoded, counted, np.maximum(counted.var(0), least_variance), above)
    probability = ((np.abs(lfc) >= delta) if mode == "change" else (lfc > 0.0)).mean(0)
    return Differences(lfc, probability, _called(np.where(above, probability, 0.0), fdr_target), above, epsilon)


def _together(
    decoded: NDArray[np.float64], counted: NDArray[np.float64], of_c: NDArray[np.float64], above: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Samples ``[S, G]`` of the log fold change by both of its measurements; ``of_c [G]`` is the variance of the counted one."""
    d, c, of_d = decoded.mean(0), counted.mean(0), decoded.var(0)
    beyond = (np.square(d - c) - of_d - of_c)[above]
    of_decoder = of_d + (max(0.0, float(beyond.mean())) if above.any() else 0.0) + _LEAST
    weight = of_c / (of_c + of_decoder)
    return posterior_samples(weight * d + (1.0 - weight) * c, of_c, above, len(decoded))


def _called(probability: NDArray[np.float64], fdr_target: float) -> NDArray[np.bool_]:
    order = np.argsort(-probability, kind="stable")
    expected = np.cumsum(1.0 - probability[order]) / np.arange(1, len(order) + 1)
    called = np.zeros(len(order), dtype=bool)
    called[order[: np.searchsorted(expected, fdr_target, side="right")]] = True
    return called & (probability > 0.0)


def table(
    found: Differences,
    first: GroupMeans,
    second: GroupMeans,
    genes: NDArray[np.str_],
    *,
    mode: Mode,
    delta: float,
    fdr_target: float,
    all_stats: bool = True,
) -> pd.DataFrame:
    """The differences in scvi-tools' columns, a row a gene, the surest first."""
    p, lfc = found.probability, found.lfc
    bayes_factor = np.log(p + _LEAST) - np.log(1.0 - p + _LEAST)
    scales = {"scale1": first.draws.mean(0), "scale2": second.draws.mean(0)}
    if mode == "vanilla":
        columns = {"proba_m1": p, "proba_m2": 1.0 - p, "bayes_factor": bayes_factor, **scales}
        order = np.argsort(-bayes_factor, kind="stable")
    else:
        columns = {
            "proba_de": p,
            "proba_not_de": 1.0 - p,
            "bayes_factor": bayes_factor,
            **scales,
            "pseudocounts": np.full(len(p), found.pseudocount),
            "delta": np.full(len(p), delta),
            "lfc_mean": lfc.mean(0),
            "lfc_median": np.median(lfc, axis=0),
            "lfc_std": lfc.std(0),
            "lfc_min": lfc.min(0),
            "lfc_max": lfc.max(0),
        }
        order = np.lexsort((-np.abs(columns["lfc_median"]), -p, ~found.above_floor))
    if all_stats:
        for name, of_group in (("mean", "mean"), ("normalized_mean", "scaled")):
            for place, group in enumerate((first, second), start=1):
                columns[f"raw_{name}{place}"] = getattr(group, of_group)
        for place, group in enumerate((first, second), start=1):
            columns[f"non_zeros_proportion{place}"] = group.non_zeros
    columns["above_floor"] = found.above_floor
    if mode == "change":
        columns[f"is_de_fdr_{fdr_target:g}"] = found.called
    return pd.DataFrame(columns, index=genes).iloc[order]
