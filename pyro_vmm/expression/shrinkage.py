r"""What is known of all genes together, for each of them: most differ little.

The log fold changes :math:`\beta` of all genes are a mixture of Gaussians around zero, with standard deviations on a grid and
weights of greatest likelihood (EM). A gene's posterior given its measurement, :math:`\hat\beta \sim N(\beta, s^2)`, is then a
mixture as well. Without this, genes that do not differ are called whenever many of them are measured.

References
----------
M. Stephens (2017), "False discovery rates: a new deal", Biostatistics 18.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEPS, _ITERATIONS = 20, 200


def posterior_samples(
    measured: NDArray[np.float64], variance: NDArray[np.float64], learned_from: NDArray[np.bool_], number: int
) -> NDArray[np.float64]:
    """Samples ``[number, G]`` of each gene's log fold change.

    Parameters
    ----------
    measured, variance
        Measurements and their variances, ``[G]``.
    learned_from
        Genes by which the weights are estimated, ``[G]``; all where it is none.
    number
        Of samples.
    """
    chosen = learned_from if learned_from.any() else np.ones(len(measured), dtype=bool)
    smallest, largest = 0.1 * np.sqrt(variance[chosen].min()), max(2.0 * np.abs(measured[chosen]).max(), 0.1)
    spread = np.square(np.geomspace(min(smallest, 0.1 * largest), largest, _STEPS))
    total = variance[:, None] + spread
    log_density = -0.5 * (np.log(total) + np.square(measured)[:, None] / total)
    density = np.exp(log_density - log_density.max(1, keepdims=True))
    weights = np.full(_STEPS, 1.0 / _STEPS)
    for _ in range(_ITERATIONS):
        joint = density[chosen] * weights
        weights = (joint / joint.sum(1, keepdims=True)).mean(0)
    posterior = density * weights
    posterior /= posterior.sum(1, keepdims=True)
    rng = np.random.default_rng(0)
    component = (rng.random((number, len(measured), 1)) > posterior.cumsum(1)).sum(-1).clip(max=_STEPS - 1)
    genes = np.arange(len(measured))
    kept = (spread / total)[genes, component]
    scale = np.sqrt(kept * variance)
    samples: NDArray[np.float64] = kept * measured + scale * rng.standard_normal((number, len(measured)))
    return samples
