"""What every prior over the latent space answers."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn
from torch.distributions import MixtureSameFamily

from pyro_vmm.distributions import GaussianMixture
from pyro_vmm.errors import UserError
from pyro_vmm.option_checks import LARGEST_LATENT_DIM, check_whole_number
from pyro_vmm.plain_values import plain
from pyro_vmm.shapes import Float

FittedBy = Literal["nothing", "elbo", "empirical-bayes"]


class Prior(nn.Module, ABC):
    """A prior ``p(z)`` over ``R^D``, seen as ``K`` components.

    To write one's own: say the dimensions, return a distribution, and answer for the components. A prior with
    parameters also says which step of the training fits them (:attr:`fitted_by`); an empirical-Bayes one gives that
    step's objective. One with several components that are no ``GaussianMixture`` or ``MixtureSameFamily`` draws from
    each (:meth:`sample_component`). ``pyro_vmm.testing.PriorContract`` is a test suite that any prior can inherit.

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
        self.latent_dim: int = check_whole_number(latent_dim, "latent_dim", most=LARGEST_LATENT_DIM)
        self.num_components: int = check_whole_number(num_components, "num_components")

    @abstractmethod
    def distribution(self) -> TorchDistributionMixin:
        """``p(z)`` as a Pyro distribution with batch shape ``()`` and event shape ``(D,)``, for the ELBO."""

    @abstractmethod
    def responsibilities(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch K"]:
        """``p(k | z)`` of ``z [..., D]``, as ``[..., K]``; each row sums to one."""

    @property
    @abstractmethod
    def weights(self) -> Float[Tensor, "K"]:
        """Component weights, ``[K]``."""

    @property
    @abstractmethod
    def centres(self) -> Float[Tensor, "K D"]:
        """Component means, ``[K, D]``."""

    @property
    @abstractmethod
    def covariances(self) -> Float[Tensor, "K D D"]:
        """Covariances of the components of ``p(z)``, ``[K, D, D]``."""

    def log_prob(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
        """``log p(z)`` of ``[..., D]``, as ``[...]``."""
        return self.distribution().log_prob(z)

    def sample(self, num_samples: int, component: int | None = None) -> Float[Tensor, "num_samples D"]:
        """Draw ``[num_samples, D]`` from the prior, or from one of its components.

        Raises
        ------
        UserError
            If there is no such number of draws or component, or the prior does not say how one is drawn (:meth:`sample_component`).
        """
        num_samples, component = check_whole_number(num_samples, "num_samples", least=0), plain(component)
        if component is not None and (type(component) is not int or not 0 <= component < self.num_components):
            raise UserError(f"component {component!r} does not exist: choose one of 0 to {self.num_components - 1}.")
        with torch.no_grad():
            # Some distributions (MultivariateStudentT) cannot draw nothing.
            at_least_one = max(num_samples, 1)
            if component is None or self.num_components == 1:
                return self.distribution().sample((at_least_one,))[:num_samples]
            return self.sample_component(at_least_one, component)[:num_samples]

    def sample_component(self, num_samples: int, component: int) -> Float[Tensor, "num_samples D"]:
        """Draw ``[num_samples, D]`` from component ``component`` of several, without gradients.

        To be written where :meth:`distribution` returns neither a :class:`pyro_vmm.distributions.GaussianMixture` nor a
        ``MixtureSameFamily`` of ``K`` components, from which it follows.

        Raises
        ------
        UserError
            If it does not follow and is not written.
        """
        whole = self.distribution()
        if isinstance(whole, MixtureSameFamily) and whole.component_distribution.batch_shape[-1] == self.num_components:
            return whole.component_distribution.sample((num_samples,))[:, component]
        if type(whole) is not GaussianMixture:
            raise UserError(
                f"{type(self).__name__} does not say how one component is drawn: write the method "
                "sample_component(num_samples, component), which returns draws [num_samples, D], or return a "
                "MixtureSameFamily from distribution()."
            )
        factor = torch.linalg.cholesky(whole.covariance_matrix[component])
        noise = torch.randn(num_samples, self.latent_dim, dtype=factor.dtype, device=factor.device)
        return whole.loc[component] + noise @ factor.mT

    def empirical_bayes_loss(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
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
