"""Whether the truncation is too small."""

from pyro_vmm.diagnosis.finding import Finding

NAME = "truncation"
NEARLY_ALL = 0.9
"""Clusters as a share of the components above which the truncation may already bind: a tenth to spare is little."""


def truncation(num_clusters: int, num_components: int) -> Finding:
    """Say whether there are as many clusters as components, so that their number is not found but given.

    Components without observations, and those that are one cluster with another, are room to spare. It cannot see whether
    more components would make a better clustering, only that there was no room for them.

    Parameters
    ----------
    num_clusters
        Clusters of at least one observation.
    num_components
        Truncation ``K``.
    """
    share = num_clusters / num_components
    if num_components == 1:
        return Finding(NAME, "fine", "The prior has one component.", value=share)
    advice = f"Fit again with num_components={2 * num_components}."
    if num_clusters >= num_components:
        return Finding(NAME, "warning", f"There are as many clusters as components, {num_components}.", advice, share)
    told = f"The {num_components} components make {num_clusters} cluster{'s' if num_clusters > 1 else ''}."
    if share > NEARLY_ALL:
        return Finding(NAME, "notice", told, advice, share)
    return Finding(NAME, "fine", told, value=share)
