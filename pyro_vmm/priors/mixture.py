"""What the two Gaussian mixtures fitted by empirical Bayes share."""

import math
from abc import abstractmethod
from typing import Literal

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vmm.distributions import GaussianMixture as GaussianMixtureDistribution
from pyro_vmm.errors import Option, UserError
from pyro_vmm.option_checks import check_positive
from pyro_vmm.priors.base import FittedBy, Prior
from pyro_vmm.priors.precisions import Precisions
from pyro_vmm.priors.weights import MixtureWeights, make_weights
from pyro_vmm.shapes import Float

PRIOR_WEIGHT = 16_384.0
"""``M`` by default.

The Wishart has its mode at ``K^(2/D) / (D + 2)``, a ``D + 2``-th of its mean: weighed against few observations it widens
components far beyond what they hold. The held-out ELBO prefers this ``M`` to smaller ones (benchmarks/README.md, "Uncertainty
of the centres").
"""
Inference = Literal["mle", "map", "map-dp"]
ResponsibilityGradient = Literal["stopped", "differentiated"]
Centres = Literal["drawn", "encoded"]


class MixturePrior(Prior):
    """A mixture ``sum_k pi_k Normal(mu_k, Lambda_k^-1)`` whose centres have a distribution ``q(mu_k)``, perhaps a point.

    A subclass says what ``q(mu_k)`` is. Everything else of sections 3 and 4 follows from it: the density with the
    centres integrated out, the responsibilities, and the empirical-Bayes objective.

    Parameters
    ----------
    latent_dim, num_components
        ``D`` and the truncation ``K``.
    inference
        ``"mle"`` (no hyper-prior), ``"map"`` (hyper-priors, concentration fixed at 1) or ``"map-dp"`` (concentration
        learned under ``Gamma(1, 1)``).
    weights
        ``"stick-breaking"``, ``"dirichlet"`` or a :class:`~pyro_vmm.priors.weights.MixtureWeights`.
    prior_weight
        ``M``, the number of observations that the hyper-prior is weighed against; it sets how fine the clustering is
        (a component survives when it expects about one member in ``M`` observations), whatever the minibatch.
    responsibility_gradient
        ``"stopped"`` holds the responsibilities of the E-step fixed, as EM does; ``"differentiated"`` lets the gradient
        through them, as the paper's released code does.
    diagonal
        Keep the precisions diagonal.

    Notes
    -----
    Densities, objective and gradients are finite in float32 wherever weights and concentration are put (all are bounded by
    construction), for other parameters within 3 of 0 and ``z`` up to 1e4. With parameters within 1 of 0 and ``z`` within 5,
    float32 is float64 to 1e-3 nats and 1e-4 relative. Centres' scales may reach thousands.
    """

    fitted_by: FittedBy = "empirical-bayes"

    def __init__(
        self,
        latent_dim: int,
        num_components: int,
        *,
        inference: Inference = "map-dp",
        weights: str | MixtureWeights = "stick-breaking",
        prior_weight: float = PRIOR_WEIGHT,
        responsibility_gradient: ResponsibilityGradient = "stopped",
        diagonal: bool = False,
    ) -> None:
        super().__init__(latent_dim, num_components)
        if inference not in ("mle", "map", "map-dp"):
            raise UserError(
                "is not known: choose 'map-dp', 'map' or 'mle'.", option=Option("prior_inference", inference)
            )
        if responsibility_gradient not in ("stopped", "differentiated"):
            raise UserError(
                "is not known: choose 'stopped' or 'differentiated'.",
                option=Option("responsibility_gradient", responsibility_gradient),
            )
        check_positive(prior_weight, "prior_weight", "number of observations")
        self.inference = inference
        self.prior_weight = float(prior_weight)
        self.responsibility_gradient = responsibility_gradient
        self.mixture_weights = make_weights(weights, num_components, learn_concentration=inference == "map-dp")
        self.precisions = Precisions(latent_dim, num_components, diagonal=diagonal)

    @abstractmethod
    def centre_posterior(self) -> tuple[Float[Tensor, "K D"], Float[Tensor, "K D D"] | None]:
        """``q(mu_k)``: means ``[K, D]`` and lower scale factors ``[K, D, D]``, or ``None`` where centres are points."""

    def distribution(self) -> GaussianMixtureDistribution:
        """``sum_k pi_k Normal(m_k, Lambda_k^-1 + S_k S_k^T)``: section 3, centres integrated out."""
        loc, centre_scale = self.centre_posterior()
        return self._marginal(self.mixture_weights.log_weights(), self.precisions.cholesky(), loc, centre_scale)

    @staticmethod
    def _marginal(
        log_weights: Tensor, precision_cholesky: Tensor, loc: Tensor, centre_scale: Tensor | None
    ) -> GaussianMixtureDistribution:
        return GaussianMixtureDistribution(
            log_weights, loc, precision_cholesky=precision_cholesky, extra_scale=centre_scale, validate_args=False
        )

    def set_component_scale(self, scale: float) -> None:
        """Give every ``Lambda_k^-1`` the value ``scale^2 I``."""
        identity = torch.eye(self.latent_dim).expand(self.num_components, -1, -1)
        self.precisions.set_cholesky(identity / scale)

    def expected_component_log_prob(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch K"]:
        """``E_{q(mu_k)}[log Normal(z; mu_k, Lambda_k^-1)]`` of ``[..., D]``, as ``[..., K]`` (section 4)."""
        return self._expected_component_log_prob(z, *self.centre_posterior())

    def _expected_component_log_prob(self, z: Tensor, loc: Tensor, centre_scale: Tensor | None) -> Tensor:
        factor = self.precisions.cholesky()
        points = GaussianMixtureDistribution(
            loc.new_zeros(len(loc)), loc, precision_cholesky=factor, validate_args=False
        )
        log_prob = points.component_log_prob(z)
        if centre_scale is None:
            return log_prob
        return log_prob - 0.5 * (factor.mT @ centre_scale).square().sum((-2, -1))

    def _fitted_component_log_prob(self, z: Tensor, loc: Tensor, centre_scale: Tensor | None) -> Tensor:
        """What the empirical-Bayes step fits and what assigns: ``log p(z | c = k)``, or its bound, ``[..., K]``."""
        return self._expected_component_log_prob(z, loc, centre_scale)

    def responsibilities(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch K"]:
        """``r_k = softmax_k l_k``, ``[..., K]``, with the ``l_k`` of :meth:`empirical_bayes_loss`: the E-step of section 4."""
        log_prob = self._fitted_component_log_prob(z, *self.centre_posterior())
        return (self.mixture_weights.log_weights() + log_prob).softmax(-1)

    def centres_log_prob(self) -> Float[Tensor, "K"]:
        """``E_{q(mu_k)}[log Normal(mu_k; 0, I)]``, ``[K]``."""
        return self._centres_log_prob(*self.centre_posterior())

    def _centres_log_prob(self, loc: Tensor, centre_scale: Tensor | None) -> Tensor:
        second_moment = loc.square().sum(-1)
        if centre_scale is not None:
            second_moment = second_moment + centre_scale.square().sum((-2, -1))
        return -0.5 * (self.latent_dim * math.log(2.0 * math.pi) + second_moment)

    def hyper_log_prob(self) -> Float[Tensor, ""]:
        """``log p(a) + log p(weights | a) + sum_k E[log p(mu_k)] + sum_k log p(Lambda_k)``, a scalar.

        Zero under ``"mle"``; without ``log p(a)`` under ``"map"``, where the concentration is fixed.
        """
        return self._hyper_log_prob(*self.centre_posterior())

    def _hyper_log_prob(self, loc: Tensor, centre_scale: Tensor | None) -> Tensor:
        if self.inference == "mle":
            return loc.new_zeros(())
        log_prob = self.mixture_weights.log_prob() + self.precisions.log_prob().sum()
        log_prob = log_prob + self._centres_log_prob(loc, centre_scale).sum()
        return log_prob + self.mixture_weights.concentration_log_prob() if self.inference == "map-dp" else log_prob

    def empirical_bayes_loss(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        """``-1/B sum_n sum_k r_nk l_nk - hyper_log_prob / M`` at ``z [B, D]``: section 4, a scalar."""
        loc, centre_scale = self.centre_posterior()
        log_joint = self.mixture_weights.log_weights() + self._fitted_component_log_prob(z, loc, centre_scale)
        responsibilities = log_joint.softmax(-1)
        if self.responsibility_gradient == "stopped":
            responsibilities = responsibilities.detach()
        fit = (responsibilities * log_joint).sum(-1).mean()
        return -fit - self._hyper_log_prob(loc, centre_scale) / self.prior_weight

    def declare(self, centres: Centres = "drawn") -> GaussianMixtureDistribution:
        """Sites ``concentration``, ``sticks`` (or ``weights``), and in the plate ``components`` ``centres`` and ``precisions``.

        Parameters
        ----------
        centres
            ``"drawn"``: ``centres`` is drawn from ``Normal(0, I)``. ``"encoded"``: the prior's own means stand in for it, as
            an observation, and their scale, where they have one, is integrated out.

        Returns
        -------
        GaussianMixture
            Of batch shape ``()``, or ``[..., 1]`` inside plates of the caller's.
        """
        log_weights = self.mixture_weights.declare()
        loc, centre_scale = (None, None) if centres == "drawn" else self.centre_posterior()
        # Not of log_weights: pyro.render_model would take the centres to depend on them.
        origin = self.precisions.log_diagonal.new_zeros(self.latent_dim)
        with pyro.plate("components", self.num_components):
            drawn = pyro.sample("centres", dist.Normal(origin, 1.0).to_event(1), obs=loc)
            precision_cholesky = self.precisions.declare()
        return self._marginal(
            log_weights, _before_components(precision_cholesky, 3), _before_components(drawn, 2), centre_scale
        )

    def site_values(self) -> dict[str, Tensor]:
        """Present values of the sites of :meth:`declare`; the centres at their means."""
        values = self.mixture_weights.site_values() | {"centres": self.centres} | self.precisions.site_values()
        return {name: value.detach() for name, value in values.items()}

    @property
    def weights(self) -> Float[Tensor, "K"]:
        """``pi``, ``[K]``."""
        return self.mixture_weights.log_weights().exp()

    @property
    def centres(self) -> Float[Tensor, "K D"]:
        """``m_k``, ``[K, D]``."""
        return self.centre_posterior()[0]

    @property
    def covariances(self) -> Float[Tensor, "K D D"]:
        """``Lambda_k^-1 + S_k S_k^T``, ``[K, D, D]``."""
        return self.distribution().covariance_matrix


def _before_components(values: Tensor, dims: int) -> Tensor:
    """``[..., 1, K, ...]`` of ``[..., K, ...]``, if plates of the caller's stand before the ``dims`` last ones.

    The plate ``components`` and that of the observations are both the last: the observations' takes the place of the 1.
    """
    return values.unsqueeze(-dims - 1) if values.ndim > dims else values
