"""Mixture weights: the truncated stick-breaking Dirichlet process and its finite approximation."""

from abc import ABC, abstractmethod

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from pyro_vmm.errors import Option, UserError
from pyro_vmm.priors.bounded import LOG_CONCENTRATION_LIMIT, LOGIT_LIMIT, bounded, inverse_bounded
from pyro_vmm.shapes import Float


class MixtureWeights(nn.Module, ABC):
    """Weights of ``K`` components, their density given a concentration, and the concentration itself.

    Parameters
    ----------
    num_components
        Truncation ``K``.
    learn_concentration
        Whether the concentration is a parameter (MAP with a Dirichlet process) or stays at 1 (MAP).
    """

    def __init__(self, num_components: int, *, learn_concentration: bool = True) -> None:
        super().__init__()
        self.num_components = num_components
        log_concentration = torch.zeros(())
        if learn_concentration:
            self.log_concentration = nn.Parameter(log_concentration)
        else:
            self.register_buffer("log_concentration", log_concentration)
        self.learn_concentration = learn_concentration

    @property
    def concentration(self) -> Float[Tensor, ""]:
        """The concentration, a positive scalar."""
        return bounded(self.log_concentration, LOG_CONCENTRATION_LIMIT).exp()

    def set_concentration(self, concentration: Float[Tensor, ""] | float) -> None:
        """Set the concentration to a positive number."""
        value = torch.as_tensor(concentration, dtype=self.log_concentration.dtype)
        with torch.no_grad():
            self.log_concentration.copy_(inverse_bounded(value.log(), LOG_CONCENTRATION_LIMIT))

    def concentration_log_prob(self) -> Float[Tensor, ""]:
        """``log Gamma(concentration; 1, 1)``, a scalar."""
        return -self.concentration

    @abstractmethod
    def log_weights(self) -> Float[Tensor, "K"]:
        """Logarithms of the weights, ``[K]``."""

    @abstractmethod
    def log_prob(self) -> Float[Tensor, ""]:
        """``log p(weights | concentration)``, a scalar, in the weights' or the sticks' own coordinates (no Jacobian)."""

    @abstractmethod
    def set_weights(self, weights: Float[Tensor, "K"]) -> None:
        """Set the weights, ``[K]`` numbers that sum to one; a zero becomes the smallest weight there can be."""

    @abstractmethod
    def declare(self) -> Float[Tensor, "*plates K"]:
        """Draw concentration and weights in Pyro; returns the log-weights, ``[K]``; inside plates of the caller ``[..., 1, K]``."""

    @abstractmethod
    def site_values(self) -> dict[str, Tensor]:
        """Present values of the sites of :meth:`declare`, by name."""


class StickBreaking(MixtureWeights):
    """``v_k ~ Beta(1, a)`` for ``k < K``, ``pi_k = v_k prod_{j<k} (1 - v_j)``, ``pi_K`` takes the rest; ``a ~ Gamma(1, 1)``.

    The truncated Dirichlet process (Sethuraman 1994; Ishwaran & James 2001). Sticks are held as bounded logits and
    start so that all weights are equal.
    """

    def __init__(self, num_components: int, *, learn_concentration: bool = True) -> None:
        super().__init__(num_components, learn_concentration=learn_concentration)
        self.stick_logits = nn.Parameter(torch.empty(num_components - 1))
        self.set_weights(torch.full((num_components,), 1.0 / num_components))

    def _bounded_logits(self) -> Tensor:
        return bounded(self.stick_logits, LOGIT_LIMIT)

    @property
    def sticks(self) -> Float[Tensor, "K-1"]:
        """Fractions broken off, ``[K - 1]``, each inside (0, 1)."""
        return self._bounded_logits().sigmoid()

    def log_weights(self) -> Float[Tensor, "K"]:
        """Logarithms of the weights, ``[K]``."""
        logits = self._bounded_logits()
        return _log_weights_of_sticks(logsigmoid(logits), logsigmoid(-logits))

    def log_prob(self) -> Float[Tensor, ""]:
        """``sum_k log Beta(v_k; 1, a)`` in the sticks' coordinates."""
        concentration = self.concentration
        log_rest = logsigmoid(-self._bounded_logits())
        return (self.num_components - 1) * concentration.log() + (concentration - 1.0) * log_rest.sum()

    def set_weights(self, weights: Float[Tensor, "K"]) -> None:
        """Set the weights, ``[K]`` numbers that sum to one; a zero becomes the smallest weight there can be."""
        weights = _positive(weights.to(self.stick_logits))
        left_over = weights.flip(0).cumsum(0).flip(0)[1:]
        with torch.no_grad():
            self.stick_logits.copy_(inverse_bounded(weights[:-1].log() - left_over.log(), LOGIT_LIMIT))

    def declare(self) -> Float[Tensor, "*plates K"]:
        """Sites ``concentration`` (scalar) and ``sticks`` (``[K - 1]``, plate ``breaks``), of which one component has none."""
        one = torch.ones_like(self.log_concentration)
        concentration = pyro.sample("concentration", dist.Gamma(one, one))
        if self.num_components == 1:
            return self.stick_logits.new_zeros(1)
        with pyro.plate("breaks", self.num_components - 1):
            sticks = pyro.sample("sticks", dist.Beta(one, concentration))
        tiny = torch.finfo(sticks.dtype).tiny
        log_weights = _log_weights_of_sticks(sticks.clamp_min(tiny).log(), (1.0 - sticks).clamp_min(tiny).log())
        return log_weights.unsqueeze(-2) if log_weights.ndim > 1 else log_weights

    def site_values(self) -> dict[str, Tensor]:
        """Present concentration and sticks."""
        return {"concentration": self.concentration, "sticks": self.sticks}


class SymmetricDirichlet(MixtureWeights):
    """``pi ~ Dirichlet(1 / (K b), ..., 1 / (K b))``, ``b ~ Gamma(1, 1)``: the Dirichlet process' finite approximation.

    The weights are the softmax of bounded logits; their density is taken without the softmax' Jacobian.
    """

    def __init__(self, num_components: int, *, learn_concentration: bool = True) -> None:
        super().__init__(num_components, learn_concentration=learn_concentration)
        self.logits = nn.Parameter(torch.zeros(num_components))

    def log_weights(self) -> Float[Tensor, "K"]:
        """Logarithms of the weights, ``[K]``."""
        return bounded(self.logits, LOGIT_LIMIT).log_softmax(-1)

    def log_prob(self) -> Float[Tensor, ""]:
        """``log Dirichlet(pi; 1 / (K b))``."""
        share = 1.0 / (self.num_components * self.concentration)
        log_normaliser = torch.lgamma(self.num_components * share) - self.num_components * torch.lgamma(share)
        return log_normaliser + (share - 1.0) * self.log_weights().sum()

    def set_weights(self, weights: Float[Tensor, "K"]) -> None:
        """Set the weights, ``[K]`` numbers that sum to one; a zero becomes the smallest weight there can be."""
        log_weights = _positive(weights.to(self.logits)).log()
        # A vanishing weight must not drag the others' logits to the bound with it.
        log_weights = log_weights.clamp_min(log_weights.max() - 1.5 * LOGIT_LIMIT)
        with torch.no_grad():
            self.logits.copy_(inverse_bounded(log_weights - log_weights.mean(), LOGIT_LIMIT))

    def declare(self) -> Float[Tensor, "*plates K"]:
        """Sites ``concentration`` (scalar) and ``weights`` (``[K]``)."""
        one = torch.ones_like(self.log_concentration)
        concentration = pyro.sample("concentration", dist.Gamma(one, one))
        share = 1.0 / (self.num_components * concentration)
        weights = pyro.sample("weights", dist.Dirichlet(share.unsqueeze(-1).expand(*share.shape, self.num_components)))
        return weights.clamp_min(torch.finfo(weights.dtype).tiny).log()

    def site_values(self) -> dict[str, Tensor]:
        """Present concentration and weights."""
        return {"concentration": self.concentration, "weights": self.log_weights().exp()}


def _positive(weights: Tensor) -> Tensor:
    """Zeros become the smallest positive number, so that a component can be given no weight."""
    return weights.clamp_min(torch.finfo(weights.dtype).tiny)


def _log_weights_of_sticks(log_sticks: Tensor, log_rests: Tensor) -> Tensor:
    """``log v_k + sum_{j<k} log(1 - v_j)`` with ``v_K = 1``; both arguments and the result without and with ``K``."""
    unbroken = nn.functional.pad(log_rests.cumsum(-1), (1, 0))
    return nn.functional.pad(log_sticks, (0, 1)) + unbroken


def make_weights(weights: "str | MixtureWeights", num_components: int, *, learn_concentration: bool) -> MixtureWeights:
    """Return ``weights`` itself, or the class that the name stands for.

    Raises
    ------
    UserError
        For an unknown name, or an object made for another number of components.
    """
    if isinstance(weights, MixtureWeights):
        if weights.num_components != num_components:
            raise UserError(
                f"weights has {weights.num_components} components but the prior has {num_components}: make them equal."
            )
        return weights
    kinds: dict[str, type[MixtureWeights]] = {"stick-breaking": StickBreaking, "dirichlet": SymmetricDirichlet}
    if not isinstance(weights, str) or weights not in kinds:
        raise UserError(
            f"is not known: choose one of {', '.join(map(repr, kinds))}.", option=Option("weights", weights)
        )
    return kinds[weights](num_components, learn_concentration=learn_concentration)
