"""The amortised Gaussian guide."""

import math
from typing import Literal

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_vmm.distributions import TriangularNormal
from pyro_vmm.errors import UserError
from pyro_vmm.local_module import LocalPyroModule
from pyro_vmm.shapes import Float, Real

Covariance = Literal["full", "diagonal"]

MINIMUM_SCALE = 1e-4
"""Posterior standard deviations stay above this (on the diagonal of ``S``), so that no density is infinite."""


class AmortizedNormal(LocalPyroModule):
    """``q(z_n | x_n, s_n) = Normal(m(x_n, s_n), S(x_n, s_n) S(x_n, s_n)^T)`` (section 2).

    Parameters
    ----------
    encoder
        Any module from observations ``[B, F]`` (and keyword covariates) to ``[B, P]``, with
        ``P = AmortizedNormal.num_outputs(D, covariance)``: the mean, then the diagonal of ``S`` before a softplus, then
        for a full covariance the rows of ``S`` below the diagonal.
    covariance
        ``"full"`` (``S`` lower triangular) or ``"diagonal"``.

    Raises
    ------
    UserError
        For an unknown covariance, or, when called, an encoder whose output has no fitting width.
    """

    def __init__(self, encoder: nn.Module, covariance: Covariance = "full") -> None:
        super().__init__()
        if covariance not in ("full", "diagonal"):
            raise UserError(f"covariance={covariance!r} is not known: choose 'full' or 'diagonal'.")
        self.encoder = encoder
        self.covariance = covariance

    @staticmethod
    def num_outputs(latent_dim: int, covariance: Covariance = "full") -> int:
        """Width ``P`` of the encoder's output: ``D + D (D + 1) / 2`` (full) or ``2 D`` (diagonal)."""
        return 2 * latent_dim if covariance == "diagonal" else latent_dim + latent_dim * (latent_dim + 1) // 2

    def _latent_dim(self, num_outputs: int) -> int:
        full = self.covariance == "full"
        latent_dim = (math.isqrt(9 + 8 * num_outputs) - 3) // 2 if full else num_outputs // 2
        if latent_dim < 1 or self.num_outputs(latent_dim, self.covariance) != num_outputs:
            formula = "D + D (D + 1) / 2" if full else "2 D"
            raise UserError(
                f"The encoder gives {num_outputs} numbers per observation: a {self.covariance} covariance needs {formula} "
                "of them for D latent dimensions."
            )
        return latent_dim

    def _location_and_diagonal(self, x: Tensor, covariates: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        outputs = self.encoder(x, **covariates)
        latent_dim = self._latent_dim(outputs.shape[-1])
        loc, diagonal, below = outputs.split([latent_dim, latent_dim, outputs.shape[-1] - 2 * latent_dim], -1)
        return loc, softplus(diagonal) + MINIMUM_SCALE, below

    def location_and_scale_tril(
        self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D D"]]:
        """``m(x) [B, D]`` and ``S(x) [B, D, D]``, lower triangular."""
        loc, diagonal, below = self._location_and_diagonal(x, covariates)
        scale_tril = torch.diag_embed(diagonal)
        if self.covariance == "full" and below.shape[-1]:
            rows, columns = torch.tril_indices(loc.shape[-1], loc.shape[-1], offset=-1, device=loc.device)
            scale_tril[..., rows, columns] = below
        return loc, scale_tril

    def posterior(
        self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]
    ) -> TriangularNormal | dist.Independent:
        """``q(z | x)`` for observations ``[B, F]``: batch shape ``(B,)``, event shape ``(D,)``."""
        if self.covariance == "full":
            loc, scale_tril = self.location_and_scale_tril(x, **covariates)
            return TriangularNormal(loc, scale_tril=scale_tril, validate_args=False)
        loc, diagonal, _ = self._location_and_diagonal(x, covariates)
        return dist.Normal(loc, diagonal, validate_args=False).to_event(1)

    def forward(self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]) -> Float[Tensor, "*plates B D"]:
        """Sample site ``z`` in the plate ``observations``; returns ``z [B, D]``, inside plates of the caller ``[..., B, D]``."""
        with pyro.plate("observations", len(x), dim=-1):
            return pyro.sample("z", self.posterior(x, **covariates))
