"""Whether there are more clusters than can be told apart."""

from pyro_vmm.clustering import MergeTree
from pyro_vmm.diagnosis.finding import Finding

NAME = "overlapping clusters"
SIMILARITY = {"misclassification": 0.1, "overlap": 0.17}
"""Two clusters overlap above this similarity (one minus the merge's cost). A tenth of one cluster's members taken for the
other's is where ``SingleCellVMM`` joins components by default (Hennig 2010); two Gaussians of one size are then 2.56 standard
deviations apart, and the cosine of their responsibilities is 0.17."""
MANY = 0.5
"""Share of the clusters that overlap others from which the number of clusters says nothing about the data."""
PAIRS_NAMED = 3


def overlapping_clusters(tree: MergeTree) -> Finding:
    """Say which clusters would join next and at what cost, and whether they should.

    It sees clusters that share observations. It cannot see a group cut into pieces that lie side by side with sharp
    borders, which are as distinct to the mixture as two groups are.

    Parameters
    ----------
    tree
        Of the clusters of the data fitted.
    """
    number = len(tree.utilised)
    if number == 1:
        return Finding(NAME, "fine", "There is one cluster, so nothing to join.", value=0.0)
    limit = SIMILARITY[tree.criterion]
    overlapping = 0
    for step in tree.merges:
        if not 1.0 - step.cost > limit:
            break
        overlapping += 1
    nearest = ", ".join(f"{step.kept} and {step.absorbed} (cost {step.cost:.2f})" for step in tree.merges[:PAIRS_NAMED])
    left = number - overlapping
    if not overlapping:
        told = f"No two of the {number} clusters overlap much; next to join would be {nearest}."
        return Finding(NAME, "fine", told, value=0.0)
    return Finding(
        NAME,
        "warning" if overlapping >= MANY * number else "notice",
        f"Of {number} clusters {left} can be told apart; next to join would be {nearest}, and a cost below "
        f"{1 - limit:g} means that the two share observations.",
        f"Take predict(..., num_clusters={left}), or lower prior_weight for coarser clusters.",
        float(overlapping),
    )
