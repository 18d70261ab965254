"""What a fitted model says of genes: denoised expression, and replicated counts."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.evaluation import Evaluation
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.observations import Observations

LibrarySize = float | Literal["latent"]


def normalized_expression(
    evaluation: Evaluation,
    observations: Observations,
    *,
    genes: NDArray[np.int64],
    batches: Sequence[int | None] = (None,),
    library_size: LibrarySize = 1.0,
    num_samples: int = 0,
) -> NDArray[np.float64]:
    """Expected counts before dropout, ``library_size * rho``, as ``[N, len(genes)]``.

    Parameters
    ----------
    evaluation
        The fitted model and guide.
    observations
        Cells and their covariates by tensor name.
    genes
        Columns to return.
    batches
        Batches in whose place each cell is decoded, averaged over; None for the cell's own. The cell is always encoded
        with its own.
    library_size
        Counts that a cell is scaled to, or ``"latent"`` for the cell's own (observed, or inferred by the guide).
    num_samples
        Posterior samples of ``z`` to average over; 0 for its posterior mean.
    """
    columns = torch.from_numpy(genes)

    def of_block(block: Tensor, **given: Tensor) -> Tensor:
        posterior = evaluation.guide.posterior(block, **given)
        own = cell_library(evaluation, block, given) if library_size == "latent" else None
        z = posterior.sample((num_samples,)) if num_samples else posterior.mean.unsqueeze(0)
        total = block.new_zeros(len(block), len(genes))
        for draw in z:
            for batch in batches:
                decoded = dict(given)
                if batch is not None and "batch" in given:
                    decoded["batch"] = torch.zeros_like(given["batch"])
                    decoded["batch"][:, batch] = 1.0
                total += shares(evaluation.model, draw, decoded)[:, columns]
        mean = total / (len(z) * len(batches))
        return mean * (own.unsqueeze(-1) if own is not None else float(library_size))

    return evaluation.by_rows(of_block, observations)


def shares(model: LatentMixtureModel, z: Tensor, covariates: Mapping[str, Tensor]) -> Tensor:
    """``rho [N, G]``: each gene's share of a cell's expected counts, at latents ``[N, D]``."""
    outputs: Tensor = model.decoder(z, **covariates)
    # The scale head comes first in every likelihood of counts.
    return outputs[..., : outputs.shape[-1] // model.likelihood.outputs_per_feature].softmax(-1)


def cell_library(evaluation: Evaluation, x: Tensor, covariates: Mapping[str, Tensor]) -> Tensor:
    """Library sizes ``[N]``: observed, or the median of the guide's posterior."""
    if "library_size" in covariates:
        return covariates["library_size"]
    median: Tensor = evaluation.guide.library_posterior(x, **covariates).base_dist.mean.exp()
    return median


def replicate(
    evaluation: Evaluation,
    observations: Observations,
    *,
    genes: NDArray[np.int64],
    num_samples: int,
) -> NDArray[np.float64]:
    """Counts drawn from ``p(x_new | x)``, ``[N, len(genes), num_samples]``: each from a posterior draw of its cell's latents.

    Draws come from torch's global generator.
    """
    columns = torch.from_numpy(genes)

    def of_block(block: Tensor, **given: Tensor) -> Tensor:
        draws = []
        for _ in range(num_samples):
            z = evaluation.guide.posterior(block, **given).sample()
            decoded = dict(given)
            if "library_size" not in given:
                decoded["library_size"] = evaluation.guide.library_posterior(block, **given).sample()
            draws.append(evaluation.model.observation(z, **decoded).sample()[:, columns])
        return torch.stack(draws, -1)

    return evaluation.by_rows(of_block, observations, own_noise=False)
