"""What a fitted model says of the distribution of each count: its parameters, and expression without counting noise."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.distributions import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from pyro_vmm.errors import UserError
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.modalities.count_expression import as_of_batch, sampled_library
from pyro_vmm.observations import Observations


def likelihood_parameters(
    evaluation: Evaluation, observations: Observations, *, num_samples: int, own_noise: bool
) -> dict[str, NDArray[np.float32]]:
    """Parameters of ``p(x | z)`` at posterior samples, ``[N, num_samples, G]`` each.

    Parameters
    ----------
    evaluation
        The fitted model and guide.
    observations
        Cells and their covariates.
    num_samples
        Posterior samples of the latents.
    own_noise
        Whether draws are those of a fixed seed, rather than of torch's global generator.

    Returns
    -------
    dict
        ``"mean"`` before dropout; ``"dispersions"``, inverse dispersions, unless counts are Poisson; ``"dropout"``,
        probabilities, where counts are zero-inflated.

    Raises
    ------
    UserError
        For a likelihood that is none of the package's.
    """
    names: list[str] = []

    def of_block(block: Tensor, **given: Tensor) -> Tensor:
        draws = []
        for _ in range(num_samples):
            z = evaluation.guide.posterior(block, **given).sample()
            library = sampled_library(evaluation, block, given)
            counts = evaluation.model.observation(z, **given, **library)
            parameters = _of_counts(getattr(counts, "base_dist", counts))
            names[:] = parameters
            draws.append(torch.stack(list(parameters.values())))
        return torch.stack(draws, 1).movedim(2, 0)

    found = evaluation.by_rows(of_block, observations, own_noise=own_noise).astype(np.float32)
    return {name: found[:, place] for place, name in enumerate(names)}


def _of_counts(counts: object) -> dict[str, Tensor]:
    if isinstance(counts, Poisson):
        return {"mean": counts.mean}
    if isinstance(counts, NegativeBinomial):
        return {"mean": counts.mean, "dispersions": counts.inverse_dispersion}
    if isinstance(counts, ZeroInflatedNegativeBinomial):
        return {
            "mean": counts.base_dist.mean,
            "dropout": counts.gate_logits.sigmoid(),
            "dispersions": counts.inverse_dispersion,
        }
    raise UserError(
        f"The likelihood gives a {type(counts).__name__}, whose parameters have no names here: ask the model itself, "
        "model.module.observation(z, ...)."
    )


def denoised_draws(
    evaluation: Evaluation, observations: Observations, *, batch: int | None, library_size: float, num_samples: int
) -> NDArray[np.float32]:
    """Expression in which cells of one state still differ, without the noise of counting, ``[N, num_samples, G]``.

    Each draw is of the Gamma that, mixed with a Poisson, is the negative binomial of the counts; of Poisson counts it is
    their mean. Draws come from torch's global generator.

    Parameters
    ----------
    evaluation
        The fitted model and guide.
    observations
        Cells and their covariates.
    batch
        In whose place cells are decoded; None for their own.
    library_size
        Counts that every cell is scaled to.
    num_samples
        Posterior samples of the latents.
    """

    def of_block(block: Tensor, **given: Tensor) -> Tensor:
        decoded = as_of_batch(given, batch) | {"library_size": block.new_full((len(block),), library_size)}
        draws = []
        for _ in range(num_samples):
            z = evaluation.guide.posterior(block, **given).sample()
            counts = evaluation.model.observation(z, **decoded)
            draws.append(_without_counting(_of_counts(getattr(counts, "base_dist", counts))))
        return torch.stack(draws, 1)

    return evaluation.by_rows(of_block, observations, own_noise=False).astype(np.float32)


def _without_counting(parameters: Mapping[str, Tensor]) -> Tensor:
    mean, inverse_dispersion = parameters["mean"], parameters.get("dispersions")
    if inverse_dispersion is None:
        return mean
    return torch.distributions.Gamma(inverse_dispersion, inverse_dispersion / mean).sample()


def library_sizes(evaluation: Evaluation, observations: Observations, *, mean: bool) -> NDArray[np.float32]:
    """Library sizes ``[N, 1]``: observed ones as they are; of inferred ones the posterior's mean, or one draw each.

    Draws come from torch's global generator.
    """

    def of_block(block: Tensor, **given: Tensor) -> Tensor:
        if "library_size" in given:
            return given["library_size"].reshape(-1, 1)
        posterior = evaluation.guide.library_posterior(block, **given)
        library: Tensor = posterior.mean if mean else posterior.sample()
        return library.unsqueeze(-1)

    return evaluation.by_rows(of_block, observations, own_noise=mean).astype(np.float32)
