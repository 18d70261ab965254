"""The tree in which clusters join."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from pyro_vmm.clustering import MergeTree
from pyro_vmm.errors import UserError
from pyro_vmm.plotting.canvas import TICK_SIZE, blank_axes, headline, plural, tidy
from pyro_vmm.plotting.palette import MUTED, SECONDARY, cluster_colours


@dataclass(frozen=True)
class _Group:
    """Clusters joined so far: when (-1 for a lone one), at what height, from which parts, leaves left to right."""

    time: int
    height: float
    parts: tuple["_Group", ...]
    leaves: tuple[int, ...]


def merge_tree(
    merges: MergeTree | Sequence[tuple[int, int, float]],
    *,
    num_clusters: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the order and the cost in which clusters join, as a dendrogram.

    A join cheaper than an earlier one is drawn at the height of the earlier one, so that a horizontal cut is always the
    state at some time; one that costs less than nothing (a gain in evidence) is drawn at 0.

    Parameters
    ----------
    merges : MergeTree or sequence of (int, int, float)
        A :class:`~pyro_vmm.clustering.MergeTree`, as a fit's ``merge_tree_``; or in order of time: a cluster of the one
        group, a cluster of the other (any member names its group) and the cost of joining the two.
    num_clusters : int, optional
        Colour the groups that remain when merging stops at this number.
    ax : Axes, optional
        Where to draw; a new figure where absent.

    Raises
    ------
    UserError
        Where a merge joins a group with itself, or ``num_clusters`` is never reached.
    """
    unit = ""
    if isinstance(merges, MergeTree):
        unit = " (nats)" if merges.criterion in ("evidence", "valleys") else ""
        merges = [(step.kept, step.absorbed, step.cost) for step in merges.merges]
    if ax is None:
        ax = blank_axes(float(np.clip(2 + 0.16 * len(merges), 6.5, 17)), 4.6)
    tidy(ax, "cluster", f"cost of joining{unit}")
    ax.spines["bottom"].set_visible(False)
    if not len(merges):
        headline(ax, "Nothing to merge")
        return ax
    costs = np.array([float(cost) for _, _, cost in merges])
    heights = np.maximum.accumulate(np.maximum(costs, 0.0))
    trees = _grow(merges, heights)
    leaves = [leaf for tree in trees for leaf in tree.leaves]
    if num_clusters is not None and not len(trees) <= num_clusters <= len(leaves):
        raise UserError(f"num_clusters is {num_clusters}: choose one from {len(trees)} to {len(leaves)}")
    joined = len(merges) if num_clusters is None else len(leaves) - num_clusters
    _draw(ax, trees, {leaf: place for place, leaf in enumerate(leaves)}, joined)
    if joined < len(heights):
        below = heights[joined - 1] if joined else 0.0
        ax.axhline((below + heights[joined]) / 2, color=SECONDARY, linewidth=1.0, linestyle="--")
    turned = len(leaves) > 25
    ax.set_xticks(
        range(len(leaves)),
        [str(leaf) for leaf in leaves],
        fontsize=TICK_SIZE if len(leaves) <= 60 else 7.0,
        rotation=90 if turned else 0,
    )
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.8, len(leaves) - 0.2)
    ax.set_ylim(0, float(heights[-1]) * 1.06 or 1.0)
    whole = f"{plural(len(leaves), 'cluster')} joined into {plural(len(leaves) - joined, 'group')}"
    if joined < len(heights):
        headline(ax, whole, "below the dashed line: one colour a group; above it, grey: what further joins would cost")
    else:
        headline(ax, whole, f"first join at cost {costs[0]:.3g}, last at {costs[-1]:.3g}".replace("-", "−"))
    return ax


def _grow(merges: Sequence[tuple[int, int, float]], heights: NDArray[np.float64]) -> list[_Group]:
    """Trees that remain after all merges."""
    owner: dict[int, _Group] = {}
    for time, (left, right, _) in enumerate(merges):
        parts = tuple(owner.get(int(leaf), _Group(-1, 0.0, (), (int(leaf),))) for leaf in (left, right))
        if int(left) == int(right) or parts[0] is parts[1]:
            raise UserError(f"clusters {left} and {right} are already in one group: each merge must join two")
        group = _Group(time, float(heights[time]), parts, parts[0].leaves + parts[1].leaves)
        owner.update(dict.fromkeys(group.leaves, group))
    return list({group.time: group for group in owner.values()}.values())


def _draw(ax: Axes, trees: list[_Group], place: dict[int, int], joined: int) -> None:
    """Draw every join as a bracket, coloured by the group it belongs to after the first ``joined`` joins."""
    brackets: list[list[tuple[float, float]]] = []
    colours: list[str] = []
    final: list[_Group] = []

    def centre(group: _Group, complete: bool) -> float:
        if complete and group.time < joined:
            final.append(group)
            complete = False
        if not group.parts:
            return float(place[group.leaves[0]])
        x = [centre(part, complete) for part in group.parts]
        y = [part.height for part in group.parts]
        brackets.append([(x[0], y[0]), (x[0], group.height), (x[1], group.height), (x[1], y[1])])
        colours.append(MUTED if group.time >= joined else str(group.leaves[0]))
        return sum(x) / 2

    for tree in trees:
        centre(tree, True)
    # Largest groups first: they get the colours that are easiest to tell apart.
    final.sort(key=lambda group: -len(group.leaves))
    colour = cluster_colours(range(len(final)))
    of_leaf = {str(leaf): colour[rank] for rank, group in enumerate(final) for leaf in group.leaves}
    ax.add_collection(
        LineCollection(brackets, colors=[of_leaf.get(name, name) for name in colours], linewidths=1.5), autolim=False
    )
