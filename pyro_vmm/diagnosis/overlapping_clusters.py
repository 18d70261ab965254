"""Whether there are more clusters than can be told apart."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.clustering import MergeTree, merge_tree
from pyro_vmm.clustering.criteria.contact import APART
from pyro_vmm.diagnosis.finding import Finding

NAME, SHARED = "overlapping clusters", "shared observations"
COST = {"misclassification": 0.9, "overlap": 0.83, "evidence": 3.0, "valleys": 3.0, "contact": APART}
"""Two clusters that join at less can hardly be told apart. A tenth of one cluster's members taken for the other's: two Gaussians of
one size are then 2.56 standard deviations apart, and the cosine of their responsibilities is 0.17. Evidence of 3 nats for two
rather than one is where Kass and Raftery (1995) begin to call it strong."""
UNIT = {"evidence": " nats", "valleys": " nats"}
MANY = 0.5
"""Share of the clusters that overlap others from which the number of clusters says nothing about the data."""
PAIRS_NAMED = 3
_SHARED = "that the two share observations"
_ONE_GAUSSIAN = "that one Gaussian describes the two nearly as well, or better"
_MEANING = {
    "misclassification": _SHARED,
    "overlap": _SHARED,
    "evidence": _ONE_GAUSSIAN,
    "valleys": _ONE_GAUSSIAN,
    "contact": "that the two touch as the parts of one population do",
}


def overlapping_clusters(tree: MergeTree) -> Finding:
    """Say which clusters would join next and at what cost, and whether they should.

    It sees clusters that share observations or, by a tree of evidence, that one Gaussian would describe. It cannot see a
    group that is no Gaussian cut into pieces that are: these are as distinct as two groups are.

    Parameters
    ----------
    tree
        Of the clusters of the data fitted.
    """
    number = len(tree.utilised)
    if number == 1:
        return Finding(NAME, "fine", "There is one cluster, so nothing to join.", value=0.0)
    limit, unit = COST[tree.criterion], UNIT.get(tree.criterion, "")
    overlapping = 0
    for step in tree.merges:
        if not step.cost < limit:
            break
        overlapping += 1
    nearest = ", ".join(
        f"{step.kept} and {step.absorbed} (cost {step.cost:.2f}{unit})" for step in tree.merges[:PAIRS_NAMED]
    )
    left = number - overlapping
    if not overlapping:
        told = f"No two of the {number} clusters overlap much; next to join would be {nearest}."
        return Finding(NAME, "fine", told, value=0.0)
    return Finding(
        NAME,
        "warning" if overlapping >= MANY * number else "notice",
        f"Of {number} clusters {left} can be told apart; next to join would be {nearest}, and a cost below "
        f"{limit:g}{unit} means {_MEANING[tree.criterion]}.",
        f"Take predict(..., num_clusters={left}), or lower prior_weight for coarser clusters.",
        float(overlapping),
    )


def shared_observations(responsibilities: NDArray[np.float64]) -> Finding:
    """Say how many clusters are left when those are one of which a tenth is taken for another's.

    Clusters that evidence parts by their shape may share many observations: a class that is bent, or groups that shade into one
    another. It cannot see which of these it is.

    Parameters
    ----------
    responsibilities
        Of clusters, for some of the observations, ``[M, C]``.
    """
    found = overlapping_clusters(merge_tree(responsibilities, criterion="misclassification"))
    advice = (
        "Where one ends and the next begins is a matter of degree, which predict_proba tells; rejoin(merging='misclassification') "
        "makes one of those that share more than a twentieth."
    )
    return replace(found, name=SHARED, advice=advice if found.advice else "")
