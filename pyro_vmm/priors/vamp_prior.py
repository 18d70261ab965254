"""The VampPrior of Tomczak & Welling."""

import math

from torch import Tensor

from pyro_vmm.distributions import GaussianMixture as GaussianMixtureDistribution
from pyro_vmm.priors.base import FittedBy, Prior
from pyro_vmm.priors.encoded_centres import CentreEncoder, EncodedCentres
from pyro_vmm.priors.pseudo_inputs import PseudoInputs
from pyro_vmm.shapes import Float


class VampPrior(Prior):
    """``p(z) = 1/K sum_k q(z | x = u_k)`` (Tomczak & Welling 2018), pseudo-inputs fitted in the ELBO itself.

    Parameters
    ----------
    latent_dim
        ``D``.
    guide
        The amortised guide; referred to, not owned.
    pseudo_inputs
        ``u`` and ``t``, or a tensor ``[K, F]`` to start free ones from.
    """

    fitted_by: FittedBy = "elbo"

    def __init__(
        self, latent_dim: int, guide: CentreEncoder, pseudo_inputs: PseudoInputs | Float[Tensor, "K F"]
    ) -> None:
        centres = EncodedCentres(guide, pseudo_inputs)
        super().__init__(latent_dim, centres.num_components)
        self.encoded_centres = centres

    def distribution(self) -> GaussianMixtureDistribution:
        """The mixture of posteriors at the pseudo-inputs, equally weighted."""
        loc, scale_tril = self.encoded_centres()
        log_weights = loc.new_full((self.num_components,), -math.log(self.num_components))
        return GaussianMixtureDistribution(log_weights, loc, scale_tril=scale_tril, validate_args=False)

    def responsibilities(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch K"]:
        """``softmax_k log q(z | u_k)``, ``[..., K]``."""
        return self.distribution().responsibilities(z)

    @property
    def weights(self) -> Float[Tensor, "K"]:
        """``1/K`` each, ``[K]``."""
        return self.distribution().log_weights.exp()

    @property
    def centres(self) -> Float[Tensor, "K D"]:
        """``m(u_k)``, ``[K, D]``."""
        return self.encoded_centres()[0]

    @property
    def covariances(self) -> Float[Tensor, "K D D"]:
        """``S(u_k) S(u_k)^T``, ``[K, D, D]``."""
        return self.distribution().covariance_matrix
