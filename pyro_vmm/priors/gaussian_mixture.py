"""A Gaussian mixture with free centres."""

from typing import Any

import torch
from torch import Tensor, nn

from pyro_vmm.errors import UserError
from pyro_vmm.priors.mixture import MixturePrior
from pyro_vmm.shapes import Float


class GaussianMixture(MixturePrior):
    """``p(z) = sum_k pi_k Normal(z; mu_k, Lambda_k^-1)`` with free ``mu_k``, fitted by empirical Bayes (DP-GMM).

    Parameters
    ----------
    latent_dim, num_components
        ``D`` and ``K``.
    centres
        Starting centres ``[K, D]``; drawn from ``Normal(0, I)`` when absent.
    **options
        Those of :class:`~pyro_vmm.priors.mixture.MixturePrior`.
    """

    def __init__(
        self, latent_dim: int, num_components: int = 100, *, centres: Float[Tensor, "K D"] | None = None, **options: Any
    ) -> None:
        super().__init__(latent_dim, num_components, **options)
        if centres is None:
            centres = torch.randn(num_components, latent_dim)
        if centres.shape != (num_components, latent_dim):
            raise UserError(
                f"centres has shape {tuple(centres.shape)}: it must be [num_components, latent_dim] = "
                f"{(num_components, latent_dim)}."
            )
        self.loc = nn.Parameter(centres.detach().clone())

    def centre_posterior(self) -> tuple[Float[Tensor, "K D"], None]:
        """Points: ``mu_k [K, D]`` and no scale."""
        return self.loc, None
