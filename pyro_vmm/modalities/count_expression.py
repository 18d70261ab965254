"""What a fitted model says of genes: denoised expression, and replicated counts."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.evaluation import Evaluation
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.observations import Observations

LATENT = "latent"
"""Name under which samples of the latents travel with their cells."""

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
        z = posterior.sample((num_samples,)) if num_samples else posterior.mean.unsqueeze(0)
        total = block.new_zeros(len(block), len(genes))
        for draw in z:
            for batch in batches:
                total += shares(evaluation.model, draw, as_of_batch(given, batch))[:, columns]
        mean = total / (len(z) * len(batches))
        return mean * _scale(evaluation, block, given, library_size)

    return evaluation.by_rows(of_block, observations)


def sampled_expression(
    evaluation: Evaluation,
    observations: Observations,
    *,
    genes: NDArray[np.int64],
    batches: Sequence[int | None] = (None,),
    library_size: LibrarySize = 1.0,
    num_samples: int = 1,
) -> NDArray[np.float64]:
    """As :func:`normalized_expression` at each of ``num_samples`` posterior samples, ``[N, num_samples, len(genes)]``.

    Draws come from torch's global generator; of cells that have a covariate :data:`LATENT`, that is taken for them.
    """
    columns = torch.from_numpy(genes)

    def of_block(block: Tensor, **given: Tensor) -> Tensor:
        drawn = given.pop(LATENT, None)
        posterior, scale = evaluation.guide.posterior(block, **given), _scale(evaluation, block, given, library_size)
        draws = []
        for _ in range(num_samples):
            z = posterior.sample() if drawn is None else drawn
            decoded = [shares(evaluation.model, z, as_of_batch(given, batch))[:, columns] for batch in batches]
            draws.append(torch.stack(decoded).mean(0) * scale)
        return torch.stack(draws, 1)

    return evaluation.by_rows(of_block, observations, own_noise=False)


def as_of_batch(covariates: Mapping[str, Tensor], batch: int | None) -> dict[str, Tensor]:
    """The covariates with another batch in the place of each cell's own; None leaves it."""
    given = dict(covariates)
    if batch is not None and "batch" in given:
        given["batch"] = torch.zeros_like(given["batch"])
        given["batch"][:, batch] = 1.0
    return given


def _scale(evaluation: Evaluation, x: Tensor, covariates: Mapping[str, Tensor], library_size: LibrarySize) -> Any:
    """What shares are multiplied by: a number, or ``[N, 1]``."""
    if library_size == "latent":
        return cell_library(evaluation, x, covariates).unsqueeze(-1)
    return float(library_size)


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


def sampled_library(evaluation: Evaluation, x: Tensor, covariates: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A draw of inferred library sizes ``[N]`` under the covariate's name; nothing where they are observed."""
    if "library_size" in covariates:
        return {}
    return {"library_size": evaluation.guide.library_posterior(x, **covariates).sample()}


def replicate(
    evaluation: Evaluation,
    observations: Observations,
    *,
    genes: NDArray[np.int64],
    num_samples: int,
    batches: Sequence[int | None] = (None,),
) -> NDArray[np.float64]:
    """Counts drawn from ``p(x_new | x)``, ``[N, len(genes), num_samples]``: each from a posterior draw of its cell's latents.

    Draws come from torch's global generator. With several ``batches`` each number is the mean of one draw as of each batch.
    """
    columns = torch.from_numpy(genes)

    def of_block(block: Tensor, **given: Tensor) -> Tensor:
        draws = []
        for _ in range(num_samples):
            z = evaluation.guide.posterior(block, **given).sample()
            library = sampled_library(evaluation, block, given)
            counts = [
                evaluation.model.observation(z, **as_of_batch(given, batch), **library).sample()[:, columns]
                for batch in batches
            ]
            draws.append(torch.stack(counts).mean(0) if len(counts) > 1 else counts[0])
        return torch.stack(draws, -1)

    return evaluation.by_rows(of_block, observations, own_noise=False)
