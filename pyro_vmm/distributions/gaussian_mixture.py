"""A mixture of full-covariance Gaussians that inverts each Cholesky factor once."""

import math
from typing import Any

import torch
from pyro.distributions import Categorical, constraints
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.ops.indexing import Vindex
from torch import Size, Tensor

from pyro_vmm.distributions.transforms import inside_transform
from pyro_vmm.shapes import Float, Int

_NOTHING_BESIDE_ONE = 80.0
"""``exp(-80)``, 2e-35, times any number of components is nothing beside 1, in float64 as well."""


class GaussianMixture(TorchDistribution):
    """``p(z) = sum_k pi_k Normal(z; mu_k, Sigma_k)`` over ``R^D``.

    The same density as ``MixtureSameFamily`` of ``MultivariateNormal``, at about half its cost for ``K = 100`` in ten
    dimensions: every factor is inverted once and all observations pass through all of them in one product of matrices.

    Parameters
    ----------
    log_weights
        ``[..., K]``, logarithms of weights that sum to one.
    loc
        ``[..., K, D]``.
    scale_tril
        ``[..., K, D, D]`` lower factors of the covariances, or
    precision_cholesky
        ``[..., K, D, D]`` lower factors of the precisions, exactly one of the two; or, with ``precision_cholesky``,
    extra_scale
        ``[..., K, D, D]`` factors ``S_k`` of a second covariance ``S_k S_k^T`` that is added to the inverse precision, as when
        centres are integrated out.

    Raises
    ------
    ValueError
        When not exactly one of ``scale_tril`` and ``precision_cholesky`` is given.

    Notes
    -----
    With ``Lambda = L L^T`` and ``P = L^T S``, the sum ``Lambda^-1 + S S^T`` is ``L^-T (I + P P^T) L^-1``. Only ``I + P P^T`` is
    factorised, whose eigenvalues are at least 1: the sum itself is too ill-conditioned for float32 where precisions spread
    over a few orders of magnitude.

    In float32, a whitened offset ``(z - mu_k) / sigma_k`` carries a rounding error of about 1e-7 times the distance of the
    component from the mean of the centres, in units of ``sigma_k``: log-densities are good to 1e-4 where standard deviations
    are a hundredth of the spread of the centres, and to 1e-2 where they are a few ten-thousandths of it. Use float64
    for components narrower than that.
    """

    arg_constraints = {"log_weights": constraints.real_vector, "loc": constraints.independent(constraints.real, 2)}
    support = constraints.real_vector
    has_rsample = False

    def __init__(
        self,
        log_weights: Float[Tensor, "... K"],
        loc: Float[Tensor, "... K D"],
        *,
        scale_tril: Float[Tensor, "... K D D"] | None = None,
        precision_cholesky: Float[Tensor, "... K D D"] | None = None,
        extra_scale: Float[Tensor, "... K D D"] | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.log_weights, self.loc = log_weights, loc
        identity = torch.eye(loc.shape[-1], dtype=loc.dtype, device=loc.device)
        if scale_tril is not None and precision_cholesky is None and extra_scale is None:
            self.whitening = torch.linalg.solve_triangular(scale_tril, identity.expand_as(scale_tril), upper=False)
            self._log_det = -_log_diagonal(scale_tril)
        elif precision_cholesky is not None and scale_tril is None:
            self.whitening = precision_cholesky.mT
            self._log_det = _log_diagonal(precision_cholesky)
            if extra_scale is not None:
                self._add(extra_scale)
        else:
            raise ValueError("Give exactly one of scale_tril and precision_cholesky.")
        shapes = (log_weights.shape[:-1], loc.shape[:-2], self.whitening.shape[:-3])
        super().__init__(torch.broadcast_shapes(*shapes), loc.shape[-1:], validate_args=validate_args)

    def _add(self, extra_scale: Tensor) -> None:
        """Add the covariance ``S S^T`` to each component's."""
        dtype, whitening, product = self.loc.dtype, self.whitening, self.whitening @ extra_scale
        identity = torch.eye(self.loc.shape[-1], dtype=dtype, device=self.loc.device)
        inner, failed = torch.linalg.cholesky_ex(identity + product @ product.mT)
        if inside_transform() or failed.any():
            # Beside an S of thousands float32 loses the identity; float64 holds it up to some ten millions.
            whitening, product = whitening.double(), whitening.double() @ extra_scale.double()
            inner = torch.linalg.cholesky(identity.double() + product @ product.mT)
        self.whitening = torch.linalg.solve_triangular(inner, whitening, upper=False).to(dtype)
        self._log_det = self._log_det - _log_diagonal(inner).to(dtype)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "GaussianMixture":
        """The same mixture for every place of ``batch_shape``."""
        new = self._get_checked_instance(GaussianMixture, _instance)
        new.log_weights, new.loc = self.log_weights, self.loc
        new.whitening, new._log_det = self.whitening, self._log_det
        super(GaussianMixture, new).__init__(Size(batch_shape), self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def _is_a_batch(self) -> bool:
        """Whether there are several mixtures, not one for every place of the batch."""
        return self.log_weights.ndim > 1 or self.loc.ndim > 2 or self.whitening.ndim > 3

    def component_log_prob(self, value: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch K"]:
        """``log Normal(z; mu_k, Sigma_k)`` of ``[..., D]``, as ``[..., K]``."""
        if self._is_a_batch:
            offset = (value.unsqueeze(-2) - self.loc).unsqueeze(-1)
            whitened = (self.whitening @ offset).squeeze(-1)
            return self._log_det - 0.5 * (self.loc.shape[-1] * math.log(2.0 * math.pi) + whitened.square().sum(-1))
        components, dim = self.loc.shape
        # Both ends of z - mu_k are whitened apart, all components in one product: K small ones take six times as long.
        # Measured from amidst the centres, so that rounding errors do not grow with the distance to the origin.
        # Observations stand last: BLAS and sums take twice as long over a last dimension of D numbers, forward and backward.
        origin = self.loc.detach().mean(0)
        offsets = (self.whitening @ (self.loc - origin).unsqueeze(-1)).reshape(-1, 1)
        flat = (value.reshape(-1, dim) - origin).T.contiguous()
        whitened = torch.addmm(offsets, self.whitening.reshape(-1, dim), flat, beta=-1.0)  # [K D, B]
        log_normaliser = self._log_det - 0.5 * dim * math.log(2.0 * math.pi)
        log_prob = log_normaliser - 0.5 * whitened.view(components, dim, -1).square().sum(1).T
        return log_prob.reshape(*value.shape[:-1], components)

    def log_prob(self, value: Float[Tensor, "*#batch D"]) -> Float[Tensor, "*batch"]:
        """``log p(z)`` of ``[..., D]``, as ``[...]``, broadcast over the batch."""
        if self._validate_args:
            self._validate_sample(value)
        log_joint = self.log_weights + self.component_log_prob(value)
        # What is lost beside the largest term in any case: an exponential that underflows takes ten times as long.
        lost = log_joint.detach().amax(-1, keepdim=True) - _NOTHING_BESIDE_ONE
        log_prob = torch.logsumexp(torch.maximum(log_joint, lost), -1)
        return log_prob.expand(torch.broadcast_shapes(log_prob.shape, self.batch_shape))

    def responsibilities(self, value: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch K"]:
        """``p(k | z)`` of ``[..., D]``, as ``[..., K]``."""
        return (self.log_weights + self.component_log_prob(value)).softmax(-1)

    def sample_given(self, component: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch D"]:
        """Draw from the given components: long ``[...]`` to ``[..., D]``; of several mixtures, from that of each place."""
        noise = torch.randn(*component.shape, self.event_shape[0], dtype=self.loc.dtype, device=self.loc.device)
        loc, whitening = self.loc_of(component), Vindex(self.whitening)[..., component, :, :]
        return loc + torch.linalg.solve(whitening, noise.unsqueeze(-1)).squeeze(-1)

    def loc_of(self, component: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch D"]:
        """Means ``[..., D]`` of the given components, long ``[...]``."""
        loc: Tensor = Vindex(self.loc)[..., component, :]
        return loc

    def sample(self, sample_shape: Any = Size()) -> Float[Tensor, "... D"]:
        """Draw ``sample_shape + batch_shape`` vectors."""
        with torch.no_grad():
            shape = Size(sample_shape) + self.batch_shape
            if self._is_a_batch:
                return self.sample_given(Categorical(logits=self.log_weights.expand(*shape, -1)).sample())
            component = torch.multinomial(self.log_weights.exp(), max(shape.numel(), 1), replacement=True)
            return self.sample_given(component[: shape.numel()].reshape(shape))

    @property
    def covariance_matrix(self) -> Float[Tensor, "... K D D"]:
        """Covariances of the components, ``[..., K, D, D]``."""
        inverse = torch.linalg.inv(self.whitening)
        return inverse @ inverse.mT

    @property
    def scale_tril(self) -> Float[Tensor, "... K D D"]:
        """Lower Cholesky factors of the components' covariances, ``[..., K, D, D]``."""
        return torch.linalg.cholesky(self.covariance_matrix)

    @property
    def mean(self) -> Float[Tensor, "... D"]:
        """Mean of the mixture, ``batch_shape + [D]``."""
        return (self.log_weights.exp().unsqueeze(-2) @ self.loc).squeeze(-2).expand(self.batch_shape + self.event_shape)


def _log_diagonal(factor: Tensor) -> Tensor:
    """Log-determinants ``[..., K]`` of triangular ``[..., K, D, D]``."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
