"""Real-valued features with outliers."""

import math

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_vmm.distributions.bounded import bounded, inverse_bounded
from pyro_vmm.errors import UserError
from pyro_vmm.likelihoods.base import Likelihood
from pyro_vmm.option_checks import check_positive
from pyro_vmm.shapes import Float

LOG_EXCESS_LIMIT = math.log(100.0)
"""Degrees of freedom stay within 2.01 .. 102: beyond, the tails are a normal's, and float32's lgamma loses digits."""


class StudentT(Likelihood):
    """``x_f ~ StudentT(degrees_of_freedom, output_f, scale)``: a normal with heavier tails, independent over features.

    One scale and one number of degrees of freedom for all features, both learned with the decoder. There are always more
    than two degrees of freedom, so that the variance is finite.

    Parameters
    ----------
    initial_degrees_of_freedom
        Where they start.
    initial_scale
        Where the scale starts, in the data's units. The standard deviation is larger, by ``sqrt(df / (df - 2))``.
    minimum_scale
        The scale never falls below this: a decoder that copies its input would otherwise send the density to infinity.

    Raises
    ------
    UserError
        Unless ``0 < minimum_scale < initial_scale`` and the degrees of freedom lie between 2.01 and 102.
    """

    def __init__(
        self, initial_degrees_of_freedom: float = 5.0, initial_scale: float = 1.0, minimum_scale: float = 1e-3
    ) -> None:
        super().__init__()
        initial_scale = check_positive(initial_scale, "initial_scale")
        minimum_scale = check_positive(minimum_scale, "minimum_scale")
        initial_degrees_of_freedom = check_positive(initial_degrees_of_freedom, "initial_degrees_of_freedom")
        if not minimum_scale < initial_scale:
            raise UserError(
                f"initial_scale {initial_scale} and minimum_scale {minimum_scale}: the first must exceed the second."
            )
        low, high = 2.0 + math.exp(-LOG_EXCESS_LIMIT), 2.0 + math.exp(LOG_EXCESS_LIMIT)
        if not low < initial_degrees_of_freedom < high:
            raise UserError(
                f"initial_degrees_of_freedom is {initial_degrees_of_freedom}: it must lie between {low:g} and {high:g}."
            )
        self.minimum_scale = minimum_scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(initial_scale - minimum_scale)))
        log_excess = torch.tensor(math.log(initial_degrees_of_freedom - 2.0))
        self.log_excess = nn.Parameter(inverse_bounded(log_excess, LOG_EXCESS_LIMIT))

    @property
    def scale(self) -> Float[Tensor, ""]:
        """The scale, a scalar in the data's units."""
        return self.minimum_scale + self.log_scale.exp()

    @property
    def degrees_of_freedom(self) -> Float[Tensor, ""]:
        """The degrees of freedom, a scalar above 2."""
        return 2.0 + bounded(self.log_excess, LOG_EXCESS_LIMIT).exp()

    def forward(self, outputs: Float[Tensor, "*batch F"], **covariates: Tensor) -> dist.Independent:
        """Centres ``[..., F]`` to a distribution of event shape ``(F,)``."""
        return dist.StudentT(self.degrees_of_freedom, outputs, self.scale, validate_args=False).to_event(1)
