"""What a likelihood is: the step from a decoder's outputs to a distribution over one observation."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from pyro_vmm.shapes import Float


class Likelihood(nn.Module, ABC):
    """``p(x | decoder outputs)`` over observations of ``F`` features.

    To write one's own: say how many decoder outputs a feature needs and which values the data may take, and return a
    Pyro distribution. Parameters of its own (a scale, say) are ordinary ``nn.Parameter``; they are fitted by the ELBO.
    ``pyro_vmm.testing.LikelihoodContract`` is a test suite that any likelihood can inherit.

    Notes
    -----
    Those of this package have finite log-probabilities and gradients in float32 for decoder outputs within 30 of 0, own
    parameters within 5 of 0, real data up to 1e6 in size and counts up to 1e5; for outputs within 10 and parameters
    within 2, float32 is float64 to 1e-3 nats and 1e-4 relative.
    """

    outputs_per_feature: ClassVar[int] = 1
    """The decoder gives ``outputs_per_feature * F`` numbers per observation."""

    data_range: ClassVar[tuple[float, float]] = (-torch.inf, torch.inf)
    """Least and greatest value that an observation may hold."""

    whole_numbers: ClassVar[bool] = False
    """Whether an observation holds whole numbers only: raw counts."""

    encoder_sees: ClassVar[Literal["data", "log1p"]] = "data"
    """What the facades hand to the encoder: the observation ``x`` itself, or ``log(1 + x)``, as fits counts."""

    @abstractmethod
    def forward(self, outputs: Float[Tensor, "*batch outputs"], **covariates: Tensor) -> TorchDistributionMixin:
        """From decoder outputs ``[..., outputs_per_feature * F]`` to a distribution of event shape ``(F,)``."""
