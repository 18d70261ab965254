"""What to do with the responsibilities of a fitted mixture: joining components into clusters, without labels."""

from pyro_vmm.clustering.merge_tree import MergeStep, MergeTree, merge_tree

__all__ = ["MergeStep", "MergeTree", "merge_tree"]
