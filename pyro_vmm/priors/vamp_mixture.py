"""The VampPrior mixture: a Dirichlet-process Gaussian mixture whose centres are encoded pseudo-inputs."""

from typing import Any, Literal

from torch import Tensor

from pyro_vmm.errors import Option, UserError
from pyro_vmm.priors.encoded_centres import CentreEncoder, EncodedCentres
from pyro_vmm.priors.mixture import MixturePrior
from pyro_vmm.priors.pseudo_inputs import PseudoInputs
from pyro_vmm.shapes import Float

CentreUncertainty = Literal["none", "integrated", "expected"]


class VampMixture(MixturePrior):
    """``p(z) = sum_k pi_k Normal(z; m(u_k), Lambda_k^-1)``, centres encoded (after Stirn & Knowles 2024), the default prior.

    Parameters
    ----------
    latent_dim
        ``D``.
    guide
        The amortised guide whose encoder gives ``q(mu_k) = q(z | x = u_k, s = t_k)``. It is referred to, not owned:
        its weights are no parameters of the prior.
    pseudo_inputs
        ``u`` and ``t``; or a tensor ``[K, F]`` to start free ones from, usually ``K`` observations.
    centre_uncertainty
        What becomes of the scale ``S(u_k)`` of ``q(mu_k)``. ``"none"``: centres are points, ``m(u_k)``, as weights and precisions
        are. ``"expected"`` is the paper's: ``S S^T`` is added to the covariance in the ELBO's ``p(z)`` (centres integrated
        out), and the empirical-Bayes step fits ``E_{q(mu_k)}[log Normal(z; mu_k, Lambda_k^-1)]``. ``"integrated"``: the
        empirical-Bayes step fits the ELBO's own ``p(z)``, centres integrated out.
    **options
        Those of :class:`~pyro_vmm.priors.mixture.MixturePrior`.

    Raises
    ------
    UserError
        For an unknown ``centre_uncertainty``.

    Notes
    -----
    ``"expected"`` counts the uncertainty of a code three times. At its optimum ``Lambda_k^-1`` is the scatter of the component's
    samples of ``z`` about ``m(u_k)``, which has the codes' variance in it, plus ``S S^T``; the ELBO's density adds ``S S^T``
    again. In a dimension that tells nothing of ``x`` there is no other scatter: the prior has three times the variance of
    the codes, the codes widen to meet it, and so on, held by the hyper-prior alone. The latent space inflates while it is trained,
    and groups that the encoder parts well end in one component (benchmarks/README.md, "Uncertainty of the centres").
    """

    def __init__(
        self,
        latent_dim: int,
        guide: CentreEncoder,
        pseudo_inputs: PseudoInputs | Float[Tensor, "K F"],
        *,
        centre_uncertainty: CentreUncertainty = "none",
        **options: Any,
    ) -> None:
        if centre_uncertainty not in ("none", "integrated", "expected"):
            raise UserError(
                "is not known: choose 'none', 'integrated' or 'expected'.",
                option=Option("centre_uncertainty", centre_uncertainty),
            )
        centres = EncodedCentres(guide, pseudo_inputs)
        super().__init__(latent_dim, centres.num_components, **options)
        self.centre_uncertainty = centre_uncertainty
        self.encoded_centres = centres

    def centre_posterior(self) -> tuple[Float[Tensor, "K D"], Float[Tensor, "K D D"] | None]:
        """``m(u_k) [K, D]`` and ``S(u_k) [K, D, D]`` (``None`` where centres are points), from the encoder in evaluation mode."""
        loc, scale_tril = self.encoded_centres()
        return loc, None if self.centre_uncertainty == "none" else scale_tril

    def _fitted_component_log_prob(self, z: Tensor, loc: Tensor, centre_scale: Tensor | None) -> Tensor:
        if self.centre_uncertainty == "integrated":
            weights = self.mixture_weights.log_weights()
            return self._marginal(weights, self.precisions.cholesky(), loc, centre_scale).component_log_prob(z)
        return super()._fitted_component_log_prob(z, loc, centre_scale)
