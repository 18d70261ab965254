"""The amortised guide of counts whose library size is inferred."""

import pyro
import pyro.distributions as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_vmm.errors import UserError
from pyro_vmm.guides.amortized_normal import MINIMUM_SCALE, AmortizedNormal, Covariance
from pyro_vmm.shapes import Float, Real


class AmortizedCounts(AmortizedNormal):
    """``q(z_n, l_n | x_n, s_n) = q(z_n | x_n, s_n) LogNormal(l_n; log sum_g x_ng + a(x_n, s_n), b(x_n, s_n))``.

    As in Lopez et al. (2018), but inferred library sizes start from, and are corrections of, the observed total counts.

    Parameters
    ----------
    encoder, covariance
        As for :class:`AmortizedNormal`.
    library_encoder
        Any module from counts ``[B, F]`` (and keyword covariates) to ``[B, 2]``: the correction ``a`` of the log total
        count, and the standard deviation ``b`` before a softplus.

    Raises
    ------
    UserError
        When called, if the library encoder's output is not two numbers a cell.
    """

    def __init__(self, encoder: nn.Module, library_encoder: nn.Module, covariance: Covariance = "diagonal") -> None:
        super().__init__(encoder, covariance)
        self.library_encoder = library_encoder

    def library_posterior(self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]) -> dist.LogNormal:
        """``q(l | x)`` for counts ``[B, F]``: batch shape ``(B,)``."""
        outputs = self.library_encoder(x, **covariates)
        if outputs.shape[-1] != 2:
            raise UserError(f"The library encoder gives {outputs.shape[-1]} numbers a cell: it must give 2.")
        total = x.sum(-1).clamp_min(1.0).log()
        return dist.LogNormal(total + outputs[..., 0], softplus(outputs[..., 1]) + MINIMUM_SCALE, validate_args=False)

    def forward(self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]) -> Float[Tensor, "*plates B D"]:
        """Sample sites ``z`` and ``library_size`` in the plate ``observations``.

        Returns ``z [B, D]``, inside plates of the caller ``[..., B, D]``.
        """
        with pyro.plate("observations", len(x), dim=-1):
            z: Tensor = pyro.sample("z", self.posterior(x, **covariates))
            pyro.sample("library_size", self.library_posterior(x, **covariates))
        return z
