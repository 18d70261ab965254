"""Learnable points of the data space, from which VampPrior centres are encoded."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_vmm.errors import UserError
from pyro_vmm.option_checks import is_number
from pyro_vmm.plain_values import plain
from pyro_vmm.shapes import Float

Domain = Literal["free", "positive"] | tuple[float, float]


class PseudoInputs(nn.Module):
    """``K`` pseudo-inputs ``u_k`` in the data space, and ``t_k`` on the simplex of each categorical covariate.

    Parameters
    ----------
    initial
        ``[K, F]``: usually ``K`` observations.
    domain
        ``"free"``; ``"positive"`` (through softplus, for counts); or ``(low, high)``, the data's own range.
    covariates
        Number of categories of each covariate by name; its ``t_k`` (``[K, categories]``) starts uniform.
    continuous
        Number of columns of each covariate of numbers by name; its ``t_k`` (``[K, columns]``) is free and starts at 0,
        the mean of a standardised covariate.

    Raises
    ------
    UserError
        For an unknown domain or starting values outside it.
    """

    def __init__(
        self,
        initial: Float[Tensor, "K F"],
        *,
        domain: Domain = "free",
        covariates: dict[str, int] | None = None,
        continuous: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.domain: Domain = plain(domain)
        low, high = self._bounds()
        if initial.numel() and not initial.is_meta and (initial.min() < low or initial.max() > high):
            raise UserError(
                f"Pseudo-inputs start between {float(initial.min()):.4g} and {float(initial.max()):.4g}, outside their "
                f"domain {domain!r}: give a domain that holds the data."
            )
        self.unconstrained = nn.Parameter(self._unconstrain(initial.detach().clone()))
        self.covariate_logits = nn.ParameterDict(
            {name: nn.Parameter(initial.new_zeros(len(initial), size)) for name, size in (covariates or {}).items()}
        )
        self.continuous = nn.ParameterDict(
            {name: nn.Parameter(initial.new_zeros(len(initial), size)) for name, size in (continuous or {}).items()}
        )

    def _bounds(self) -> tuple[float, float]:
        if self.domain == "free":
            return -torch.inf, torch.inf
        if self.domain == "positive":
            return 0.0, torch.inf
        pair = self.domain if isinstance(self.domain, tuple | list) and len(self.domain) == 2 else (math.nan, math.nan)
        if not (all(map(is_number, pair)) and -math.inf < pair[0] < pair[1] < math.inf):
            raise UserError(f"domain={self.domain!r} is not known: choose 'free', 'positive' or a pair (low, high).")
        return float(pair[0]), float(pair[1])

    def _unconstrain(self, value: Tensor) -> Tensor:
        if self.domain == "free":
            return value
        if self.domain == "positive":
            # Observed zeros would sit at minus infinity. They start at a hundredth of a count, which can move: a tenth in
            # each of 2,000 genes would outweigh the counts of a cell that has few.
            value = value.clamp_min(0.01)
            return value + torch.log(-torch.expm1(-value))
        low, high = self._bounds()
        # Pixels often sit exactly on the edge, where a logit has no gradient: start them a little inside.
        return torch.logit(((value - low) / (high - low)).clamp(0.02, 0.98))

    def forward(self) -> tuple[Float[Tensor, "K F"], dict[str, Float[Tensor, "K _"]]]:
        """``u [K, F]`` and the covariates ``t`` by name, ``[K, categories]`` or ``[K, columns]`` each."""
        if self.domain == "free":
            inputs: Tensor = self.unconstrained
        elif self.domain == "positive":
            inputs = softplus(self.unconstrained)
        else:
            low, high = self._bounds()
            inputs = low + (high - low) * self.unconstrained.sigmoid()
        places = {name: logits.softmax(-1) for name, logits in self.covariate_logits.items()}
        return inputs, places | dict(self.continuous.items())
