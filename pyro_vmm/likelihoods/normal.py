"""Real-valued features with one learned scale."""

import math

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_vmm.errors import UserError
from pyro_vmm.likelihoods.base import Likelihood
from pyro_vmm.option_checks import check_positive
from pyro_vmm.shapes import Float


class Normal(Likelihood):
    """``x_f ~ Normal(output_f, scale^2)`` with one scale for all features, learned with the decoder.

    Parameters
    ----------
    initial_scale
        Where the scale starts, in the data's units.
    minimum_scale
        The scale never falls below this: a decoder that copies its input would otherwise send the density to infinity.

    Raises
    ------
    UserError
        Unless ``0 < minimum_scale < initial_scale``.
    """

    def __init__(self, initial_scale: float = 1.0, minimum_scale: float = 1e-3) -> None:
        super().__init__()
        initial_scale = check_positive(initial_scale, "initial_scale", "standard deviation")
        minimum_scale = check_positive(minimum_scale, "minimum_scale", "standard deviation")
        if not minimum_scale < initial_scale:
            raise UserError(
                f"initial_scale {initial_scale} and minimum_scale {minimum_scale}: the first must exceed the second."
            )
        self.minimum_scale = minimum_scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(initial_scale - minimum_scale)))

    @property
    def scale(self) -> Float[Tensor, ""]:
        """The standard deviation, a scalar in the data's units."""
        return self.minimum_scale + self.log_scale.exp()

    def forward(self, outputs: Float[Tensor, "*batch F"], **covariates: Tensor) -> dist.Independent:
        """Means ``[..., F]`` to a distribution of event shape ``(F,)``."""
        return dist.Normal(outputs, self.scale, validate_args=False).to_event(1)
