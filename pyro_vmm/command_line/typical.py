"""The observations that show best what a component is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def typical_observations(
    x: NDArray[np.float32],
    latent: NDArray[Any],
    responsibilities: NDArray[Any],
    components: NDArray[Any],
    count: int = 8,
) -> NDArray[np.float32]:
    """The members of each component nearest, in their own spread, to the component's mean.

    Parameters
    ----------
    x
        Observations ``[N, F]``.
    latent
        Posterior means ``[N, D]``.
    responsibilities
        ``[N, K]``; a component's members are the observations whose arg-max it is.
    components
        Component numbers ``[C]``.
    count
        Observations per component, ``T``.

    Returns
    -------
    ndarray
        ``[C, T, F]``; NaN where a component has fewer members.
    """
    chosen = np.full((len(components), count, x.shape[1]), np.nan, dtype=np.float32)
    assigned = responsibilities.argmax(1)
    for row, component in enumerate(components):
        members = np.flatnonzero(assigned == component)
        offset = latent[members] - latent[members].mean(0)
        spread = offset.std(0) + 1e-12
        nearest = members[np.argsort(((offset / spread) ** 2).sum(1), kind="stable")[:count]]
        chosen[row, : len(nearest)] = x[nearest]
    return chosen
