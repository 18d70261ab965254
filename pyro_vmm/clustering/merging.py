"""Which components of a fitted mixture become one cluster, by the rule that the user chose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.clustering.criteria import CRITERIA, Criterion
from pyro_vmm.clustering.merge_tree import MergeTree, merge_tree
from pyro_vmm.clustering.numbering import joined
from pyro_vmm.clustering.row_blocks import RowBlocks, is_settled
from pyro_vmm.errors import UserError
from pyro_vmm.option_checks import check_positive
from pyro_vmm.shapes import Float

Merging = Literal["contact", "misclassification", "valleys", "evidence", "none"]

_TAKEN_FOR_ANOTHER = 0.05
"""Share of a cluster's members that the mixture takes for another's from which ``"misclassification"`` joins the two."""


@dataclass(frozen=True)
class MergeRule:
    """How components are joined.

    Attributes
    ----------
    criterion
        Of the tree: what joining costs.
    joins
        Whether pairs that the criterion takes for one cluster are joined; otherwise the tree only says how they would be.
    misclassified_first
        Whether those are joined before which the mixture takes for one another.
    evidence_weight
        Of the tree, where none is given; None for the criterion's own.
    """

    criterion: Criterion
    joins: bool = True
    misclassified_first: bool = False
    evidence_weight: float | None = None

    @property
    def joined_below(self) -> float:
        """The cost below which pairs are joined."""
        return CRITERIA[self.criterion].joined_below if self.joins else -np.inf


# Few observations are made of many so that no class needs to be a Gaussian. Where the pieces of a class have been joined
# already, that is not needed, and would cost small clusters.
RULES: dict[Merging, MergeRule] = {
    "contact": MergeRule("contact"),
    "misclassification": MergeRule("valleys", misclassified_first=True, evidence_weight=np.inf),
    "valleys": MergeRule("valleys"),
    "evidence": MergeRule("evidence"),
    "none": MergeRule("contact", joins=False),
}


class Joining(NamedTuple):
    """What :func:`join_components` did."""

    representatives: NDArray[np.int64]
    """``[K]``: the component that stands for each one's cluster; itself where it stands alone."""
    tree: MergeTree
    """Of the components that are left where the rule joins misclassified ones first; otherwise of all."""
    joined_below: float
    """The cost below which pairs of ``tree`` were joined."""
    component_tree: MergeTree
    """Of all components in use."""


def check_merging(merging: object, evidence_weight: float | None) -> None:
    """Refuse options of :func:`join_components` that cannot be, before a fit rather than after it.

    Raises
    ------
    UserError
        For an unknown rule or a weight that is not positive.
    """
    _rule(merging)
    if evidence_weight is not None:
        check_positive(evidence_weight, "evidence_weight", "number of observations, or None", finite=False)


def weight_of_evidence(merging: Merging, evidence_weight: float | None) -> float | None:
    """``evidence_weight`` where it is given, or else that of the rule: None for the criterion's own.

    Raises
    ------
    UserError
        For an unknown rule.
    """
    return _rule(merging).evidence_weight if evidence_weight is None else evidence_weight


def join_components(
    responsibilities: RowBlocks,
    latents: Float[NDArray[np.floating[Any]], "N D"],
    merging: Merging,
    evidence_weight: float | None = None,
) -> Joining:
    """Join components that are one cluster.

    Parameters
    ----------
    responsibilities
        Of the observations fitted, ``[N, K]``.
    latents
        Their posterior means, ``[N, D]``.
    merging, evidence_weight
        See :class:`pyro_vmm.VMM`.
    """
    rule = _rule(merging)
    counted = weight_of_evidence(merging, evidence_weight)
    representatives = np.arange(responsibilities.shape[1])
    first = None
    if rule.misclassified_first:
        first = merge_tree(responsibilities, criterion="misclassification")
        representatives = _join(representatives, first, 1.0 - _TAKEN_FOR_ANOTHER)
    sums = responsibilities
    if first is not None:
        pieces = representatives
        sums = responsibilities.changed(lambda block: joined(block, pieces))
    tree = merge_tree(sums, criterion=rule.criterion, latents=latents, evidence_weight=counted)
    if rule.joins:
        representatives = _join(representatives, tree, rule.joined_below)
        _join_unused(representatives, responsibilities, tree, rule.joined_below)
    component_tree = tree if first is None else first.followed_by(tree, 1.0 - _TAKEN_FOR_ANOTHER)
    return Joining(representatives, tree, rule.joined_below, component_tree)


def _rule(merging: object) -> MergeRule:
    if not isinstance(merging, str) or merging not in RULES:
        raise UserError(f"is {merging!r}: choose one of {', '.join(map(repr, RULES))}.", option="merging")
    return RULES[merging]


def _join(representatives: NDArray[np.int64], tree: MergeTree, cost: float) -> NDArray[np.int64]:
    """Join what costs less; components that are nobody's likeliest stay as they are.

    Added to a neighbour, the mass of one could make that everybody's.
    """
    names = np.arange(len(representatives))
    used = list(tree.utilised)
    names[used] = tree.joined_below(cost)[used]
    return names[representatives]


def _join_unused(representatives: NDArray[np.int64], responsibilities: RowBlocks, tree: MergeTree, cost: float) -> None:
    """Let components that are nobody's likeliest stand for the cluster they are most like, where no observation changes its own.

    A duplicate of another component takes half of its responsibilities and may own no observation; the cluster's certainty is
    that of both. Where the sum would make the cluster that of others' observations, the component goes on standing alone, and so
    does one that explains less than an observation: it lies where the data are not.
    """
    names, masses = tree.joined_below(cost), np.asarray(tree.masses)
    unused = np.setdiff1d(np.flatnonzero(masses >= 1.0), tree.utilised)
    if not len(unused):
        return
    # The others keep their cluster whatever is joined.
    undecided = np.concatenate([block[~is_settled(joined(block, representatives))] for block in responsibilities])
    sums = joined(undecided, representatives)
    clusters, most = sums.argmax(1), sums.max(1)
    for component in unused[np.argsort(-masses[unused], kind="stable")]:
        name = names[component]
        total = sums[:, name] + undecided[:, component]
        if (total[clusters != name] < most[clusters != name]).all():
            representatives[component] = name
            sums[:, name], sums[:, component] = total, 0.0
            most = sums.max(1)
