"""What it costs to join two clusters: one file a criterion, and one entry in ``named.py``."""

from pyro_vmm.clustering.criteria.base import PairCosts
from pyro_vmm.clustering.criteria.named import CRITERIA, Criterion, check_criterion

__all__ = ["CRITERIA", "Criterion", "PairCosts", "check_criterion"]
