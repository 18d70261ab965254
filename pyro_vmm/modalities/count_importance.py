"""Posterior samples of a group of cells, drawn again so that they are of the true posteriors rather than of the guide's."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.evaluation import Evaluation
from pyro_vmm.modalities.count_expression import LATENT, cell_library
from pyro_vmm.observations import InMemory, OnDisk


def important_samples(
    evaluation: Evaluation, observations: InMemory | OnDisk, number: int, *, max_cells: int, num_samples: int
) -> tuple[NDArray[np.int64], InMemory | OnDisk]:
    r"""Cells ``[number]`` with a sample each, drawn with replacement from samples of all cells by their weights.

    A sample ``z`` of any of the cells weighs

    .. math::
        w(z) = \frac{\sum_a p(z)\, p(x_a \mid z) / p(x_a)}{\sum_a q(z \mid x_a)}

    over at most ``max_cells`` of the cells, ``a`` (Boyeau et al., "An empirical Bayes method for differential expression
    analysis of single cells with deep generative models", 2023). ``p(x_a | z)`` is decoded as of the cell that ``z`` is a
    sample of, at the library size of cell ``a``. Draws come from torch's global generator.

    Parameters
    ----------
    evaluation
        The fitted model and guide.
    observations
        N cells and their covariates.
    number
        Samples wanted.
    max_cells
        Cells that make up the sums.
    num_samples
        Posterior samples by which each ``p(x_a)`` is estimated.

    Returns
    -------
    rows
        Which cells they are, ``[number]``.
    observations
        These cells, with their samples ``[number, D]`` as the covariate :data:`~pyro_vmm.modalities.count_expression.LATENT`.
    """
    cells = len(observations)
    each = number // cells + 1

    def draw(x: Tensor, **covariates: Tensor) -> Tensor:
        return evaluation.guide.posterior(x, **covariates).sample((each,)).transpose(0, 1)

    z = torch.from_numpy(evaluation.by_rows(draw, observations, own_noise=False)).to(evaluation.dtype)
    rows = np.repeat(np.arange(cells), each)
    pool = observations.subset(rows).with_covariates(**{LATENT: z.flatten(0, 1)})
    some = torch.randperm(cells)[:max_cells].numpy() if max_cells < cells else np.arange(cells)
    log_weights = _log_weights(evaluation, pool, observations.subset(some), num_samples)
    weights = torch.from_numpy(log_weights - log_weights.max()).exp()
    chosen = weights.multinomial(number, replacement=True).numpy()
    return rows[chosen], pool.subset(chosen)


def _log_weights(
    evaluation: Evaluation, pool: InMemory | OnDisk, anchors: InMemory | OnDisk, num_samples: int
) -> NDArray[np.float64]:
    """``log w`` of the samples in the pool, ``[M]``, up to a constant."""
    ratios = evaluation.log_ratios(anchors, num_samples=num_samples)[0]
    log_evidence = torch.from_numpy(np.logaddexp.reduce(ratios, 1) - np.log(num_samples)).to(evaluation.device)
    x, covariates = anchors.minibatch(torch.arange(len(anchors)), evaluation.device)

    def of_block(_: Tensor, *, latent: Tensor, **given: Tensor) -> Tensor:
        model, guide = evaluation.model, evaluation.guide
        libraries, outputs = cell_library(evaluation, x, covariates), model.decoder(latent, **given)
        log_likelihoods = [
            model.likelihood(outputs, **{**given, "library_size": library.expand(len(latent))}).log_prob(counts)
            for counts, library in zip(x, libraries, strict=True)
        ]
        explained = torch.stack(log_likelihoods, -1).double() - log_evidence
        proposed = guide.posterior(x, **covariates).log_prob(latent.unsqueeze(1)).double()
        return model.prior.log_prob(latent).double() + explained.logsumexp(-1) - proposed.logsumexp(-1)

    return evaluation.by_rows(of_block, pool)
