"""Distributions of precision matrices, full and diagonal, with the bijections that inference algorithms need."""

import math
from typing import Any

import pyro.distributions as dist
import torch
from torch import Size, Tensor
from torch.distributions import ComposeTransform, Transform, biject_to, constraints, transform_to

from pyro_vmm.shapes import Bool, Float

_DRAWS = 10


class PositiveDefinite(type(constraints.positive_definite)):  # type: ignore[misc]
    """torch's constraint, with a bijection from vectors: torch has none, and so no ``NUTS`` or ``AutoNormal``."""


class FromVector(Transform):
    """``[D (D + 1) / 2]`` numbers to ``L L^T``: the logarithms of the diagonal of ``L``, then its rows below the diagonal."""

    domain = constraints.real_vector
    codomain = PositiveDefinite()
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        dim = (math.isqrt(1 + 8 * x.shape[-1]) - 1) // 2
        factor = torch.diag_embed(x[..., :dim].exp())
        rows, columns = torch.tril_indices(dim, dim, offset=-1, device=x.device)
        factor[..., rows, columns] = x[..., dim:]
        product = factor @ factor.mT
        return 0.5 * (product + product.mT)

    def _inverse(self, y: Tensor) -> Tensor:
        factor = torch.linalg.cholesky(y)
        rows, columns = torch.tril_indices(y.shape[-1], y.shape[-1], offset=-1, device=y.device)
        return torch.cat([factor.diagonal(dim1=-2, dim2=-1).log(), factor[..., rows, columns]], -1)

    def log_abs_det_jacobian(
        self, x: Float[Tensor, "*batch P"], y: Float[Tensor, "*batch D D"]
    ) -> Float[Tensor, "*batch"]:
        """Of the map to the entries on and below the diagonal: ``D log 2 + sum_i (D - i + 2) log L_ii``, ``i`` from 1."""
        dim = y.shape[-1]
        powers = torch.arange(dim + 1, 1, -1, dtype=x.dtype, device=x.device)
        return dim * math.log(2.0) + (powers * x[..., :dim]).sum(-1)

    def forward_shape(self, shape: Any) -> Size:
        """From ``[..., D (D + 1) / 2]`` to ``[..., D, D]``."""
        dim = (math.isqrt(1 + 8 * shape[-1]) - 1) // 2
        return Size((*shape[:-1], dim, dim))

    def inverse_shape(self, shape: Any) -> Size:
        """From ``[..., D, D]`` to ``[..., D (D + 1) / 2]``."""
        return Size((*shape[:-2], shape[-1] * (shape[-1] + 1) // 2))


class PositiveDiagonal(constraints.Constraint):
    """Diagonal matrices with a positive diagonal."""

    event_dim = 2

    def check(self, value: Float[Tensor, "*batch D D"]) -> Bool[Tensor, "*batch"]:
        """Whether each ``[D, D]`` of a batch is one."""
        diagonal = value.diagonal(dim1=-2, dim2=-1)
        return (diagonal > 0.0).all(-1) & (value == torch.diag_embed(diagonal)).flatten(-2).all(-1)


class FromDiagonal(Transform):
    """``[D]`` positive numbers to the diagonal matrix ``[D, D]``."""

    domain = constraints.independent(constraints.positive, 1)
    codomain = PositiveDiagonal()
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        return torch.diag_embed(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.diagonal(dim1=-2, dim2=-1)

    def log_abs_det_jacobian(
        self, x: Float[Tensor, "*batch D"], y: Float[Tensor, "*batch D D"]
    ) -> Float[Tensor, "*batch"]:
        """Zero: the numbers stay what they are."""
        return x.new_zeros(x.shape[:-1])

    def forward_shape(self, shape: Any) -> Size:
        """From ``[..., D]`` to ``[..., D, D]``."""
        return Size((*shape, shape[-1]))

    def inverse_shape(self, shape: Any) -> Size:
        """From ``[..., D, D]`` to ``[..., D]``."""
        return Size(shape[:-1])


for _registry in (biject_to, transform_to):
    _registry.register(PositiveDefinite, lambda constraint: FromVector())
    _registry.register(
        PositiveDiagonal, lambda constraint: ComposeTransform([biject_to(FromDiagonal.domain), FromDiagonal()])
    )


def diagonal_wishart(degrees_of_freedom: Float[Tensor, ""], scale: float, dim: int) -> dist.TransformedDistribution:
    """``Wishart(df, scale I)`` given that the matrix is diagonal, over ``[D, D]`` matrices.

    Each number on the diagonal is ``Gamma((df - D + 1) / 2, 1 / (2 scale))``.
    """
    shape = (0.5 * (degrees_of_freedom - dim + 1)).expand(dim)
    gamma = dist.Gamma(shape, torch.full_like(shape, 0.5 / scale)).to_event(1)
    return dist.TransformedDistribution(gamma, [FromDiagonal()])


class Wishart(dist.Wishart):
    """``Wishart(df, V)`` over symmetric positive definite ``[D, D]`` matrices, of mean ``df V``.

    torch's own, but for its draws (torch takes every regular matrix for a singular one, warns, and draws it again) and for a
    bijection of its support, without which there is no ``NUTS`` and no ``AutoNormal``.

    Parameters
    ----------
    df
        Degrees of freedom, any batch shape, more than ``D - 1``.
    scale_tril
        ``[..., D, D]``, lower Cholesky factor of ``V``; or ``covariance_matrix`` or ``precision_matrix``, for ``V`` and
        its inverse.
    """

    support = PositiveDefinite()

    def rsample(self, sample_shape: Any = Size(), max_try_correction: int | None = None) -> Float[Tensor, "... D D"]:
        """Draw ``sample_shape + batch_shape + [D, D]``, exactly symmetric.

        Parameters
        ----------
        sample_shape
            Leading shape.
        max_try_correction
            How many times a matrix that rounding has made singular is drawn again.
        """
        sample = self._draw(Size(sample_shape))
        for _ in range(_DRAWS if max_try_correction is None else max_try_correction):
            singular = torch.linalg.cholesky_ex(sample.detach()).info > 0
            if not singular.any():
                break
            sample = torch.where(singular[..., None, None], self._draw(Size(sample_shape)), sample)
        return sample

    def _draw(self, sample_shape: Size) -> Tensor:
        dim = self.event_shape[-1]
        factor = self.scale_tril
        degrees = self.df.unsqueeze(-1) - torch.arange(dim, dtype=factor.dtype, device=factor.device)
        diagonal = dist.Chi2(degrees).rsample(sample_shape).sqrt()
        below = torch.randn(*sample_shape, *self.batch_shape, dim, dim, dtype=factor.dtype, device=factor.device)
        factor = factor @ (below.tril(-1) + torch.diag_embed(diagonal))
        sample = factor @ factor.mT
        return 0.5 * (sample + sample.mT)
