"""The ELBO of observations, estimated: the one estimator behind validation, scores and reports."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from pyro.infer import TraceEnum_ELBO, TraceMeanField_ELBO
from torch import Tensor

from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.infer.objectives import evaluated_loss
from pyro_vmm.infer.recorded_site import RecordedSite
from pyro_vmm.models.latent_mixture import LatentMixtureModel
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.process_lock import PROCESS_LOCK


class EstimatedElbo(NamedTuple):
    """Means over observations, in nats each."""

    elbo: float
    reconstruction: float
    """Mean ``log p(x | z)``; NaN where the objective does not evaluate the site ``x``. Less the ELBO it is the KL term."""


def estimated_elbo(
    model: LatentMixtureModel,
    guide: AmortizedNormal,
    minibatches: Iterable[tuple[Tensor, Mapping[str, Tensor]]],
    loss: Any = None,
) -> EstimatedElbo:
    """Evaluate the objective in evaluation mode and at full KL weight, moving nothing.

    Parameters
    ----------
    model, guide
        On one device. Draws are from torch's global generators as they are.
    minibatches
        Observations ``[B, F]`` and their covariates, one minibatch after the other.
    loss
        A Pyro ELBO; ``TraceMeanField_ELBO`` where None, as in training.
    """
    loss = TraceMeanField_ELBO() if loss is None else loss
    elbo = reconstruction = 0.0
    number = 0
    for x, covariates in minibatches:
        with (
            PROCESS_LOCK,
            torch.no_grad(),
            evaluation_mode(guide),
            evaluation_mode(model),
            RecordedSite("x") as recorded,
        ):
            found = evaluated_loss(loss, story_of(model, loss), guide.forward, x, **covariates)
        value, likelihood = torch.stack([found, recorded.mean.to(found)]).tolist()
        elbo -= value
        reconstruction += likelihood * len(x)
        number += len(x)
    return EstimatedElbo(elbo / number, reconstruction / number)


def story_of(model: LatentMixtureModel, loss: Any) -> Callable[..., Tensor]:
    """The model that the ELBO sees; its assignments are summed out, unless the ELBO itself sums them."""
    if not isinstance(loss, TraceEnum_ELBO):
        return model.fitted

    def sampled(*args: Any, **kwargs: Any) -> Tensor:
        return model.fitted(*args, assignments="sampled", **kwargs)

    return sampled
