"""Variational deep embedding: the rival that learns its Gaussian mixture jointly."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_vmm.distributions import GaussianMixture as GaussianMixtureDistribution
from pyro_vmm.errors import UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.likelihoods import Likelihood
from pyro_vmm.models.latent_mixture import LatentMixtureModel
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.priors import GaussianMixture
from pyro_vmm.priors.base import FittedBy
from pyro_vmm.shapes import Float, Real


class JointGaussianMixture(GaussianMixture):
    """A mixture of diagonal Gaussians fitted by the ELBO itself, as VaDE's prior is."""

    fitted_by: FittedBy = "elbo"

    def __init__(self, latent_dim: int, num_components: int) -> None:
        super().__init__(latent_dim, num_components, inference="mle", weights="dirichlet", diagonal=True)


class VaDE(LatentMixtureModel):
    r"""Variational deep embedding (Jiang, Zheng, Tan, Tang & Zhou 2017).

    The story is that of :class:`~pyro_vmm.models.LatentMixtureModel` with diagonal components and ``K`` given::

        assignment  c_n ~ Categorical(pi)
        z           z_n ~ Normal(mu_{c_n}, diag(sigma^2_{c_n}))
        x           x_n ~ likelihood(decoder(z_n))

    Everything is fitted jointly by the ELBO with ``q(c | x) = p(c | z)`` at one sample ``z`` of ``q(z | x)``::

        E_q[log p(x | z)] + sum_c q(c | x) (E_q(z|x)[log p(z | c)] + log pi_c - log q(c | x)) + entropy(q(z | x))

    with the inner expectation in closed form (the paper's equation 12). It needs two preparations, without which it
    settles in a poor optimum: :meth:`pretrain` as an autoencoder, then :meth:`start_mixture` from a Gaussian mixture
    fitted to the latent means.

    When not to use: where the number of classes is not known.

    Parameters
    ----------
    latent_dim, num_components
        ``D`` and the number of classes ``K``.
    decoder, likelihood
        As for :class:`~pyro_vmm.models.LatentMixtureModel`.
    """

    def __init__(self, latent_dim: int, num_components: int, decoder: nn.Module, likelihood: Likelihood) -> None:
        super().__init__(JointGaussianMixture(latent_dim, num_components), decoder, likelihood)

    def pretrain(
        self,
        guide: AmortizedNormal,
        x: Real[Tensor, "N F"],
        *,
        epochs: int = 50,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
    ) -> list[float]:
        """Train encoder means and decoder as an autoencoder on ``x [N, F]``.

        Returns
        -------
        list of float
            Mean negative log-likelihood of each epoch, in nats per observation.
        """
        if epochs < 1 or batch_size < 1:
            raise UserError(f"epochs is {epochs} and batch_size {batch_size}: both must be at least 1.")
        parameters = [*guide.parameters(), *self.decoder.parameters(), *self.likelihood.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
        losses = []
        for _ in range(epochs):
            total = 0.0
            for rows in torch.randperm(len(x), device=x.device).split(batch_size):
                loss = -self.log_likelihood(x[rows], guide.posterior(x[rows]).mean).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(rows)
            losses.append(total / len(x))
        return losses

    def start_mixture(
        self, guide: AmortizedNormal, x: Real[Tensor, "N F"], *, seed: int = 0, restarts: int = 5
    ) -> None:
        """Set weights, centres and precisions from scikit-learn's diagonal Gaussian mixture of the latent means."""
        from sklearn.mixture import GaussianMixture as ScikitGaussianMixture

        with torch.no_grad(), evaluation_mode(guide):
            means = torch.cat([guide.posterior(part).mean for part in x.split(1024)]).double().cpu().numpy()
        fitted = ScikitGaussianMixture(
            self.prior.num_components, covariance_type="diag", n_init=restarts, random_state=seed
        ).fit(means)
        assert isinstance(self.prior, JointGaussianMixture)
        self.prior.mixture_weights.set_weights(torch.as_tensor(fitted.weights_))
        self.prior.precisions.set_cholesky(torch.diag_embed(torch.as_tensor(fitted.precisions_cholesky_)))
        with torch.no_grad():
            self.prior.loc.copy_(torch.as_tensor(fitted.means_))

    def negative_elbo(self, guide: AmortizedNormal, x: Real[Tensor, "B F"]) -> Float[Tensor, ""]:
        """VaDE's own estimator of the negative ELBO, mean over ``x [B, F]``: ``z`` drawn once, the rest in closed form."""
        posterior = guide.posterior(x)
        z = posterior.rsample()
        mixture = self.prior.distribution()
        assert isinstance(mixture, GaussianMixtureDistribution)
        log_assignment = (mixture.log_weights + mixture.component_log_prob(z)).log_softmax(-1)
        loc, scale_tril = posterior.mean, posterior_scale_tril(posterior)
        whitened = torch.einsum("kij,bjl->bkil", mixture.whitening, scale_tril)
        expected_log_prob = mixture.component_log_prob(loc) - 0.5 * whitened.square().sum((-2, -1))
        cross = log_assignment.exp() * (expected_log_prob + mixture.log_weights - log_assignment)
        return -(self.log_likelihood(x, z) + cross.sum(-1) + posterior.entropy()).mean()


def posterior_scale_tril(posterior: dist.MultivariateNormal | dist.Independent) -> Float[Tensor, "B D D"]:
    """Lower scale factors ``[B, D, D]`` of a full or diagonal Gaussian posterior."""
    if isinstance(posterior, dist.MultivariateNormal):
        return posterior.scale_tril
    return torch.diag_embed(posterior.base_dist.scale)


class VaDEObjective:
    """VaDE's own estimator as the ``loss`` of :class:`~pyro_vmm.infer.EmpiricalBayesSVI`.

    Parameters
    ----------
    model, guide
        The pair that is trained.
    """

    def __init__(self, model: VaDE, guide: AmortizedNormal) -> None:
        self.model, self.guide = model, guide

    def differentiable_loss(self, model: Any, guide: Any, x: Real[Tensor, "B F"]) -> Float[Tensor, ""]:
        """Negative ELBO summed over ``x [B, F]``, as Pyro's ELBOs return it."""
        return self.model.negative_elbo(self.guide, x) * len(x)
