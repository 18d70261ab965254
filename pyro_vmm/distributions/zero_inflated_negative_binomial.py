"""Negative binomial distribution of counts with an extra probability of zero (dropout)."""

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid

from pyro_vmm.distributions.compiled_pass import compiled_negative_binomial
from pyro_vmm.distributions.count_log_prob import ValueAndPartials, count_log_prob
from pyro_vmm.distributions.gamma_remainders import log_growth_beyond_share
from pyro_vmm.distributions.negative_binomial import NegativeBinomial, NegativeBinomialFormula, growth
from pyro_vmm.shapes import Float, Real


class ZeroInflatedNegativeBinomialFormula:
    """Log-probability and its derivatives in (mean, inverse_dispersion, gate_logits)."""

    negative_binomial = NegativeBinomialFormula()
    compiled = staticmethod(compiled_negative_binomial)

    def at_common_zero(self, *parameters: Tensor, with_partials: bool) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """See :class:`CountFormula`: ``log1p(-(1 - p(0)))``, doubtful where the counts alone rarely give a zero."""
        mean, theta, gate_logits = parameters
        log_growth, share, stay = growth(mean, theta)
        base = (theta * log_growth).neg_()
        kept = gate_logits.neg().sigmoid_()
        fewer = torch.expm1(base)
        minus_more = fewer * kept
        log_prob = minus_more.log1p()
        # Above -2 rounding errors grow at most sevenfold in the sums 1 + fewer and 1 + minus_more.
        doubtful = base.lt_(-2.0)
        if not with_partials:
            return log_prob, (), doubtful
        # With p(0) = 1 + minus_more, the counts' share of it is kept (1 + fewer) / p(0), the dropout's sigmoid(g) / p(0).
        minus_inverse = torch.rsub(minus_more, -1.0).reciprocal_()
        by_gate = minus_more.mul_(minus_inverse).mul_(torch.sigmoid(gate_logits))
        minus_from_counts = fewer.add_(1.0).mul_(kept).mul_(minus_inverse)
        by_theta = log_growth_beyond_share(share, log_growth).mul_(minus_from_counts)
        return log_prob, (stay.mul_(minus_from_counts), by_theta, by_gate), doubtful

    def at_doubtful_zero(self, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """See :class:`CountFormula`: the log of ``sigmoid(g) + sigmoid(-g) NB(0)``."""
        mean, theta, gate_logits = parameters
        base, base_partials = self.negative_binomial.at_doubtful_zero(mean, theta, with_partials=with_partials)
        kept = torch.sigmoid(-gate_logits)
        more = -kept * torch.expm1(base)
        log_odds = base - gate_logits
        # log1p(-(1 - p(0))) unless that is near log(0); then log(exp(g) + exp(base)) + log sigmoid(-g), with g < 0.
        log_sum = torch.maximum(base, gate_logits) + torch.log1p(torch.exp(-log_odds.abs()))
        log_prob = torch.where(more < 0.5, torch.log1p(-more), log_sum + logsigmoid(-gate_logits))
        if not with_partials:
            return log_prob, ()
        from_counts = torch.sigmoid(log_odds)
        by_mean, by_theta = base_partials
        return log_prob, (by_mean * from_counts, by_theta * from_counts, more * torch.sigmoid(-log_odds))

    def at_one(self, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """See :class:`CountFormula`: the negative binomial's times the probability of no dropout."""
        *base_parameters, gate_logits = parameters
        base = self.negative_binomial.at_one(*base_parameters, with_partials=with_partials)
        return self._kept(base, gate_logits, with_partials=with_partials)

    def above_one(self, count: Tensor, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """See :class:`CountFormula`: the negative binomial's times the probability of no dropout."""
        *base_parameters, gate_logits = parameters
        base = self.negative_binomial.above_one(count, *base_parameters, with_partials=with_partials)
        return self._kept(base, gate_logits, with_partials=with_partials)

    @staticmethod
    def _kept(base: ValueAndPartials, gate_logits: Tensor, *, with_partials: bool) -> ValueAndPartials:
        log_prob = base[0] + logsigmoid(-gate_logits)
        return log_prob, (*base[1], -torch.sigmoid(gate_logits)) if with_partials else ()

    def differentiable_partials(self, count: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        """See :class:`CountFormula`."""
        mean, theta, gate_logits = parameters
        base_zero = -theta * torch.log1p(mean / theta)
        is_zero = count == 0.0
        from_counts = torch.where(is_zero, torch.sigmoid(base_zero - gate_logits), 1.0)
        by_gate_zero = -torch.sigmoid(-gate_logits) * torch.expm1(base_zero) * torch.sigmoid(gate_logits - base_zero)
        by_mean, by_theta = self.negative_binomial.differentiable_partials(count, mean, theta)
        by_gate = torch.where(is_zero, by_gate_zero, -torch.sigmoid(gate_logits))
        return by_mean * from_counts, by_theta * from_counts, by_gate


_FORMULA = ZeroInflatedNegativeBinomialFormula()


class ZeroInflatedNegativeBinomial(TorchDistribution):
    r"""Negative binomial of counts with dropout: some counts are replaced by zero.

    .. math::
        p(x) = \sigma(g)\, [x = 0] + \sigma(-g)\, \mathrm{NB}(x \mid \mu, \theta)

    with ``g`` the logits of the dropout. The batch shape is the broadcast shape of the parameters.

    Parameters
    ----------
    mean
        Expected count of the negative binomial, before dropout; any shape, non-negative. The attribute ``mean`` of the
        distribution is its own expectation, dropout included; this one is ``base_dist.mean``.
    inverse_dispersion
        ``theta`` of the negative binomial, any shape broadcastable with the others, positive and finite.
    gate_logits
        Logits of the probability of dropout, any shape broadcastable with the others, real.
    validate_args
        Check parameters and counts; by default as Pyro and PyTorch are set.

    Notes
    -----
    Accuracy, for mean 1e-10..1e6, inverse dispersion 1e-8..1e8, gate logits -30..30 and counts 0..1e5:
    log-probability and gradients in float32 are those of the given (rounded) parameters to 1e-5 relative (2e-6
    measured), or to float32's smallest subnormal number, 1.4e-45. See :class:`NegativeBinomial` for float64, Apple's
    GPUs, sparsity and higher derivatives.

    When not to use: counts of unique molecules rarely need the extra zeros; compare with :class:`NegativeBinomial`.

    References
    ----------
    .. [1] R. Lopez et al., "Deep generative modeling for single-cell transcriptomics", 2018.
    """

    arg_constraints = {
        "mean": constraints.nonnegative,
        "inverse_dispersion": constraints.positive,
        "gate_logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    base_dist: NegativeBinomial
    gate_logits: Tensor

    def __init__(
        self,
        mean: Tensor | float,
        inverse_dispersion: Tensor | float,
        gate_logits: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        mean, inverse_dispersion, self.gate_logits = broadcast_all(mean, inverse_dispersion, gate_logits)
        # The base checks its own two parameters: torch would look for ours under `mean`, which is the expectation.
        self.base_dist = NegativeBinomial(mean, inverse_dispersion, validate_args=validate_args)
        super().__init__(self.base_dist.batch_shape, validate_args=False)
        self._validate_args = self.base_dist._validate_args
        if self._validate_args and not torch._is_all_true(constraints.real.check(self.gate_logits)):
            raise ValueError("gate_logits of ZeroInflatedNegativeBinomial must be real numbers, but some are NaN")

    @property
    def inverse_dispersion(self) -> Tensor:
        """Inverse dispersion of the negative binomial, of batch shape."""
        return self.base_dist.inverse_dispersion

    @property
    def mean(self) -> Tensor:
        """Expected count, dropout included, of batch shape."""
        return torch.sigmoid(-self.gate_logits) * self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        """Variance ``pi Var_NB + pi (1 - pi) mean_NB^2``, pi the probability of no dropout; of batch shape."""
        kept, dropped = torch.sigmoid(-self.gate_logits), torch.sigmoid(self.gate_logits)
        return kept * (self.base_dist.variance + dropped * self.base_dist.mean.square())

    def expand(
        self, batch_shape: torch.Size | tuple[int, ...], _instance: "ZeroInflatedNegativeBinomial | None" = None
    ) -> "ZeroInflatedNegativeBinomial":
        """Return this distribution with its batch shape broadcast to ``batch_shape``."""
        new: ZeroInflatedNegativeBinomial = self._get_checked_instance(ZeroInflatedNegativeBinomial, _instance)
        batch_shape = torch.Size(batch_shape)
        new.base_dist = self.base_dist.expand(batch_shape)
        new.gate_logits = self.gate_logits.expand(batch_shape)
        super(ZeroInflatedNegativeBinomial, new).__init__(batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: Real[Tensor, "*#shape"]) -> Float[Tensor, "*shape"]:
        """Log-probability of counts ``value``, broadcast over ``sample_shape + batch_shape``."""
        if self._validate_args:
            self._validate_sample(value)
        return count_log_prob(_FORMULA, value, self.base_dist.mean, self.inverse_dispersion, self.gate_logits)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw counts of shape ``sample_shape + batch_shape``: negative binomial ones, some replaced by zero."""
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            dropped = torch.bernoulli(torch.sigmoid(self.gate_logits).expand(shape)).bool()
            return self.base_dist.sample(sample_shape).masked_fill(dropped, 0.0)
