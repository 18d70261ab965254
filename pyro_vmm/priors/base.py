"""What every prior over the latent space answers."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from pyro_vmm.errors import UserError
from pyro_vmm.option_checks import LARGEST_LATENT_DIM, check_whole_number

FittedBy = Literal["nothing", "elbo", "empirical-bayes"]


class Prior(nn.Module, ABC):
    """A prior ``p(z)`` over ``R^D``, seen as ``K`` components.

    To write one's own: say the dimensions, return a distribution, and answer for the components. A prior with
    parameters also says which step of the training fits them (:attr:`fitted_by`); an empirical-Bayes one gives that
    step's objective. ``pyro_vmm.testing.PriorContract`` is a test suite that any prior can inherit.

    Parameters
    ----------
    latent_dim
        ``D``.
    num_components
        ``K``; 1 for a prior without components.
    """

    fitted_by: FittedBy = "nothing"

    def __init__(self, latent_dim: int, num_components: int = 1) -> None:
        super().__init__()
        check_whole_number(latent_dim, "latent_dim", most=LARGEST_LATENT_DIM)
        check_whole_number(num_components, "num_components")
        self.latent_dim, self.num_components = latent_dim, num_components

    @abstractmethod
    def distribution(self) -> TorchDistributionMixin:
        """``p(z)`` as a Pyro distribution with batch shape ``()`` and event shape ``(D,)``, for the ELBO."""

    @abstractmethod
    def responsibilities(self, z: Tensor) -> Tensor:
        """``p(k | z)`` of ``z [..., D]``, as ``[..., K]``; each row sums to one."""

    @property
    @abstractmethod
    def weights(self) -> Tensor:
        """Component weights, ``[K]``."""

    @property
    @abstractmethod
    def centres(self) -> Tensor:
        """Component means, ``[K, D]``."""

    @property
    @abstractmethod
    def covariances(self) -> Tensor:
        """Covariances of the components of ``p(z)``, ``[K, D, D]``."""

    def log_prob(self, z: Tensor) -> Tensor:
        """``log p(z)`` of ``[..., D]``, as ``[...]``."""
        return self.distribution().log_prob(z)

    def sample(self, num_samples: int, component: int | None = None) -> Tensor:
        """Draw ``[num_samples, D]`` from the prior, or from one of its components.

        Raises
        ------
        UserError
            If there is no such component.
        """
        with torch.no_grad():
            if component is not None and not 0 <= component < self.num_components:
                raise UserError(f"component {component} does not exist: choose one of 0 to {self.num_components - 1}.")
            if component is None or self.num_components == 1:
                return self.distribution().sample((num_samples,))
            factor = torch.linalg.cholesky(self.covariances[component])
            noise = torch.randn(num_samples, self.latent_dim, dtype=factor.dtype, device=factor.device)
            return self.centres[component] + noise @ factor.mT

    def empirical_bayes_loss(self, z: Tensor) -> Tensor:
        """Objective of the empirical-Bayes step at latent samples ``z [B, D]``, a scalar to be minimised.

        Raises
        ------
        NotImplementedError
            If nothing of this prior is fitted by empirical Bayes.
        """
        raise NotImplementedError(f"{type(self).__name__} is fitted by {self.fitted_by}, not by empirical Bayes.")

    def declare(self) -> TorchDistributionMixin:
        """Draw this prior's own random parameters in Pyro and return ``p(z)`` given them."""
        return self.distribution()

    def site_values(self) -> dict[str, Tensor]:
        """Present values of the sites of :meth:`declare`: ``pyro.condition(model, prior.site_values())`` fixes them."""
        return {}
