"""A full-covariance Gaussian that remembers the noise of its latest draw."""

import math
from typing import Any

import torch
from pyro.distributions import MultivariateNormal
from torch import Size, Tensor

from pyro_vmm.shapes import Float


class TriangularNormal(MultivariateNormal):
    """``Normal(loc, scale_tril scale_tril^T)`` whose density at its own latest ``rsample`` needs no triangular solve.

    A draw is ``z = loc + scale_tril noise``, so its log-density is ``-|noise|^2 / 2 - log det scale_tril - D/2 log 2 pi``
    exactly. Solving for the noise instead multiplies rounding errors along the triangle: a posterior with nearly
    deterministic directions (diagonal 1e-4, entries of 5 below it, as training on images meets) overflows float32. The
    noise of any other value is solved for in float64.

    ``log_prob`` has the right gradients by ``loc`` and ``scale_tril`` at every value: the total ones, through ``z`` as
    well, at a draw of ``rsample`` that carries its graph; those with the value held fixed at a draw of ``sample``, at a
    detached draw and at any other value. The gradient by the value itself is right where the value is a leaf, such as
    ``sample().requires_grad_()``.

    When not to use: for the derivative by a draw of ``rsample`` itself. Evaluate the density at ``z.detach().requires_grad_()``.

    Parameters
    ----------
    loc
        ``[..., D]``.
    scale_tril
        ``[..., D, D]``, lower triangular with a positive diagonal.
    """

    _latest: tuple[Tensor, Tensor, tuple[int, ...]] | None = None

    def rsample(self, sample_shape: Any = Size()) -> Float[Tensor, "... D"]:
        """Draw ``sample_shape + batch_shape + [D]``, differentiable in the parameters."""
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        value = self.loc + (self._unbroadcasted_scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
        versions = self._versions(value)
        self._latest = None if versions is None else (value, noise, versions)
        return value

    def _versions(self, value: Tensor) -> tuple[int, ...] | None:
        """Numbers that grow when a value or the parameters are changed in place; none for tensors of inference mode."""
        tensors = (value, self.loc, self._unbroadcasted_scale_tril)
        if any(tensor.is_inference() for tensor in tensors):
            return None
        return tuple(tensor._version for tensor in tensors)

    def _noise(self, value: Tensor) -> Tensor:
        """``scale_tril^-1 (value - loc)``, remembered where that has the right gradient."""
        if self._latest is not None and value is self._latest[0] and self._versions(value) == self._latest[2]:
            tensors = (value, self.loc, self._unbroadcasted_scale_tril)
            wanted = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
            # A draw without a graph (``sample``) is a constant: its noise is then a function of it and of the parameters.
            if value.grad_fn is not None or not wanted:
                return self._latest[1]
        offset = (value - self.loc).double().unsqueeze(-1)
        factor = self._unbroadcasted_scale_tril.double()
        return torch.linalg.solve_triangular(factor, offset, upper=False).squeeze(-1)

    def log_prob(self, value: Float[Tensor, "*#batch D"]) -> Float[Tensor, "*batch"]:
        """Log-density of ``[..., D]``, as ``[...]``, broadcast over the batch."""
        noise = self._noise(value)
        log_det = self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_normaliser = 0.5 * self.loc.shape[-1] * math.log(2.0 * math.pi) + log_det
        return (-0.5 * noise.square().sum(-1)).to(self.loc.dtype) - log_normaliser
