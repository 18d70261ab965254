"""From the components of a fitted mixture to numbered clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.clustering.merge_tree import MergeTree
from pyro_vmm.clustering.merging import Merging, join_components
from pyro_vmm.clustering.numbering import component_order, joined
from pyro_vmm.clustering.probabilities import as_probabilities
from pyro_vmm.clustering.row_blocks import RowBlocks
from pyro_vmm.errors import UserError
from pyro_vmm.plain_values import plain
from pyro_vmm.shapes import Float, Int


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which components are one cluster, and how clusters are numbered.

    Attributes
    ----------
    joined
        ``[K]``: the component that each one's responsibilities are added to; itself where it stands alone.
    order
        ``[K]``: the component behind each column of :meth:`arrange`, most observations first.
    weights
        Mixture weights in that order, ``[K]``; a cluster has the sum of its components'.
    number
        Clusters in use.
    merge_tree
        How the clusters would go on joining.
    component_tree
        How the components in use were joined, and would go on joining; None where version 0.1 stored the clusters.
    """

    joined: NDArray[np.int64]
    order: NDArray[np.int64]
    weights: NDArray[np.float64]
    number: int
    merge_tree: MergeTree
    component_tree: MergeTree | None = None

    @classmethod
    def of(
        cls,
        responsibilities: Float[NDArray[np.float64], "N K"] | RowBlocks,
        latents: Float[NDArray[np.floating[Any]], "N D"],
        weights: Float[NDArray[np.float64], "K"],
        merging: Merging,
        evidence_weight: float | None = None,
    ) -> Clusters:
        """Join components that are one cluster by ``merging``, and number the clusters.

        Parameters
        ----------
        responsibilities
            Of the observations fitted, ``[N, K]``, at once or by blocks of rows.
        latents
            Their posterior means, ``[N, D]``.
        weights
            ``[K]``.
        merging, evidence_weight
            See :class:`pyro_vmm.VMM`.
        """
        shares = RowBlocks.of(responsibilities)
        joining = join_components(shares, latents, merging, evidence_weight)
        representatives = joining.representatives
        masses = np.bincount(representatives, weights, minlength=len(weights))
        sums = shares.changed(lambda block: joined(block, representatives))
        owners = np.concatenate([block.argmax(1) for block in sums])
        order = component_order(owners, masses)
        return cls(
            joined=representatives,
            order=order,
            weights=masses[order].astype(np.float64),
            number=max(int(block[:, order].argmax(1).max()) for block in sums) + 1,
            merge_tree=joining.tree.above(joining.joined_below, order),
            component_tree=joining.component_tree,
        )

    def arrange(
        self, responsibilities: Float[NDArray[np.float64], "N K"], num_clusters: int | None = None
    ) -> Float[NDArray[np.float64], "N C"]:
        """Responsibilities of components, ``[N, K]``, summed within clusters and numbered as these; rows sum to one.

        Parameters
        ----------
        responsibilities
            ``[N, K]``.
        num_clusters
            Go on joining down to this number of clusters, or undo joins up to it: ``[N, num_clusters]``, by decreasing
            mass. None leaves the clusters as they are.

        Raises
        ------
        UserError
            For a number that is not whole, or more clusters than components in use.
        """
        arranged = as_probabilities(joined(responsibilities, self.joined)[:, self.order])
        if num_clusters is None:
            return arranged
        found, most = len(self.merge_tree.utilised), self.components_in_use
        num_clusters = plain(num_clusters)
        whole = isinstance(num_clusters, int) and not isinstance(num_clusters, bool)
        if not whole:
            raise UserError(
                f"must be a whole number, not {num_clusters!r}: give one in 1..{most}.", option="num_clusters"
            )
        if not 1 <= num_clusters <= most:
            raise UserError(self._out_of_range(num_clusters), option="num_clusters")
        if num_clusters <= found or self.component_tree is None:
            return self.merge_tree.merge_responsibilities(arranged, num_clusters).astype(np.float64)
        return self.component_tree.merge_responsibilities(self._of_used(responsibilities), num_clusters).astype(
            np.float64
        )

    def assign(self, responsibilities: RowBlocks) -> NDArray[np.int64]:
        """The most probable cluster of each observation, ``[N]``, by responsibilities of components ``[N, K]``."""
        return np.concatenate([self.arrange(block).argmax(1) for block in responsibilities])

    def _of_used(self, responsibilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Without those of components that are not in use, except in rows that have no others.

        Added to a neighbour, the mass of one could make that everybody's, and fewer clusters come out than were asked for.
        """
        assert self.component_tree is not None
        used = np.zeros_like(responsibilities)
        utilised = list(self.component_tree.utilised)
        used[:, utilised] = responsibilities[:, utilised]
        return np.where(used.any(axis=1, keepdims=True), used, responsibilities)

    @property
    def components_in_use(self) -> int:
        """Components that are the likeliest of an observation fitted; clusters, where version 0.1 stored these only."""
        return len((self.component_tree or self.merge_tree).utilised)

    def _out_of_range(self, num_clusters: int) -> str:
        most, nothing_joined = self.components_in_use, bool((self.joined == np.arange(len(self.joined))).all())
        if self.component_tree is None and not nothing_joined:
            return (
                f"is {num_clusters}, and the model has {most} clusters. It was stored by version 0.1, without "
                f"the joins that could be undone: give a number in 1..{most}, or call rejoin first."
            )
        return f"is {num_clusters}, but the mixture uses {most} components: give a number in 1..{most}."

    def shown(self, weights: Float[NDArray[np.float64], "K"]) -> Int[NDArray[np.int64], "K"]:
        """The component that each column of :meth:`arrange` is shown by, ``[K]``: the heaviest of its cluster.

        Every component occurs once. A column without a cluster of its own shows a component that is part of another.

        Parameters
        ----------
        weights
            Of the components, ``[K]``.
        """
        components = self.order.copy()
        column = np.argsort(self.order)
        for name in np.unique(self.joined):
            members = np.flatnonzero(self.joined == name)
            heaviest = members[weights[members].argmax()]
            components[column[[name, heaviest]]] = heaviest, name
        return components

    def members(self, column: int) -> Int[NDArray[np.int64], "members"]:
        """The components that are one cluster in a column of :meth:`arrange`; one absorbed elsewhere stands for itself."""
        name = self.order[column]
        return np.flatnonzero(self.joined == name) if self.joined[name] == name else np.array([name])

    def to_dict(self) -> dict[str, Any]:
        """Lists, strings and numbers, ready for JSON."""
        return {
            "joined": self.joined.tolist(),
            "order": self.order.tolist(),
            "weights": self.weights.tolist(),
            "number": self.number,
            "merge_tree": self.merge_tree.to_dict(),
            "component_tree": None if self.component_tree is None else self.component_tree.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Clusters:
        """Read back what :meth:`to_dict` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not of one piece.
        """
        of_components = values.get("component_tree")
        try:
            tree = MergeTree.from_dict(values["merge_tree"])
            component_tree = None if of_components is None else MergeTree.from_dict(of_components)
        except UserError as error:
            raise ValueError(str(error)) from None
        clusters = cls(
            joined=np.asarray(values["joined"], dtype=np.int64),
            order=np.asarray(values["order"], dtype=np.int64),
            weights=np.asarray(values["weights"], dtype=np.float64),
            number=int(values["number"]),
            merge_tree=tree,
            component_tree=component_tree,
        )
        clusters._check()
        return clusters

    def _check(self) -> None:
        components = np.arange(len(self.order))
        sizes = {self.joined.shape, self.order.shape, self.weights.shape, (self.merge_tree.num_components,)}
        if self.component_tree is not None:
            sizes.add((self.component_tree.num_components,))
        sound = len(sizes) == 1 and 1 <= self.number <= len(components)
        sound = (
            sound and bool((np.sort(self.order) == components).all()) and bool(np.isin(self.joined, components).all())
        )
        if not sound or not bool((self.joined[self.joined] == self.joined).all()):
            raise ValueError("clusters, their order and their tree are not of one piece")
