"""A full-covariance Gaussian that remembers the noise of its latest draw."""

import math
from typing import Any

import torch
from pyro.distributions import MultivariateNormal
from torch import Size, Tensor


class TriangularNormal(MultivariateNormal):
    """``Normal(loc, scale_tril scale_tril^T)`` whose density at its own latest draw needs no triangular solve.

    A draw is ``z = loc + scale_tril noise``, so its log-density is ``-|noise|^2 / 2 - log det scale_tril - D/2 log 2 pi``
    exactly. Solving for the noise instead multiplies rounding errors along the triangle: a posterior with nearly
    deterministic directions (diagonal 1e-4 beside entries of 5, as training on images meets) overflows float32. The noise
    of any other value is solved for in float64.

    When not to use: for the derivative of ``log_prob`` by a drawn ``z`` with the parameters held fixed. At the latest draw
    the derivative is the total one, through ``z`` as well, which is what a reparameterised ELBO needs.

    Parameters
    ----------
    loc
        ``[..., D]``.
    scale_tril
        ``[..., D, D]``, lower triangular with a positive diagonal.
    """

    _latest: tuple[Tensor, Tensor] | None = None

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        """Draw ``sample_shape + batch_shape + [D]``, differentiable in the parameters."""
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        value = self.loc + (self._unbroadcasted_scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
        self._latest = (value, noise)
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of ``[..., D]``, as ``[...]``."""
        if self._latest is not None and value is self._latest[0]:
            noise = self._latest[1]
        else:
            offset = (value - self.loc).double().unsqueeze(-1)
            factor = self._unbroadcasted_scale_tril.double()
            noise = torch.linalg.solve_triangular(factor, offset, upper=False).squeeze(-1)
        log_det = self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_normaliser = 0.5 * self.loc.shape[-1] * math.log(2.0 * math.pi) + log_det
        return (-0.5 * noise.square().sum(-1)).to(self.loc.dtype) - log_normaliser
