"""Grey pixels."""

from typing import ClassVar

import pyro.distributions as dist
from torch import Tensor

from pyro_vmm.likelihoods.base import Likelihood
from pyro_vmm.shapes import Float


class ContinuousBernoulli(Likelihood):
    """``x_f ~ ContinuousBernoulli(output_f)`` on [0, 1], independent over features (Loaiza-Ganem & Cunningham 2019)."""

    data_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def forward(self, outputs: Float[Tensor, "*batch F"], **covariates: Tensor) -> dist.Independent:
        """Logits ``[..., F]`` to a distribution of event shape ``(F,)``."""
        return dist.ContinuousBernoulli(logits=outputs, validate_args=False).to_event(1)
