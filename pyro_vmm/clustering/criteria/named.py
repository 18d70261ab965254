"""Criteria by the names that users give them."""

from typing import Literal

from pyro_vmm.clustering.criteria.base import PairCosts
from pyro_vmm.clustering.criteria.contact import ContactCosts
from pyro_vmm.clustering.criteria.evidence import EvidenceCosts
from pyro_vmm.clustering.criteria.misclassification import MisclassificationCosts
from pyro_vmm.clustering.criteria.overlap import OverlapCosts
from pyro_vmm.clustering.criteria.valleys import ValleyCosts
from pyro_vmm.errors import UserError

Criterion = Literal["overlap", "misclassification", "evidence", "valleys", "contact"]

CRITERIA: dict[Criterion, type[PairCosts]] = {
    "overlap": OverlapCosts,
    "misclassification": MisclassificationCosts,
    "evidence": EvidenceCosts,
    "valleys": ValleyCosts,
    "contact": ContactCosts,
}


def check_criterion(criterion: object) -> Criterion:
    """The name of a criterion, if it is one.

    Raises
    ------
    UserError
        For anything else.
    """
    if not isinstance(criterion, str) or criterion not in CRITERIA:
        raise UserError(f"criterion is {criterion!r}: give one of {', '.join(CRITERIA)}.")
    return criterion
