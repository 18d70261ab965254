"""What a fitted model says of observations, a block of rows at a time."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from pyro import poutine
from torch import Tensor

from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.infer.elbo import EstimatedElbo, estimated_elbo
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.observations import Observations, Rows, as_observations, in_order
from pyro_vmm.priors.encoded_centres import check_guide
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.random_numbers import OwnRandomNumbers, RandomNumbers

ROWS_AT_ONCE = 1024
"""By default, so many rows go through the networks at once."""


class Evaluation:
    """Evaluates a model and its guide in evaluation mode, without gradients, and unless told otherwise with noise of a fixed seed.

    The caller's stream of random numbers is left alone, and the same call gives the same numbers.

    Parameters
    ----------
    model, guide
        On one device; observations may live elsewhere and are moved block by block.
    rows_at_once
        Rows in a block, unless a question says otherwise.

    Raises
    ------
    UserError
        For a guide other than the one that encodes the prior's centres.
    """

    def __init__(self, model: LatentMixtureModel, guide: AmortizedNormal, rows_at_once: int = ROWS_AT_ONCE) -> None:
        check_guide(model.prior, guide)
        self.model, self.guide, self.rows_at_once = model, guide, rows_at_once

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return next(self.guide.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return next(self.guide.parameters()).dtype

    def own_noise(self, seed: int = 0) -> OwnRandomNumbers:
        """Draws of a fixed seed, to be entered by ``with``."""
        return OwnRandomNumbers(seed, self.device)

    def by_rows(
        self,
        function: Callable[..., Tensor],
        observations: Observations | Rows,
        rows_at_once: int | None = None,
        own_noise: bool = True,
    ) -> NDArray[np.float64]:
        """Apply ``function`` to blocks of observations ``[N, F]`` and of their covariates, and put the results below each other.

        ``own_noise=False`` is for draws that are themselves the answer: they come from the caller's stream.
        """
        results: NDArray[np.float64] | None = None
        first, given = 0, as_observations(observations)
        noise = self.own_noise() if own_noise else RandomNumbers(self.device)
        with noise, usual_settings(), torch.no_grad(), evaluation_mode(self.guide), evaluation_mode(self.model):
            for x, covariates in in_order(given, rows_at_once or self.rows_at_once, self.device):
                block = function(x, **covariates).double().cpu().numpy()
                if results is None:
                    results = np.empty((len(given), *block.shape[1:]))
                results[first : first + len(block)] = block
                first += len(block)
        assert results is not None  # of no observations there is a block without rows
        return results

    def posterior_mean(self, observations: Observations | Rows) -> NDArray[np.float32]:
        """Posterior means of the latents of N observations, as ``[N, D]``."""

        def of_block(x: Tensor, **covariates: Tensor) -> Tensor:
            return self.guide.posterior(x, **covariates).mean

        return self.by_rows(of_block, observations).astype(np.float32)

    def responsibilities_at(self, latents: NDArray[np.float32]) -> NDArray[np.float64]:
        """Responsibilities ``[N, K]`` at latents ``[N, D]``; no network is asked."""

        def of_block(z: Tensor) -> Tensor:
            return self.model.prior.responsibilities(z)

        return self.by_rows(of_block, torch.from_numpy(latents).to(self.dtype))

    def responsibilities(self, observations: Observations | Rows, num_samples: int = 0) -> NDArray[np.float64]:
        """Responsibilities ``[N, K]`` at the posterior mean, or averaged over ``num_samples`` posterior samples."""
        prior = self.model.prior

        def of_block(x: Tensor, **covariates: Tensor) -> Tensor:
            posterior = self.guide.posterior(x, **covariates)
            if not num_samples:
                return prior.responsibilities(posterior.mean)
            drawn = (prior.responsibilities(posterior.sample()).double() for _ in range(num_samples))
            return torch.stack(list(drawn)).mean(0)

        return self.by_rows(of_block, observations)

    def elbo(self, observations: Observations | Rows) -> EstimatedElbo:
        """The ELBO of training's own objective, in nats an observation, by one draw from each posterior."""
        minibatches = in_order(as_observations(observations), self.rows_at_once, self.device)
        with self.own_noise(), usual_settings():
            return estimated_elbo(self.model, self.guide, minibatches)

    def log_evidence(self, observations: Observations | Rows, num_samples: int) -> NDArray[np.float64]:
        """Importance-weighted ``log p(x)``, ``[N]`` nats, with the guide's posterior as proposal.

        All observations share the same standard normal draws, so that an observation's estimate does not depend on which
        others stand beside it.
        """
        latent_dim = self.model.prior.latent_dim
        with self.own_noise(), usual_settings():
            noise = torch.randn(num_samples, 1, latent_dim, dtype=self.dtype, device=self.device)

        def of_block(block: Tensor) -> Tensor:
            loc, scale_tril = self.guide.location_and_scale_tril(block)
            z = loc + (scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
            log_proposal = self.guide.posterior(block).log_prob(z)
            log_ratio = self.model.log_likelihood(block, z) + self.model.prior.log_prob(z) - log_proposal
            return torch.logsumexp(log_ratio.double(), 0) - np.log(num_samples)

        return self.by_rows(of_block, observations, rows_at_once=max(1, 2 * ROWS_AT_ONCE // num_samples))

    def log_ratios(
        self, observations: Observations | Rows, num_samples: int = 1
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``log p(x, latents) - log q(latents | x)`` and ``log p(x | latents)`` at draws from the guide, ``[N, S]`` each.

        Over every latent site of model and guide, whatever they are. The mean of the first is the ELBO, its
        log-mean-exp the importance-weighted ``log p(x)``.
        """

        def of_block(x: Tensor, **covariates: Tensor) -> Tensor:
            draws = []
            for _ in range(num_samples):
                guide_trace = poutine.trace(self.guide.forward).get_trace(x, **covariates)
                story = poutine.replay(self.model.fitted, trace=guide_trace)
                model_trace = poutine.trace(story).get_trace(x, **covariates)
                guide_trace.compute_log_prob()
                model_trace.compute_log_prob()
                likelihood = model_trace.nodes["x"]["log_prob"]
                latents = [name for name in guide_trace.stochastic_nodes if name in model_trace.nodes]
                ratio = likelihood + sum(
                    model_trace.nodes[name]["log_prob"] - guide_trace.nodes[name]["log_prob"] for name in latents
                )
                draws.append(torch.stack((ratio.double(), likelihood.double()), -1))
            return torch.stack(draws, 1)

        both = self.by_rows(of_block, observations)
        return both[..., 0], both[..., 1]
