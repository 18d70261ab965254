"""Whether neighbours in the embedding carry the same label. The one look that reads labels."""

import numpy as np
from numpy.typing import ArrayLike

from pyro_vmm.diagnosis.finding import Finding
from pyro_vmm.diagnosis.neighbours import nearest_neighbours, same_kind
from pyro_vmm.diagnosis.sampled_rows import told
from pyro_vmm.errors import UserError

NAME = "labels in the embedding"
NOTICE, WARNING = 0.5, 0.2
"""Excess of neighbours of the same label: 0 as with shuffled labels, 1 if neighbours always agree. Below a half an observation's
neighbourhood says less of its label than it leaves open; below a fifth next to nothing."""


def label_neighbours(latents: ArrayLike, labels: ArrayLike, num_observations: int) -> Finding:
    """Compare the share of neighbours of the same label with that of shuffled labels, and name the label lost most.

    It cannot tell a poor embedding from labels that are not in the data.

    Parameters
    ----------
    latents
        Posterior means of the rows looked at, ``[M, D]``.
    labels
        Their labels, ``[M]``; missing ones (None, NaN) are left out.
    num_observations
        Of how many observations the M were drawn.

    Raises
    ------
    UserError
        If fewer than two labels are there.
    """
    import pandas as pd

    codes, names = pd.factorize(np.asarray(labels, dtype=object), use_na_sentinel=True)
    there = codes >= 0
    if len(names) < 2:
        raise UserError(f"The labels have {len(names)} distinct value(s): give a column with at least two.")
    points, codes = np.asarray(latents)[there], codes[there].astype(np.int64)
    neighbours = nearest_neighbours(points)
    observed, expected, excess = same_kind(codes, neighbours)
    agree = (codes[neighbours] == codes[:, None]).mean(1)
    by_label = np.bincount(codes, agree) / np.bincount(codes)
    worst = int(by_label.argmin())
    sentence = (
        f"{100 * observed:.0f} % of an observation's neighbours carry its label, where shuffled labels would give "
        f"{100 * expected:.0f} % ({told(len(codes), num_observations)}); least so for {str(names[worst])!r}, "
        f"{100 * by_label[worst]:.0f} %."
    )
    if excess >= NOTICE:
        return Finding(NAME, "fine", sentence, value=excess)
    return Finding(
        NAME,
        "warning" if excess < WARNING else "notice",
        sentence,
        "Train longer, take more latent dimensions or more features; where batches go with the labels, see whether the "
        "correction for batches has taken them out.",
        excess,
    )
