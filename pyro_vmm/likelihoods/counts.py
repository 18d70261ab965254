"""What the likelihoods of counts have in common: the mean from the decoder, and the inverse dispersion."""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from pyro_vmm.distributions.bounded import bounded, inverse_bounded
from pyro_vmm.errors import UserError
from pyro_vmm.likelihoods.base import Likelihood
from pyro_vmm.option_checks import check_whole_number
from pyro_vmm.shapes import Float, Real

LOG_MEAN_LIMIT = 20.0
"""Without a library size, means stay within e^-20 .. e^20 (2e-9 .. 5e8)."""

SMALLEST_SHARE = 1e-30
"""Least share of a library that a feature is given: float32's softmax would reach 0, where a count is impossible."""

LOG_INVERSE_DISPERSION_LIMIT = math.log(1e6)
"""Inverse dispersions stay within 1e-6 .. 1e6; at the upper end the counts are all but Poisson."""


class CountLikelihood(Likelihood):
    """A likelihood of raw counts ``[B, F]``: whole numbers from 0 upwards, which the encoder sees as ``log(1 + x)``."""

    data_range: ClassVar[tuple[float, float]] = (0.0, torch.inf)
    whole_numbers: ClassVar[bool] = True
    encoder_sees: ClassVar[Literal["data", "log1p"]] = "log1p"

    def expected_counts(
        self, scale_head: Float[Tensor, "*batch F"], library_size: Real[Tensor, "B"] | Real[Tensor, "B 1"] | None
    ) -> Float[Tensor, "*batch F"]:
        """Mean count of each feature (section 6; Lopez et al. 2018).

        Parameters
        ----------
        scale_head
            Decoder outputs ``[..., F]``; ``[..., B, F]`` with a library size.
        library_size
            Total count of each observation, ``[B]`` or ``[B, 1]``, positive; or None.

        Returns
        -------
        Tensor
            Of the outputs' shape, positive: ``library_size * softmax(scale_head)`` given a library size, and without one
            ``exp(scale_head)``, the exponent bent smoothly so that it stays within ``-20 .. 20``.

        Raises
        ------
        UserError
            If the library size has another shape.
        """
        if library_size is None:
            return bounded(scale_head, LOG_MEAN_LIMIT).exp()
        if library_size.ndim > 2 or (library_size.ndim == 2 and library_size.shape[-1] != 1):
            raise UserError(
                f"library_size has shape {tuple(library_size.shape)}: give one number an observation, [B] or [B, 1]."
            )
        per_row = library_size if library_size.ndim == 2 else library_size.unsqueeze(-1)
        # Added rather than clamped to: a clamp costs a mask in the backward pass.
        return per_row * (scale_head.softmax(-1) + SMALLEST_SHARE)


class InverseDispersion(nn.Module):
    """``theta`` of each feature, or of each feature in each batch; 1 at the start.

    Parameters
    ----------
    num_features
        ``F``.
    num_batches
        With more than one, every batch has its own ``theta [F]``.

    Raises
    ------
    UserError
        If either is less than 1, or when called with outputs or batches that do not fit.
    """

    def __init__(self, num_features: int, num_batches: int = 1) -> None:
        super().__init__()
        num_features = check_whole_number(num_features, "num_features")
        num_batches = check_whole_number(num_batches, "num_batches")
        self.log_value = nn.Parameter(torch.zeros(num_batches, num_features))

    def start_at(self, theta: Float[Tensor, "F"]) -> None:
        """Set ``theta [F]`` (positive) in every batch, as a fit's starting point."""
        with torch.no_grad():
            self.log_value.copy_(inverse_bounded(theta.log(), LOG_INVERSE_DISPERSION_LIMIT).expand_as(self.log_value))

    def forward(
        self, scale_head: Float[Tensor, "*batch F"], batch: Real[Tensor, "B num_batches"] | None
    ) -> Float[Tensor, "F"] | Float[Tensor, "B F"]:
        """``theta``, positive: ``[F]`` with one batch, else ``[B, F]``, chosen by one-hot ``batch [B, num_batches]``.

        ``scale_head [..., F]`` is only looked at for its width. A batch of fractions on the simplex gives the weighted
        geometric mean.
        """
        num_batches, num_features = self.log_value.shape
        if scale_head.shape[-1] != num_features:
            raise UserError(
                f"The likelihood was made for {num_features} features, but the decoder gives {scale_head.shape[-1]}: make "
                "num_features the number of columns."
            )
        log_theta = bounded(self.log_value, LOG_INVERSE_DISPERSION_LIMIT)
        if num_batches == 1:
            return log_theta[0].exp()
        if batch is None:
            raise UserError(
                f"The likelihood has inverse dispersions for {num_batches} batches and needs the covariate 'batch', one-hot "
                f"[B, {num_batches}]: give it, or use num_batches=1."
            )
        if batch.shape[-1] != num_batches:
            raise UserError(
                f"The covariate 'batch' has shape {tuple(batch.shape)}: give it one-hot, [B, {num_batches}]."
            )
        return (batch.to(log_theta.dtype) @ log_theta).exp()


class OverdispersedCountLikelihood(CountLikelihood):
    """A likelihood of counts that vary more than Poisson's, by an inverse dispersion that is learned.

    Parameters
    ----------
    num_features
        ``F``.
    num_batches
        With more than one, ``theta [num_batches, F]`` is chosen by the covariate ``batch``.

    Raises
    ------
    UserError
        If a number is less than 1.
    """

    def __init__(self, num_features: int, num_batches: int = 1) -> None:
        super().__init__()
        self.inverse_dispersion = InverseDispersion(num_features, num_batches)
