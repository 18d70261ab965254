"""How good a fit is: clusters against labels, batches joined, the parts of the ELBO, and tables of scores."""

from pyro_vmm.scoring.clusters import (
    cluster_scores,
    hungarian_accuracy,
    many_to_one_accuracy,
    many_to_one_labels,
    purity,
)
from pyro_vmm.scoring.elbo_surgery import ElboSurgery, elbo_surgery
from pyro_vmm.scoring.integration import integration_scores
from pyro_vmm.scoring.table import format_table, write_scores

__all__ = [
    "ElboSurgery",
    "cluster_scores",
    "elbo_surgery",
    "format_table",
    "hungarian_accuracy",
    "integration_scores",
    "many_to_one_accuracy",
    "many_to_one_labels",
    "purity",
    "write_scores",
]
