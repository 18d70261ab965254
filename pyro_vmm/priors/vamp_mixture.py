"""The VampPrior mixture: a Dirichlet-process Gaussian mixture whose centres are encoded pseudo-inputs."""

from typing import Any

from torch import Tensor

from pyro_vmm.priors.encoded_centres import CentreEncoder, EncodedCentres
from pyro_vmm.priors.mixture import MixturePrior
from pyro_vmm.priors.pseudo_inputs import PseudoInputs


class VampMixture(MixturePrior):
    """``p(z) = sum_k pi_k Normal(z; m(u_k), Lambda_k^-1 + S(u_k) S(u_k)^T)`` (Stirn & Knowles 2024), the default prior.

    Parameters
    ----------
    latent_dim
        ``D``.
    guide
        The amortised guide whose encoder gives ``q(mu_k) = q(z | x = u_k, s = t_k)``. It is referred to, not owned:
        its weights are no parameters of the prior.
    pseudo_inputs
        ``u`` and ``t``; or a tensor ``[K, F]`` to start free ones from, usually ``K`` observations.
    **options
        Those of :class:`~pyro_vmm.priors.mixture.MixturePrior`.
    """

    def __init__(
        self, latent_dim: int, guide: CentreEncoder, pseudo_inputs: PseudoInputs | Tensor, **options: Any
    ) -> None:
        centres = EncodedCentres(guide, pseudo_inputs)
        super().__init__(latent_dim, centres.num_components, **options)
        self.encoded_centres = centres

    def centre_posterior(self) -> tuple[Tensor, Tensor]:
        """``m(u_k) [K, D]`` and ``S(u_k) [K, D, D]``, from the encoder in evaluation mode."""
        return self.encoded_centres()
