"""Which mixture components join into one cluster, in what order and at what cost; no label enters.

A fine mixture describes one class with several Gaussians. The tree starts at the components that own at least one
observation and joins, one pair at a time, the two that are hardest to tell apart, until one cluster is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.clustering.agglomeration import agglomerate
from pyro_vmm.clustering.criteria import CRITERIA, Criterion, check_criterion
from pyro_vmm.clustering.probabilities import as_probabilities
from pyro_vmm.clustering.row_blocks import RowBlocks
from pyro_vmm.clustering.utilised_components import UtilisedComponents
from pyro_vmm.errors import UserError
from pyro_vmm.plain_values import plain
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.shapes import Float, Int


@dataclass(frozen=True)
class MergeStep:
    """One joining of two clusters.

    A cluster is called by the smallest utilised component in it, so the union goes on under the name ``kept``.

    Parameters
    ----------
    kept : int
        Name of the first cluster, and of the union; ``kept < absorbed``.
    absorbed : int
        Name of the second cluster, which is gone afterwards.
    cost : float
        One minus the similarity of the two, in [0, 1]: near 0 they describe the same observations, or are parts of one
        population (``"contact"``). Of ``"evidence"`` and ``"valleys"``: nats for two clusters against one; below 0 where one is
        the better description.
    num_clusters : int
        Number of clusters left after this step.
    """

    kept: int
    absorbed: int
    cost: float
    num_clusters: int


@dataclass(frozen=True)
class MergeTree:
    """The sequence of merges from the utilised components of a mixture down to one cluster.

    Costs need not rise along the sequence (a union can overlap a third cluster more than either part did), so the
    tree is cut by the number of clusters and not at a height.

    Parameters
    ----------
    criterion : {"overlap", "misclassification", "evidence", "valleys", "contact"}
        What the costs are; see :func:`merge_tree`.
    representatives : tuple of int, length K
        For each component, the utilised component whose cluster it belongs to: itself where it is utilised.
    masses : tuple of float, length K
        Sum over the observations of each component's responsibilities (expected number of members).
    merges : tuple of MergeStep, length U - 1
        The merges in order, with U the number of utilised components.
    """

    criterion: Criterion
    representatives: tuple[int, ...]
    masses: tuple[float, ...]
    merges: tuple[MergeStep, ...]

    @property
    def num_components(self) -> int:
        """Number K of components of the mixture, used or not."""
        return len(self.representatives)

    @property
    def utilised(self) -> tuple[int, ...]:
        """The U components that are the arg-max of at least one observation, ascending."""
        return tuple(sorted(set(self.representatives)))

    @property
    def costs(self) -> Float[NDArray[np.float64], "merges"]:
        """Cost of each merge in order, ``[U - 1]``."""
        return np.array([step.cost for step in self.merges], dtype=np.float64)

    def cut(self, num_clusters: int) -> Int[NDArray[np.int64], "K"]:
        """Cluster of every component when ``num_clusters`` are kept.

        Parameters
        ----------
        num_clusters : int
            Between 1 and the number of utilised components.

        Returns
        -------
        numpy.ndarray of int64, ``[K]``
            Labels ``0 .. num_clusters - 1`` by decreasing total mass (ties: smallest component first). Every label
            occurs; an unused component has the label of the component that took its mass.

        Raises
        ------
        UserError
            If ``num_clusters`` is not a whole number in that range.
        """
        num_utilised, num_clusters = len(self.utilised), plain(num_clusters)
        if isinstance(num_clusters, bool) or not isinstance(num_clusters, int):
            raise UserError(
                f"must be a whole number, not {num_clusters!r}: give one in 1..{num_utilised}.", option="num_clusters"
            )
        if not 1 <= num_clusters <= num_utilised:
            raise UserError(
                f"is {num_clusters}, but the mixture uses {num_utilised} components: "
                f"give a number in 1..{num_utilised}.",
                option="num_clusters",
            )
        names = np.array(self.representatives, dtype=np.int64)
        for step in self.merges[: num_utilised - num_clusters]:
            names[names == step.absorbed] = step.kept
        mass = np.bincount(names, weights=np.array(self.masses), minlength=self.num_components)
        kept = np.unique(names)
        by_mass = kept[np.argsort(-mass[kept], kind="stable")]
        labels = np.empty(self.num_components, dtype=np.int64)
        labels[by_mass] = np.arange(num_clusters)
        return labels[names]

    def joined_below(self, cost: float) -> Int[NDArray[np.int64], "K"]:
        """The component that stands for each one's cluster when pairs are joined while that costs less than ``cost``.

        Joining stops at the first pair that costs as much or more.

        Returns
        -------
        numpy.ndarray of int64, ``[K]``
            The smallest utilised component of each cluster; an unused component goes with the one that took its mass.
        """
        names = np.array(self.representatives, dtype=np.int64)
        for step in self.merges:
            if not step.cost < cost:
                break
            names[names == step.absorbed] = step.kept
        return names

    def above(self, cost: float, order: Int[NDArray[np.int64], "K"]) -> MergeTree:
        """What is left of the tree when pairs are joined as by :meth:`joined_below`, for columns rearranged.

        Parameters
        ----------
        cost : float
            As for :meth:`joined_below`; minus infinity joins none.
        order : numpy.ndarray of int64, ``[K]``
            The component behind each column of the tree that is returned.

        Returns
        -------
        MergeTree
            The merges that are left, each cluster called by its first column.
        """
        names = self.joined_below(cost)
        column = np.argsort(order)
        called = {int(name): int(column[name]) for name in np.unique(names)}
        merges = []
        for step in self.merges[len(self.utilised) - len(called) :]:
            kept, absorbed = sorted((called[step.kept], called.pop(step.absorbed)))
            called[step.kept] = kept
            merges.append(MergeStep(kept, absorbed, step.cost, step.num_clusters))
        masses = np.bincount(names, self.masses, minlength=self.num_components)
        return MergeTree(
            criterion=self.criterion,
            representatives=tuple(column[names][order].tolist()),
            masses=tuple(masses[order].tolist()),
            merges=tuple(merges),
        )

    def followed_by(self, later: MergeTree, cost: float) -> MergeTree:
        """Join as this tree does as far as :meth:`joined_below` goes, and then as ``later`` does.

        Parameters
        ----------
        later : MergeTree
            Of the responsibilities summed within the clusters of ``joined_below(cost)``, with the same K columns.
        cost : float
            As for :meth:`joined_below`.

        Returns
        -------
        MergeTree
            From the utilised components of this tree down to one cluster. Its steps cost what they did in either tree.
        """
        names = self.joined_below(cost)
        called = {name: name for name in np.unique(names).tolist()}
        merges = list(self.merges[: len(self.utilised) - len(called)])
        # Of sums, a cluster may be nobody's likeliest any more: it is joined where its mass went.
        lost = [(name, later.representatives[name]) for name in called if later.representatives[name] != name]
        steps = [(*sorted(pair), 0.0) for pair in lost]
        steps += [(step.kept, step.absorbed, step.cost) for step in later.merges]
        for first, second, each in steps:
            kept, absorbed = sorted((called[first], called[second]))
            called = {name: kept if now == absorbed else now for name, now in called.items()}
            merges.append(MergeStep(kept, absorbed, each, len(self.utilised) - len(merges) - 1))
        return MergeTree(later.criterion, self.representatives, self.masses, tuple(merges))

    def merge_responsibilities(
        self, responsibilities: ArrayLike, num_clusters: int
    ) -> Float[NDArray[np.floating[Any]], "N num_clusters"]:
        """Responsibilities of the merged clusters: sums over their components.

        The arg-max of the sums may differ from the label of the arg-max component: several weak components of one
        cluster can together outweigh a single strong one.

        Parameters
        ----------
        responsibilities : array_like, ``[N, K]``
            Of any observations (not only those that the tree was built from), rows summing to one.
        num_clusters : int
            Between 1 and the number of utilised components.

        Returns
        -------
        numpy.ndarray, ``[N, num_clusters]``
            In the input's floating type; rows sum to one, and no entry is above one.

        Raises
        ------
        UserError
            If the responsibilities do not have K columns, or ``num_clusters`` is out of range.
        """
        num_clusters = plain(num_clusters)
        labels = self.cut(num_clusters)
        array = np.asarray(responsibilities)
        if array.ndim != 2 or array.shape[1] != self.num_components:
            raise UserError(
                f"responsibilities have shape {list(array.shape)}: "
                f"give [N, {self.num_components}], one column for each component of the merged mixture."
            )
        dtype = array.dtype if np.issubdtype(array.dtype, np.floating) else np.dtype(np.float64)
        membership = (labels[:, None] == np.arange(num_clusters)).astype(np.float64)
        merged: NDArray[np.floating[Any]] = as_probabilities(array.astype(np.float64) @ membership).astype(dtype)
        return merged

    def to_dict(self) -> dict[str, Any]:
        """Hold the tree in lists, strings and numbers only, as JSON can."""
        return {
            "criterion": self.criterion,
            "representatives": list(self.representatives),
            "masses": list(self.masses),
            "merges": [asdict(step) for step in self.merges],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MergeTree:
        """Rebuild the tree that :meth:`to_dict` wrote.

        Raises
        ------
        UserError
            If a key is missing or the merges do not form a tree over the utilised components.
        """
        try:
            tree = cls(
                criterion=check_criterion(values["criterion"]),
                representatives=tuple(int(component) for component in values["representatives"]),
                masses=tuple(float(mass) for mass in values["masses"]),
                merges=tuple(
                    MergeStep(int(m["kept"]), int(m["absorbed"]), float(m["cost"]), int(m["num_clusters"]))
                    for m in values["merges"]
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"This is not a saved merge tree ({error!r}): give what MergeTree.to_dict wrote."
            ) from error
        tree._check()
        return tree

    def _check(self) -> None:
        alive = set(self.utilised)
        sound = len(self.masses) == self.num_components > 0 and alive <= set(range(self.num_components))
        sound = sound and all(self.representatives[name] == name for name in alive)
        for step in self.merges:
            sound = sound and step.kept < step.absorbed and {step.kept, step.absorbed} <= alive
            alive.discard(step.absorbed)
            sound = sound and step.num_clusters == len(alive)
        if not sound or len(alive) != 1:
            raise UserError(
                "The saved merge tree does not join its components into one cluster: build it again with merge_tree."
            )


@usual_settings()
def merge_tree(
    responsibilities: ArrayLike | RowBlocks,
    *,
    criterion: Criterion = "overlap",
    latents: ArrayLike | None = None,
    evidence_weight: float | None = None,
) -> MergeTree:
    r"""Join the components of a mixture pairwise, the hardest to tell apart first.

    After each merge the responsibilities of the union are the sums of its parts. The similarity of clusters i and j is

    * ``"overlap"``: the cosine :math:`r_i \cdot r_j / (|r_i| |r_j|)` of their responsibilities over the data;
    * ``"misclassification"``: the directly estimated misclassification probability (DEMP) of Hennig (2010),
      the larger of :math:`P(\hat{c} = j \mid c = i)` and :math:`P(\hat{c} = i \mid c = j)`, with
      :math:`P(\hat{c} = j \mid c = i) = \sum_n r_{ni} 1[\arg\max_m r_{nm} = j] / \sum_n r_{ni}`
      over the clusters of the moment;
    * ``"evidence"``: the gain in marginal likelihood of the latents when the members of both (by arg-max) are one Gaussian
      of a Dirichlet-process mixture instead of two, the Gaussians integrated out (:mod:`pyro_vmm.clustering.evidence`);
    * ``"valleys"``: the same, but for clusters between which the density has a valley (:mod:`pyro_vmm.clustering.valleys`). Joining
      these gains no more than one mode does against two, which is a loss: they stay apart, even where one Gaussian would do;
    * ``"contact"``: how many of the nearest neighbours of the smaller cluster's members lie in the other, as a multiple of the
      number where a plane cuts one Gaussian into parts of these sizes (:mod:`pyro_vmm.clustering.contact`). It counts half as much
      again where one Gaussian describes both clusters better than two, and at most .3 where the density has a valley. Pairs with
      a similarity of more than .3 are joined first, in the order of their evidence for one Gaussian.

    The cost of a merge is one minus the similarity, and of ``"evidence"`` and ``"valleys"`` minus the gain, in nats. Components
    that are no observation's arg-max are unused: they get no step of the tree. The mass of each is given to the utilised
    component with the most similar responsibilities (largest cosine; to the heaviest one where the column is zero), so that
    merged responsibilities still sum to one.

    Parameters
    ----------
    responsibilities : array_like or RowBlocks, ``[N, K]``
        Non-negative, rows summing to one; float32 or float64.
    criterion : {"overlap", "misclassification", "evidence", "valleys", "contact"}
        ``"overlap"`` reads the data once, for the K x K Gram matrix, and is the fastest.
    latents : array_like, ``[N, D]``, optional
        Posterior means of the same observations, which ``"evidence"``, ``"valleys"`` and ``"contact"`` need.
    evidence_weight : float, optional
        For those three, the largest effective number of observations: of more, each counts for less than one. What a Gaussian
        describes well enough at this number stays one cluster. Larger is finer; infinity has no limit. For a valley the limit
        holds for the two clusters that are compared. None for 200 a latent dimension, and at least 2,000.

    Returns
    -------
    MergeTree

    Raises
    ------
    UserError
        If the responsibilities are no such matrix, the criterion is unknown, the latents are missing or do not fit,
        or ``evidence_weight`` is not positive.

    References
    ----------
    C. Hennig (2010), "Methods for merging Gaussian mixture components", Advances in Data Analysis and Classification 4.
    """
    criterion = check_criterion(criterion)
    components = UtilisedComponents.of(responsibilities, latents, evidence_weight)
    if CRITERIA[criterion].reads_latents and latents is None:
        readers = ", ".join(f"criterion={name!r}" for name, kind in CRITERIA.items() if kind.reads_latents)
        raise UserError(f"{readers} compare clusters of the latents: give latents=, their posterior means.")
    names = components.utilised.tolist()
    joinings = agglomerate(CRITERIA[criterion](components), len(names))
    return MergeTree(
        criterion=criterion,
        representatives=tuple(components.representatives.tolist()),
        masses=tuple(components.masses.tolist()),
        merges=tuple(
            MergeStep(names[kept], names[absorbed], cost, num_clusters=len(names) - joined)
            for joined, (kept, absorbed, cost) in enumerate(joinings, start=1)
        ),
    )
