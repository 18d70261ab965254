"""Poisson distribution of counts, accurate where counts are large."""

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all

from pyro_vmm.distributions.count_log_prob import ValueAndPartials, count_log_prob
from pyro_vmm.distributions.gamma_remainders import HALF_LOG_TWO_PI, excess_over_log1p, stirling_remainder
from pyro_vmm.distributions.transforms import inside_transform
from pyro_vmm.shapes import Float, Real

# torch.poisson counts in 32 bits on CUDA.
_LARGEST_EXACT_RATE = 2.0**30


def sample_poisson(rate: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Draw Poisson counts without overflow.

    Parameters
    ----------
    rate
        Any shape, floating, non-negative and finite.

    Returns
    -------
    Tensor
        Counts of the rate's shape and dtype. Rates above 2^30 use the normal approximation, whose skewness (0
        instead of ``rate^-1/2``) is wrong by less than 4e-5.
    """
    counts = torch.poisson(rate.clamp(max=_LARGEST_EXACT_RATE))
    large = rate > _LARGEST_EXACT_RATE
    if inside_transform() or large.any():
        counts = torch.where(large, torch.round(rate + torch.sqrt(rate) * torch.randn_like(rate)), counts)
    return counts


class PoissonFormula:
    """Log-probability of the Poisson distribution and its derivative in its mean."""

    compiled = None  # little is left to compile: a zero costs one negation

    def at_common_zero(self, *parameters: Tensor, with_partials: bool) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """See :class:`CountFormula`; no zero is doubtful."""
        log_prob, partials = self.at_doubtful_zero(*parameters, with_partials=with_partials)
        return log_prob, partials, torch.zeros_like(log_prob, dtype=torch.bool)

    def at_doubtful_zero(self, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """See :class:`CountFormula`."""
        (mean,) = parameters
        return -mean, (torch.full_like(mean, -1.0),) if with_partials else ()

    def at_one(self, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """See :class:`CountFormula`."""
        (mean,) = parameters
        return torch.log(mean) - mean, ((1.0 - mean) / mean,) if with_partials else ()

    def above_one(self, count: Tensor, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """See :class:`CountFormula`: Loader's saddle-point form, a sum of terms which do not cancel."""
        (mean,) = parameters
        deviance = excess_over_log1p((mean - count) / count, torch.log(mean / count))
        log_prob = -stirling_remainder(count) - count * deviance - 0.5 * torch.log(count) - HALF_LOG_TWO_PI
        return log_prob, ((count - mean) / mean,) if with_partials else ()

    def differentiable_partials(self, count: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        """See :class:`CountFormula`."""
        (mean,) = parameters
        return ((count - mean) / mean,)


_FORMULA = PoissonFormula()


class Poisson(TorchDistribution):
    r"""Poisson distribution of counts, ``p(x) = mean^x exp(-mean) / x!``.

    The batch shape is the mean's shape.

    Parameters
    ----------
    mean
        Expected count, any shape, non-negative. At exactly 0 only the count 0 is possible.
    validate_args
        Check parameters and counts; by default as Pyro and PyTorch are set.

    Notes
    -----
    Accuracy, for mean 1e-10..1e6 and counts 0..1e5: log-probability and gradient are those of the given (rounded) mean
    to 1e-5 relative in float32 (1e-7 measured) and to 1e-12 in float64. (PyTorch's own is 1 % off in float32 at
    count = mean = 1e5.) Log-gamma is evaluated at the non-zero counts only. Counts get no gradient.

    References
    ----------
    .. [1] C. Loader, "Fast and accurate computation of binomial probabilities", 2000.
    """

    arg_constraints = {"mean": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, mean: Tensor | float, validate_args: bool | None = None) -> None:
        (self._mean,) = broadcast_all(mean)
        super().__init__(self._mean.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Expected count, of batch shape."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """Variance, equal to the mean, of batch shape."""
        return self._mean

    def expand(self, batch_shape: torch.Size | tuple[int, ...], _instance: "Poisson | None" = None) -> "Poisson":
        """Return this distribution with its batch shape broadcast to ``batch_shape``."""
        new: Poisson = self._get_checked_instance(Poisson, _instance)
        batch_shape = torch.Size(batch_shape)
        new._mean = self._mean.expand(batch_shape)
        super(Poisson, new).__init__(batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: Real[Tensor, "*#shape"]) -> Float[Tensor, "*shape"]:
        """Log-probability of counts ``value``, broadcast over ``sample_shape + batch_shape``."""
        if self._validate_args:
            self._validate_sample(value)
        return count_log_prob(_FORMULA, value, self._mean)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw counts of shape ``sample_shape + batch_shape``."""
        with torch.no_grad():
            return sample_poisson(self._mean.expand(self._extended_shape(sample_shape)))
