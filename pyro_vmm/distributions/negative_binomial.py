"""Negative binomial distribution of counts, given by its mean and its inverse dispersion."""

import math
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Gamma, constraints
from torch.distributions.utils import broadcast_all

from pyro_vmm.distributions.compiled_pass import compiled_negative_binomial
from pyro_vmm.distributions.count_log_prob import ValueAndPartials, count_log_prob
from pyro_vmm.distributions.gamma_remainders import (
    HALF_LOG_TWO_PI,
    digamma_remainder_difference,
    excess_over_log1p,
    log_growth_beyond_share,
    stirling_remainder,
)
from pyro_vmm.distributions.poisson import sample_poisson
from pyro_vmm.shapes import Float, Real

_FEW = 8
_LOG_FACTORIALS = [math.lgamma(count + 1.0) for count in range(_FEW + 1)]


class NegativeBinomialFormula:
    """Log-probability of the negative binomial and its derivatives in (mean, inverse_dispersion)."""

    compiled = staticmethod(compiled_negative_binomial)

    def at_common_zero(self, *parameters: Tensor, with_partials: bool) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """See :class:`CountFormula`; no zero is doubtful."""
        log_prob, partials = self.at_doubtful_zero(*parameters, with_partials=with_partials)
        return log_prob, partials, torch.zeros_like(log_prob, dtype=torch.bool)

    def at_doubtful_zero(self, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """See :class:`CountFormula`: ``-theta log1p(mean / theta)``, every log-gamma term cancels."""
        mean, theta = parameters
        log_growth, share, stay = growth(mean, theta)
        log_prob = (theta * log_growth).neg_()
        if not with_partials:
            return log_prob, ()
        return log_prob, (stay.neg_(), log_growth_beyond_share(share, log_growth).neg_())

    def at_one(self, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """See :class:`CountFormula`: ``log mean - (theta + 1) log1p(mean / theta)``."""
        mean, theta = parameters
        log_growth, share, stay = growth(mean, theta)
        log_prob = torch.log(mean) - (theta + 1.0) * log_growth
        if not with_partials:
            return log_prob, ()
        # digamma(theta + 1) - digamma(theta) = 1 / theta, whose large part cancels against that of (1 - mean) / total.
        by_theta = share / theta - log_growth_beyond_share(share, log_growth)
        return log_prob, ((1.0 - mean) / mean * stay, by_theta)

    def above_one(self, count: Tensor, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """See :class:`CountFormula`."""
        mean, theta = parameters
        many = ((count < 1.0) | (count > _FEW) | (count != count.floor())).nonzero().squeeze(-1)
        if 2 * len(many) > len(count) or count.dtype != torch.float64:
            return self._many(count, mean, theta, with_partials=with_partials)
        value, partials = self._few(
            count.clamp(1, _FEW).floor_().nan_to_num_(1.0), mean, theta, with_partials=with_partials
        )
        if len(many):
            found = self._many(*(given[many] for given in (count, mean, theta)), with_partials=with_partials)
            for whole, part in zip((value, *partials), (found[0], *found[1]), strict=True):
                whole.index_copy_(0, many, part)
        return value, partials

    @staticmethod
    def _few(count: Tensor, mean: Tensor, theta: Tensor, *, with_partials: bool) -> ValueAndPartials:
        """``Gamma(theta + count) / Gamma(theta)`` as the product ``theta (theta + 1) .. (theta + count - 1)``: a third of the cost.

        For whole counts of 1 to ``_FEW`` in double precision, which can afford that terms of a few hundred cancel. The sums
        over ``1 / (theta + i)`` and ``i / (theta + i)`` keep apart what would cancel in the derivative at a large theta.
        """
        log_growth, share, stay = growth(mean, theta)
        last = count - 1.0
        rising, inverses, shares = theta.clone(), theta.reciprocal(), torch.zeros_like(theta)
        for number in range(1, _FEW):
            # Beyond the count its last factor comes again, for all entries to go the same way; it is taken out below.
            step = last.clamp(max=number)
            factor = theta + step
            rising.mul_(factor)
            inverse = factor.reciprocal_()
            inverses.add_(inverse)
            shares.addcmul_(step, inverse)
        again, last_factor = _FEW - count, theta + last
        log_prob = torch.log(rising) - again * torch.log(last_factor) - theta * log_growth
        log_prob += count * torch.log(mean / (theta + mean)) - count.new_tensor(_LOG_FACTORIALS)[count.long()]
        if not with_partials:
            return log_prob, ()
        again /= last_factor
        by_theta = (mean * (inverses - again) - (shares - again * last)) / (theta + mean)
        by_theta -= log_growth_beyond_share(share, log_growth)
        return log_prob, ((count - mean) / mean * stay, by_theta)

    @staticmethod
    def _many(count: Tensor, mean: Tensor, theta: Tensor, *, with_partials: bool) -> ValueAndPartials:
        """Loader's saddle-point form, a sum of terms which do not cancel."""
        total, grown = theta + mean, theta + count
        excess = (count - mean) / total
        deviance = excess_over_log1p(excess, torch.log(grown / total))
        count_excess = -excess * theta / count
        count_deviance = excess_over_log1p(count_excess, torch.log(grown * mean / (count * total)))
        of_grown, of_theta, of_count = stirling_remainder(torch.stack((grown, theta, count)))
        log_prob = of_grown - of_theta - of_count
        log_prob -= theta * deviance + count * count_deviance + HALF_LOG_TWO_PI
        log_prob -= 0.5 * torch.log(count * (grown / theta))
        if not with_partials:
            return log_prob, ()
        by_theta = digamma_remainder_difference(theta, count) - deviance
        return log_prob, (excess * theta / mean, by_theta)

    def differentiable_partials(self, count: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        """See :class:`CountFormula`."""
        mean, theta = parameters
        total = theta + mean
        by_theta = torch.digamma(theta + count) - torch.digamma(theta)
        by_theta = by_theta - torch.log1p(mean / theta) + (mean - count) / total
        return (count - mean) * theta / (mean * total), by_theta


def growth(
    mean: Float[Tensor, "*shape"], theta: Float[Tensor, "*shape"]
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``log1p(mean / theta)``, ``mean / (theta + mean)`` and ``theta / (theta + mean)``, finite where the ratio overflows."""
    ratio = (mean / theta).clamp_(max=torch.finfo(mean.dtype).max)
    stay = (ratio + 1.0).reciprocal_()
    share = stay * ratio
    return ratio.log1p_(), share, stay


_FORMULA = NegativeBinomialFormula()


class NegativeBinomial(TorchDistribution):
    r"""Negative binomial of counts by its mean and inverse dispersion.

    .. math::
        p(x) = \frac{\Gamma(x + \theta)}{\Gamma(\theta)\, x!}
               \left(\frac{\theta}{\theta + \mu}\right)^{\theta} \left(\frac{\mu}{\theta + \mu}\right)^{x},
        \qquad \mathrm{E}[x] = \mu, \quad \mathrm{Var}[x] = \mu + \mu^2 / \theta

    the Poisson distribution of a rate that is itself ``Gamma(theta, theta / mean)``. As ``theta`` grows it tends to
    ``Poisson(mean)``. The batch shape is the broadcast shape of the parameters.

    Parameters
    ----------
    mean
        Expected count, any shape, non-negative. At exactly 0 only the count 0 is possible.
    inverse_dispersion
        ``theta``, any shape broadcastable with ``mean``, positive and finite.
    validate_args
        Check parameters and counts; by default as Pyro and PyTorch are set.

    Notes
    -----
    Accuracy, for mean 1e-10..1e6, inverse dispersion 1e-8..1e8 and counts 0..1e5: in float32, log-probability and
    gradients are those of the given (rounded) parameters to 1e-5 relative (2e-6 measured), also where they pass through
    zero. In float64, log-probability and the gradient by ``mean`` are good to 1e-12; that by ``inverse_dispersion`` to
    1e-12 of the larger of the two positive terms whose difference it is (the count's squared deviation against its
    expectation), which at worst, theta 1e8 and count = (count - mean)^2, leaves 2e-8 of the result. Nothing is added
    to any argument. Apple's GPUs have no float64 to work in: there float32's log-probability is still good to 1e-5,
    and its gradient by ``inverse_dispersion`` to 1e-5 of the larger term only.

    Log-gamma is evaluated at the non-zero counts only. Second and higher derivatives in the parameters work;
    counts get no gradient. ``torch.func.vmap`` and ``grad`` work, for draws with ``randomness="different"``; before torch
    2.7 they need ``validate_args=False``. There is no forward mode: for second derivatives use ``torch.func.jacrev`` twice,
    not ``torch.func.hessian``.

    When not to use: for a success probability rather than a mean, use :class:`pyro.distributions.NegativeBinomial`.

    References
    ----------
    .. [1] C. Loader, "Fast and accurate computation of binomial probabilities", 2000.
    """

    arg_constraints = {"mean": constraints.nonnegative, "inverse_dispersion": constraints.positive}
    support = constraints.nonnegative_integer

    inverse_dispersion: Tensor

    def __init__(
        self, mean: Tensor | float, inverse_dispersion: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self._mean, self.inverse_dispersion = broadcast_all(mean, inverse_dispersion)
        super().__init__(self._mean.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Expected count, of batch shape."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """Variance ``mean + mean^2 / inverse_dispersion``, of batch shape."""
        return self._mean * (1.0 + self._mean / self.inverse_dispersion)

    def expand(
        self, batch_shape: torch.Size | tuple[int, ...], _instance: "NegativeBinomial | None" = None
    ) -> "NegativeBinomial":
        """Return this distribution with its batch shape broadcast to ``batch_shape``."""
        new: NegativeBinomial = self._get_checked_instance(NegativeBinomial, _instance)
        batch_shape = torch.Size(batch_shape)
        new._mean = self._mean.expand(batch_shape)
        new.inverse_dispersion = self.inverse_dispersion.expand(batch_shape)
        super(NegativeBinomial, new).__init__(batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: Real[Tensor, "*#shape"]) -> Float[Tensor, "*shape"]:
        """Log-probability of counts ``value``, broadcast over ``sample_shape + batch_shape``."""
        if self._validate_args:
            self._validate_sample(value)
        return count_log_prob(_FORMULA, value, self._mean, self.inverse_dispersion)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw counts of shape ``sample_shape + batch_shape``: a Poisson draw of a Gamma rate."""
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            theta = self.inverse_dispersion.expand(shape)
            gamma = Gamma(theta, torch.ones_like(theta), validate_args=False).sample()
            return sample_poisson(self._mean * (gamma / theta))
