"""Limits within which the priors' parameters stay finite by construction."""

import math

from pyro_vmm.distributions.bounded import bounded, inverse_bounded

__all__ = ["bounded", "inverse_bounded"]

LOG_CONCENTRATION_LIMIT = math.log(1e4)
"""The concentration stays within 1e-4 .. 1e4."""

LOGIT_LIMIT = 20.0
"""Logits of weights and of sticks stay within -20 .. 20: a dead component keeps a weight of at least e^-40 / K."""

LOG_PRECISION_SCALE_LIMIT = math.log(1e4)
"""The diagonal of a precision's Cholesky factor stays within 1e-4 .. 1e4 (standard deviations likewise)."""
