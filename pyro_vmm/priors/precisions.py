"""Component precisions and their Wishart hyper-prior."""

import math

import pyro
import torch
from torch import Tensor, nn

from pyro_vmm.distributions.wishart import Wishart, diagonal_wishart
from pyro_vmm.priors.bounded import LOG_PRECISION_SCALE_LIMIT, bounded, inverse_bounded
from pyro_vmm.shapes import Float


class Precisions(nn.Module):
    """Precision matrices ``Lambda_k = L_k L_k^T`` with ``Lambda_k ~ Wishart(D + 2, K^(2/D) / (D + 2) I)``.

    The hyper-prior's mean ``K^(2/D) I`` makes each of ``K`` components own ``1/K`` of the unit ball's volume. ``L_k`` is
    lower triangular; its diagonal is held as a bounded logarithm.

    Parameters
    ----------
    latent_dim, num_components
        ``D`` and ``K``.
    diagonal
        Keep ``L_k`` diagonal (as VaDE does). The hyper-prior is then the Wishart given that ``Lambda_k`` is diagonal, each of
        whose entries is ``Gamma(3/2, (D + 2) / (2 K^(2/D)))``.
    initial_scale
        Every ``L_k`` starts as ``initial_scale * I``.
    """

    def __init__(
        self, latent_dim: int, num_components: int, *, diagonal: bool = False, initial_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.latent_dim, self.num_components = latent_dim, num_components
        self.log_diagonal = nn.Parameter(torch.empty(num_components, latent_dim))
        if diagonal:
            self.register_parameter("off_diagonal", None)
        else:
            self.off_diagonal = nn.Parameter(torch.zeros(num_components, latent_dim, latent_dim))
        self.set_cholesky(initial_scale * torch.eye(latent_dim).expand(num_components, -1, -1))

    @property
    def degrees_of_freedom(self) -> int:
        """Wishart degrees of freedom, ``D + 2``."""
        return self.latent_dim + 2

    @property
    def scale(self) -> float:
        """The Wishart scale matrix is this number times the identity."""
        return float(self.num_components ** (2.0 / self.latent_dim) / self.degrees_of_freedom)

    def cholesky(self) -> Float[Tensor, "K D D"]:
        """Lower Cholesky factors ``L_k``, ``[K, D, D]``."""
        diagonal = torch.diag_embed(bounded(self.log_diagonal, LOG_PRECISION_SCALE_LIMIT).exp())
        return diagonal if self.off_diagonal is None else diagonal + self.off_diagonal.tril(-1)

    def set_cholesky(self, cholesky: Float[Tensor, "K D D"]) -> None:
        """Set the factors, ``[K, D, D]`` lower triangular with a positive diagonal."""
        cholesky = cholesky.to(self.log_diagonal)
        with torch.no_grad():
            log_diagonal = cholesky.diagonal(dim1=-2, dim2=-1).log()
            self.log_diagonal.copy_(inverse_bounded(log_diagonal, LOG_PRECISION_SCALE_LIMIT))
            if self.off_diagonal is not None:
                self.off_diagonal.copy_(cholesky.tril(-1))

    def log_prob(self) -> Float[Tensor, "K"]:
        """Wishart log-density of each precision, ``[K]``."""
        return wishart_log_prob(self.cholesky(), self.degrees_of_freedom, self.scale)

    def declare(self) -> Float[Tensor, "*plates K D D"]:
        """Site ``precisions``, ``[..., K, D, D]``, inside the caller's plate over components; returns lower factors.

        Diagonal ones have the Wishart's density at diagonal matrices, normalised.
        """
        degrees = torch.tensor(float(self.degrees_of_freedom)).to(self.log_diagonal)
        if self.off_diagonal is None:
            distribution = diagonal_wishart(degrees, self.scale, self.latent_dim)
        else:
            identity = torch.eye(self.latent_dim).to(self.log_diagonal)
            distribution = Wishart(degrees, scale_tril=math.sqrt(self.scale) * identity)
        return torch.linalg.cholesky(pyro.sample("precisions", distribution))

    def site_values(self) -> dict[str, Float[Tensor, "K D D"]]:
        """Present precisions, ``[K, D, D]``."""
        cholesky = self.cholesky()
        return {"precisions": cholesky @ cholesky.mT}


def wishart_log_prob(
    cholesky: Float[Tensor, "*batch D D"], degrees_of_freedom: float, scale: float
) -> Float[Tensor, "*batch"]:
    """Log-density of ``Wishart(degrees_of_freedom, scale * I)`` at ``cholesky @ cholesky^T``.

    Parameters
    ----------
    cholesky
        Lower factors, ``[..., D, D]``.
    degrees_of_freedom
        More than ``D - 1``.
    scale
        The scale matrix is ``scale * I``.

    Returns
    -------
    Tensor
        ``[...]``; a density over symmetric matrices (no Jacobian of the factorisation).
    """
    dim = cholesky.shape[-1]
    half_degrees = 0.5 * degrees_of_freedom
    log_gamma = 0.25 * dim * (dim - 1) * math.log(math.pi) + sum(
        math.lgamma(half_degrees - 0.5 * i) for i in range(dim)
    )
    log_normaliser = half_degrees * dim * math.log(2.0 * scale) + log_gamma
    log_det = 2.0 * cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    trace = cholesky.square().sum((-2, -1)) / scale
    return 0.5 * (degrees_of_freedom - dim - 1.0) * log_det - 0.5 * trace - log_normaliser
