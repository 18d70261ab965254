"""The Wishart distribution, drawn by Bartlett's decomposition."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Size, Tensor

_DRAWS = 10


class Wishart(dist.Wishart):
    """``Wishart(df, V)`` over symmetric positive definite ``[D, D]`` matrices, of mean ``df V``.

    torch's own, but for its draws: torch takes every regular matrix for a singular one, warns, and draws it again.

    Parameters
    ----------
    df
        Degrees of freedom, any batch shape, more than ``D - 1``.
    scale_tril
        ``[..., D, D]``, lower Cholesky factor of ``V``; or ``covariance_matrix`` or ``precision_matrix``, for ``V`` and
        its inverse.
    """

    def rsample(self, sample_shape: Any = Size(), max_try_correction: int | None = None) -> Tensor:
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
