r"""Which clusters of latents are one Gaussian, by their marginal likelihood; no label enters.

A mixture fitted by maximisation has nothing against two components where one would do. The marginal likelihood has: with a
conjugate normal-Wishart prior, a cluster's mean and precision integrate out,

.. math::
    \log p(Z_c) = -\tfrac{n D}{2} \log \pi + \tfrac{D}{2} \log \tfrac{\kappa_0}{\kappa_0 + n}
        + \log \tfrac{\Gamma_D(\nu_n / 2)}{\Gamma_D(\nu_0 / 2)} + \tfrac{\nu_0}{2} \log |\Psi_0|
        - \tfrac{\nu_n}{2} \log |\Psi_n|,

and the Dirichlet process with concentration 1 adds :math:`\log \Gamma(n)` for each cluster. Two clusters are better described as
one where that raises the sum.

No class is a Gaussian, and with enough observations any departure from one would be a cluster of its own. So they count as
though there were at most some number of them (``evidence_weight``): all sums are multiplied by its share in N.

References
----------
K. A. Heller and Z. Ghahramani (2005), "Bayesian hierarchical clustering", ICML; K. P. Murphy (2007), "Conjugate Bayesian
analysis of the Gaussian distribution", section 9 (the formula); J. W. Miller and D. B. Dunson (2019), "Robust Bayesian
inference via coarsening", JASA 114 (the weight).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from pyro_vmm.shapes import Float, Int

# Shares of the total variance given to the pooled covariance, so that a direction without any spread within clusters
# (clusters of one member, a collapsed dimension) has a determinant.
_RIDGE = 1e-6
# Nats against a cluster that counts for less than one observation: no evidence about its shape speaks for or against it.
_TOO_FEW = 1e6


@dataclass(frozen=True)
class Moments:
    """Counts ``[...]``, sums ``[..., D]`` and sums of outer products ``[..., D, D]`` of clusters of latents."""

    count: NDArray[np.float64]
    total: NDArray[np.float64]
    products: NDArray[np.float64]

    @classmethod
    def of(
        cls, latents: Float[NDArray[np.float64], "N D"], assigned: Int[NDArray[np.int64], "N"], number: int
    ) -> Moments:
        """Of ``latents [N, D]`` in ``number`` clusters, ``assigned [N]``."""
        count, total, products = [], [], []
        for cluster in range(number):
            z = latents[assigned == cluster]
            count.append(float(len(z)))
            total.append(z.sum(0))
            products.append(z.T @ z)
        return cls(np.array(count), np.stack(total), np.stack(products))

    def __getitem__(self, index: list[int] | NDArray[np.int64]) -> Moments:
        return Moments(self.count[index], self.total[index], self.products[index])

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.products + other.products)

    def weighted(self, weight: float) -> Moments:
        """Each observation counted ``weight`` times."""
        return Moments(weight * self.count, weight * self.total, weight * self.products)

    @property
    def scatter(self) -> Float[NDArray[np.float64], "... D D"]:
        """Sums of outer products about each cluster's own mean, ``[..., D, D]``."""
        mean = self.total / self.count[..., None]
        return self.products - self.total[..., :, None] * mean[..., None, :]


class NormalWishart:
    r"""What clusters of latents look like before one is seen, learned from the fine clusters themselves.

    Latents are rescaled so that the fine clusters' pooled covariance is the identity: :math:`\Psi_0` is that (with the
    model's own :math:`\nu_0 = D + 2`, it is the expected covariance), and :math:`\kappa_0` is the ratio of the spread within to the
    spread of the means. The evidence then does not depend on the scale or the rotation of the latent space.

    Parameters
    ----------
    latents
        ``[N, D]``.
    assigned
        Fine cluster of each, ``[N]``, in ``0 .. number - 1``, each with at least one member.
    number
        Of fine clusters.
    evidence_weight
        Observations count as though there were at most so many; infinity for as many as there are.
    """

    def __init__(
        self,
        latents: Float[NDArray[np.float64], "N D"],
        assigned: Int[NDArray[np.int64], "N"],
        number: int,
        evidence_weight: float = np.inf,
    ) -> None:
        dim = latents.shape[1]
        centred = latents - latents.mean(0)
        variance = centred.var(0)
        # A direction without any variance says nothing, whatever its scale is taken to be.
        centred /= np.sqrt(np.where(variance > 0.0, variance, 1.0))
        pooled = Moments.of(centred, assigned, number).scatter.sum(0) / len(latents)
        values, vectors = np.linalg.eigh(pooled + _RIDGE * np.eye(dim))
        self.whitened: NDArray[np.float64] = centred @ (vectors / np.sqrt(values))
        moments = Moments.of(self.whitened, assigned, number)
        between = float(np.square(self.whitened).sum() - np.trace(moments.scatter.sum(0))) / len(latents)
        self.moments = moments.weighted(min(1.0, evidence_weight / len(latents)))
        self.dim = dim
        self.degrees_of_freedom = dim + 2.0
        self.mean_strength = dim / max(between, _RIDGE)

    def log_evidence(self, clusters: Moments) -> Float[NDArray[np.float64], "..."]:
        """Log marginal likelihood and Dirichlet-process factor of each cluster, ``[...]`` nats."""
        n, dim, kappa, nu = clusters.count, self.dim, self.mean_strength, self.degrees_of_freedom
        mean = clusters.total / n[..., None]
        pull = (kappa * n / (kappa + n))[..., None, None] * mean[..., :, None] * mean[..., None, :]
        log_det = np.linalg.slogdet(np.eye(dim) + clusters.scatter + pull)[1]
        halves = 0.5 * np.arange(dim)
        log_gammas = gammaln(0.5 * (nu + n)[..., None] - halves).sum(-1) - gammaln(0.5 * nu - halves).sum()
        evidence: NDArray[np.float64] = (
            -0.5 * n * dim * np.log(np.pi)
            + 0.5 * dim * np.log(kappa / (kappa + n))
            + log_gammas
            - 0.5 * (nu + n) * log_det
            + gammaln(n)
            - np.where(n < 1.0 - 1e-9, _TOO_FEW, 0.0)
        )
        return evidence
