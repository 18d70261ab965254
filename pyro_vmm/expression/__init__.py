"""Which genes are expressed differently in two groups of cells, by a fitted model."""

from pyro_vmm.expression.differences import Differences, Mode, compare, table
from pyro_vmm.expression.group_means import GroupMeans, group_means

__all__ = ["Differences", "GroupMeans", "Mode", "compare", "group_means", "table"]
