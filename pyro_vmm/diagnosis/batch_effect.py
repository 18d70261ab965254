"""Whether a batch effect is left in the embedding."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pyro_vmm.diagnosis.finding import Finding
from pyro_vmm.diagnosis.neighbours import nearest_neighbours, same_kind
from pyro_vmm.diagnosis.sampled_rows import told

NAME = "batch effect"
NOTICE, WARNING = 0.1, 0.3
"""Excess of neighbours of the same batch: 0 if batches are mixed, 1 if no cell has a neighbour of another batch. Shuffled
batches of some hundred cells stay within 0.03; from 0.3 a neighbourhood says more of the batch than chance by a third of all
there is to say."""
ONE_BATCH = 0.9
COMMON_BATCH = 0.7
"""A cluster is one batch's when 0.9 of it is of that batch; where the batch has more than 0.7 of all cells that is no news."""


def batch_effect(
    latents: ArrayLike,
    batches: ArrayLike,
    names: Sequence[str],
    clusters: ArrayLike,
    num_observations: int,
    *,
    batch_key: str | None = None,
) -> Finding:
    """Compare the share of neighbours of the same batch with what mixing would give.

    It cannot tell a batch effect from batches that hold different kinds of cells: a kind that only one batch has is
    rightly apart. Nor does it see a batch effect that moves cells by less than the distance of neighbours.

    Parameters
    ----------
    latents
        Posterior means of the rows looked at, ``[M, D]``.
    batches
        Their batches, places in ``names``, ``[M]``.
    names
        Names of the batches.
    clusters
        Their clusters, ``[M]``.
    num_observations
        Of how many observations the M were drawn.
    batch_key
        The column of these batches, if the model was fitted without it.
    """
    codes, cluster = np.asarray(batches), np.asarray(clusters)
    observed, expected, excess = same_kind(codes, nearest_neighbours(latents))
    sentence = (
        f"{100 * observed:.0f} % of a cell's neighbours in the embedding are of its own batch, where mixed batches would "
        f"give {100 * expected:.0f} % ({told(len(codes), num_observations, 'cells')})"
    )
    overall = np.bincount(codes, minlength=len(names)) / len(codes)
    apart = []
    for number in np.unique(cluster):
        shares = np.bincount(codes[cluster == number], minlength=len(names)) / (cluster == number).sum()
        batch = int(shares.argmax())
        if shares[batch] >= ONE_BATCH and overall[batch] <= COMMON_BATCH:
            apart.append(f"{number} ({names[batch]})")
    if apart:
        named = ", ".join(apart[:5]) + (f" and {len(apart) - 5} more" if len(apart) > 5 else "")
        sentence += f"; at least {100 * ONE_BATCH:.0f} % of one batch are clusters {named}"
    if excess <= NOTICE:
        return Finding(NAME, "fine", sentence + ".", value=excess)
    return Finding(
        NAME,
        "warning" if excess > WARNING else "notice",
        sentence + ".",
        "Unless the batches hold different kinds of cells: "
        + ("" if batch_key is None else f"fit with batch_key={batch_key!r}, ")
        + "train longer, or take fewer latent dimensions.",
        excess,
    )
