"""What to do with the responsibilities of a fitted mixture, without labels: joining components, and showing clusters."""

from pyro_vmm.clustering.clusters import Clusters
from pyro_vmm.clustering.criteria import Criterion
from pyro_vmm.clustering.found_clusters import FoundClusters
from pyro_vmm.clustering.merge_tree import MergeStep, MergeTree, merge_tree
from pyro_vmm.clustering.merging import Merging, check_merging, weight_of_evidence
from pyro_vmm.clustering.numbering import component_order, joined
from pyro_vmm.clustering.typical import typical_observations

__all__ = [
    "Clusters",
    "Criterion",
    "FoundClusters",
    "MergeStep",
    "MergeTree",
    "Merging",
    "check_merging",
    "component_order",
    "joined",
    "merge_tree",
    "typical_observations",
    "weight_of_evidence",
]
