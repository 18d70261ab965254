"""The usual prior of a variational autoencoder."""

import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vmm.priors.base import Prior
from pyro_vmm.shapes import Float


class StandardNormal(Prior):
    """``p(z) = Normal(z; 0, I_D)``: one component, nothing to fit, a closed-form KL.

    When not to use: to find clusters. It has one.
    """

    zero: Tensor
    identity: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.register_buffer("zero", torch.zeros(latent_dim))
        self.register_buffer("identity", torch.eye(latent_dim))

    def distribution(self) -> dist.MultivariateNormal:
        """``Normal(0, I_D)``, whose KL from a Gaussian guide Pyro knows in closed form."""
        return dist.MultivariateNormal(self.zero, scale_tril=self.identity, validate_args=False)

    def log_prob(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
        """``log p(z)`` of ``[..., D]``, as ``[...]``."""
        return dist.Normal(self.zero, 1.0, validate_args=False).log_prob(z).sum(-1)

    def responsibilities(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch K"]:
        """One for the only component: ``[..., 1]``."""
        return torch.ones_like(z[..., :1])

    @property
    def weights(self) -> Float[Tensor, "K"]:
        """``[1]``."""
        return torch.ones_like(self.zero[:1])

    @property
    def centres(self) -> Float[Tensor, "K D"]:
        """``[1, D]`` zeros."""
        return self.zero.unsqueeze(0)

    @property
    def covariances(self) -> Float[Tensor, "K D D"]:
        """``[1, D, D]``, the identity."""
        return self.identity.unsqueeze(0)
