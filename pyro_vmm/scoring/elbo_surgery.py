"""The parts of the ELBO on held-out data: where a variational autoencoder's fit is lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pyro_vmm.errors import UserError
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.priors.encoded_centres import check_guide
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.random_numbers import OwnRandomNumbers

# Numbers held at once by one broadcast tensor: 8 to 12 MB. The densities make about ten such temporaries.
_MAX_ELEMENTS = 1_500_000

# Components that a mixture prior is taken to have where memory is planned: it broadcasts z to [..., K, D] inside.
_PRIOR_COMPONENTS = 128


class Posterior(Protocol):
    """Approximate posterior q(z | x) of a batch: batch shape ``[B]``, event shape ``[D]``."""

    def sample(self, sample_shape: Any = ...) -> Tensor:
        """Latents ``sample_shape + [B, D]``."""
        ...

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, ``[..., B, D] -> [..., B]``, broadcasting as torch does."""
        ...


class Prior(Protocol):
    """Prior p(z)."""

    @property
    def log_prob(self) -> Callable[..., Tensor]:
        """Log density, ``[..., D] -> [...]``."""
        ...


class GenerativeModel(Protocol):
    """A model with a prior over z and a likelihood of x given z."""

    @property
    def prior(self) -> Any:
        """The :class:`Prior`."""
        ...

    @property
    def log_likelihood(self) -> Callable[..., Tensor]:
        """``(x [B, F], z [S, B, D], **covariates) -> log p(x | z) [S, B]``."""
        ...


class Guide(Protocol):
    """The encoder's side."""

    @property
    def posterior(self) -> Callable[..., Any]:
        """``(x [B, F], **covariates) -> Posterior``."""
        ...


@dataclass(frozen=True)
class ElboSurgery:
    """Means over the observations, in nats per observation.

    Parameters
    ----------
    average_kl : float
        Mean of KL(q(z|x) || p(z)).
    marginal_kl : float
        KL(q(z) || p(z)) of the aggregate posterior q(z), the mixture of q(z|x) over the same observations.
    mutual_information : float
        Index-code mutual information, ``average_kl - marginal_kl``; never above ``log(num_observations)``, so near that
        bound it says only that every observation has its own code (and ``marginal_kl`` is then an overestimate).
    expected_log_likelihood : float
        Mean of E_q(z|x) log p(x|z). The ELBO is this minus ``average_kl``.
    importance_weighted_log_prob : float
        Mean of the importance-weighted bound on log p(x) with ``num_samples`` samples.
    reconstruction_log_prob : float
        Mean of log p(x|x) = log E_q(z|x) p(x|z).
    num_observations : int
        Observations that the means were taken over.
    num_samples : int
        Posterior samples of each.
    """

    average_kl: float
    marginal_kl: float
    mutual_information: float
    expected_log_likelihood: float
    importance_weighted_log_prob: float
    reconstruction_log_prob: float
    num_observations: int
    num_samples: int

    def as_dict(self) -> dict[str, float]:
        """Give the fields by name."""
        return asdict(self)


def elbo_surgery(
    model: GenerativeModel,
    guide: Guide,
    x: Tensor,
    *,
    covariates: Mapping[str, Tensor | None] | None = None,
    num_samples: int = 100,
    batch_size: int = 256,
    max_observations: int | None = 1000,
    seed: int = 0,
) -> ElboSurgery:
    """Take the ELBO apart on held-out observations.

    With samples z_ns ~ q(z | x_n), the same for all six quantities, averaged over n and s:
    ``average_kl`` of ``log q(z|x_n) - log p(z)``; ``marginal_kl`` of ``log q(z) - log p(z)`` with
    ``q(z) = 1/N sum_m q(z | x_m)``; ``mutual_information`` of ``log q(z|x_n) - log q(z)``.
    Modules are put into evaluation mode for the while, and the global random state is left as it was.

    The work grows with N squared (every sample under every posterior): at the defaults 10^8 densities.

    Parameters
    ----------
    model : GenerativeModel
        With ``prior.log_prob(z)`` and ``log_likelihood(x, z, **covariates)``.
    guide : Guide
        With ``posterior(x, **covariates)``.
    x : torch.Tensor, ``[N, F]``
        Held-out observations, on the model's device.
    covariates : mapping of str to torch.Tensor ``[N, ...]`` or None, optional
        Handed batch by batch to guide and model; a None is handed on as it is.
    num_samples : int
        Posterior samples of each observation.
    batch_size : int
        Observations encoded at a time.
    max_observations : int or None
        A random subset of this many is used where there are more; None takes all.
    seed : int
        Of the subset and the samples.

    Returns
    -------
    ElboSurgery

    Raises
    ------
    UserError
        If ``x`` is empty, a covariate has another length, a number is below one, or another guide encodes the prior's centres.

    References
    ----------
    M. Hoffman and M. Johnson (2016), "ELBO surgery: yet another way to carve up the variational evidence lower bound".
    Y. Burda, R. Grosse and R. Salakhutdinov (2016), "Importance weighted autoencoders", for the bound on log p(x).
    """
    check_guide(model.prior, guide)
    _check(x, covariates or {}, num_samples=num_samples, batch_size=batch_size, max_observations=max_observations)
    posteriors: list[Posterior] = []
    latents: list[Tensor] = []
    terms: list[Tensor] = []
    with OwnRandomNumbers(seed, x.device), usual_settings(), torch.no_grad(), ExitStack() as modes:
        for part in (model, guide, model.prior):
            if isinstance(part, torch.nn.Module):
                modes.enter_context(evaluation_mode(part))
        for rows in _subset(len(x), max_observations, seed).split(batch_size):
            batch = x[rows.to(x.device)]
            given = {k: v if v is None else v[rows.to(v.device)] for k, v in (covariates or {}).items()}
            posterior: Posterior = guide.posterior(batch, **given)
            z = posterior.sample(torch.Size((num_samples,)))
            log_p, log_likelihood = _log_joint(model, batch, z, given)
            terms.append(torch.stack([posterior.log_prob(z).double(), log_p, log_likelihood]))
            posteriors.append(posterior)
            latents.append(z)
        log_q, log_p, log_likelihood = torch.cat(terms, dim=-1)  # each [S, N]
        log_q_marginal = torch.cat([_log_mixture(posteriors, z) for z in latents], dim=-1)
    num_observations = log_q.shape[-1]
    log_ratio = log_likelihood + log_p - log_q - math.log(num_samples)
    return ElboSurgery(
        average_kl=float((log_q - log_p).mean()),
        marginal_kl=float((log_q_marginal - log_p).mean()),
        mutual_information=float((log_q - log_q_marginal).mean()),
        expected_log_likelihood=float(log_likelihood.mean()),
        importance_weighted_log_prob=float(log_ratio.logsumexp(dim=0).mean()),
        reconstruction_log_prob=float((log_likelihood - math.log(num_samples)).logsumexp(dim=0).mean()),
        num_observations=num_observations,
        num_samples=num_samples,
    )


def _log_joint(
    model: GenerativeModel, x: Tensor, z: Tensor, covariates: Mapping[str, Tensor | None]
) -> tuple[Tensor, Tensor]:
    """``log p(z)`` and ``log p(x | z)``, each ``[S, B]`` in float64, a few samples at a time."""
    elements_per_sample = max(x.numel(), _PRIOR_COMPONENTS * z[0].numel())
    chunks = z.split(max(1, _MAX_ELEMENTS // elements_per_sample))
    log_prior = torch.cat([model.prior.log_prob(chunk).double() for chunk in chunks])
    log_likelihood = torch.cat([model.log_likelihood(x, chunk, **covariates).double() for chunk in chunks])
    return log_prior, log_likelihood


def _log_mixture(posteriors: Sequence[Posterior], z: Tensor) -> Tensor:
    """Log density of ``z [S, B, D]`` under the even mixture of all posteriors, ``[S, B]`` in float64."""
    points = z.reshape(-1, 1, z.shape[-1])  # the middle axis is broadcast against the posteriors' batch
    total = torch.full((len(points),), -torch.inf, dtype=torch.float64, device=z.device)
    num_posteriors = 0
    for posterior in posteriors:
        size = posterior.log_prob(points[:1]).shape[-1]
        num_posteriors += size
        step = max(1, _MAX_ELEMENTS // (size * z.shape[-1]))
        sums = [posterior.log_prob(chunk).double().logsumexp(dim=-1) for chunk in points.split(step)]
        total = torch.logaddexp(total, torch.cat(sums))
    return (total - math.log(num_posteriors)).reshape(z.shape[:-1])


def _subset(num_observations: int, max_observations: int | None, seed: int) -> Tensor:
    """Row numbers ``[M]``, ascending."""
    if max_observations is None or num_observations <= max_observations:
        return torch.arange(num_observations)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(num_observations, generator=generator)[:max_observations].sort().values


def _check(x: Tensor, covariates: Mapping[str, Tensor | None], **numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise UserError(f"{name} is {number}: give a whole number of at least one.")
    if x.ndim == 0 or x.numel() == 0:
        raise UserError(f"x has shape {list(x.shape)}: give at least one held-out observation, [N, F].")
    for name, values in covariates.items():
        if values is not None and len(values) != len(x):
            raise UserError(
                f"Covariate {name} has {len(values)} rows but x has {len(x)}: give one row for each observation."
            )
