"""The Gaussian posteriors of some observations, and what they tell of the observations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh, solve_triangular
from scipy.special import logsumexp
from torch import Tensor

from pyro_vmm.evaluation import Evaluation
from pyro_vmm.observations import Observations, Rows

_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class Posteriors:
    """``q(z | x_m) = Normal(m_m, S_m S_m^T)`` of M observations.

    Attributes
    ----------
    loc
        ``[M, D]``.
    scale_tril
        ``[M, D, D]``.
    """

    loc: NDArray[np.float64]
    scale_tril: NDArray[np.float64]

    @classmethod
    def of(cls, evaluation: Evaluation, observations: Observations | Rows) -> Posteriors:
        """Encode M observations."""

        def of_block(x: Tensor, **covariates: Tensor) -> Tensor:
            loc, scale_tril = evaluation.guide.location_and_scale_tril(x, **covariates)
            return torch.cat((loc.unsqueeze(-1), scale_tril), -1)

        both = evaluation.by_rows(of_block, observations)
        return cls(both[..., 0], both[..., 1:])

    def __len__(self) -> int:
        return len(self.loc)

    @property
    def scale(self) -> NDArray[np.float64]:
        """Standard deviation in each dimension, ``[M, D]``."""
        return np.sqrt(np.square(self.scale_tril).sum(-1))

    def informed_share(self) -> NDArray[np.float64]:
        """Share of each dimension's variance that is between observations, ``[D]``.

        ``Var_x(m_d) / (Var_x(m_d) + E_x[s_d^2])``. Where the aggregate posterior has variance one, as under a standard
        normal prior, it is the activity of Burda et al. (2016), ``Cov_x(E[z_d])``; being a share, it holds for a prior of
        any scale.
        """
        between, within = self.loc.var(0), np.square(self.scale).mean(0)
        return np.asarray(between / (between + within))

    def along_directions(self) -> Posteriors:
        """The same in coordinates that part what varies between observations from what does not.

        They are the generalised eigenvectors of ``Cov_x(m)`` and ``Cov_x(m) + E_x[S S^T]``; the eigenvalues are the
        :meth:`informed_share` of the result, whose ``scale_tril`` is a factor but not triangular.
        """
        between = np.atleast_2d(np.cov(self.loc, rowvar=False, bias=True))
        within = (self.scale_tril @ self.scale_tril.swapaxes(-1, -2)).mean(0)
        _, directions = eigh(between, between + within)
        return Posteriors(self.loc @ directions, directions.T @ self.scale_tril)

    def standard_normal_kl(self) -> NDArray[np.float64]:
        """Mean ``KL(q(z_d | x) || Normal(0, 1))`` of each dimension, ``[D]`` nats."""
        variance = np.square(self.scale)
        return np.asarray(0.5 * (np.square(self.loc) + variance - 1.0 - np.log(variance)).mean(0))

    def information_by_dimension(self, most: int = 500, seed: int = 0) -> NDArray[np.float64]:
        """Mutual information of observation and ``z_d``, ``[D]`` nats; never above ``log M``.

        One draw from each of (at most) ``most`` posteriors against the mixture of all of them (Hoffman & Johnson 2016).
        """
        loc, scale = self.loc[:most], self.scale[:most]
        z = loc + scale * np.random.default_rng(seed).standard_normal(loc.shape)
        log_q = -0.5 * np.square((z[:, None] - loc) / scale) - np.log(scale)  # [draws, posteriors, D]
        own = np.diagonal(log_q).T
        return np.asarray((own - logsumexp(log_q, 1) + math.log(len(loc))).mean(0))

    def information(self, most: int = 500, seed: int = 0) -> float:
        """Mutual information of observation and ``z``, in nats; never above ``log M``, and near it only a lower bound."""
        loc, factor = self.loc[:most], self.scale_tril[:most]
        noise = np.random.default_rng(seed).standard_normal(loc.shape)
        z = loc + (factor @ noise[..., None])[..., 0]
        log_q = np.empty((len(loc), len(loc)))
        for column, (centre, lower) in enumerate(zip(loc, factor, strict=True)):
            standard = solve_triangular(lower, (z - centre).T, lower=True)
            log_determinant = np.log(np.abs(np.diagonal(lower))).sum()
            log_q[:, column] = -0.5 * (np.square(standard).sum(0) + loc.shape[1] * _LOG_2PI) - log_determinant
        return float((np.diagonal(log_q) - logsumexp(log_q, 1)).mean() + math.log(len(loc)))
