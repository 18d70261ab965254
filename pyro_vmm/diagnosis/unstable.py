"""Whether runs with other seeds found other clusters."""

from pyro_vmm.diagnosis.finding import Finding
from pyro_vmm.diagnosis.stability import Stability

NAME = "stability between seeds"
RELIABLE, WARNING = 0.85, 0.5
"""Mean adjusted Rand index of two runs. Below a half more pairs of observations are disputed than agreed on beyond chance."""


def unstable(stability: Stability) -> Finding:
    """Say whether runs with other seeds agree. It cannot see runs that are all wrong in the same way.

    Parameters
    ----------
    stability
        What :func:`~pyro_vmm.diagnosis.stability.stability` found.
    """
    mean, worst = stability.mean_rand_index, int(stability.cluster_recovered.argmin())
    sentence = (
        f"{len(stability.seeds)} runs found {stability.clusters_per_run.min()} to {stability.clusters_per_run.max()} clusters and "
        f"agree with a mean adjusted Rand index of {mean:.2f}; least stable is consensus cluster {worst} (recovered to "
        f"{100 * stability.cluster_recovered[worst]:.0f} %)."
    )
    if mean >= RELIABLE:
        return Finding(NAME, "fine", sentence, value=mean)
    advice = "Use the consensus clusters, or fewer clusters (num_clusters), and believe those that are recovered in most runs."
    return Finding(NAME, "warning" if mean < WARNING else "notice", sentence, advice, mean)
