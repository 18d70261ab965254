"""How good a fit is: clusters against labels, batches joined, the parts of the ELBO, and tables of scores."""

from pyro_vmm.scoring.clusters import (
    by_present_names,
    cluster_scores,
    hungarian_accuracy,
    many_to_one_accuracy,
    many_to_one_labels,
    purity,
    scores_of_responsibilities,
    surest_observation_accuracy,
    surest_observation_labels,
)
from pyro_vmm.scoring.elbo_surgery import ElboSurgery, elbo_surgery
from pyro_vmm.scoring.integration import integration_scores
from pyro_vmm.scoring.table import format_table, write_scores

__all__ = [
    "ElboSurgery",
    "by_present_names",
    "cluster_scores",
    "elbo_surgery",
    "format_table",
    "hungarian_accuracy",
    "integration_scores",
    "many_to_one_accuracy",
    "many_to_one_labels",
    "purity",
    "scores_of_responsibilities",
    "surest_observation_accuracy",
    "surest_observation_labels",
    "write_scores",
]
