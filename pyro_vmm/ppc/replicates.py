"""Observations drawn anew from a model, each beside the one that it replicates."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pyro import poutine
from torch import Tensor

from pyro_vmm.evaluation import ROWS_AT_ONCE
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.ppc.observing import Observed, needed_guide
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.random_numbers import OwnRandomNumbers

Source: TypeAlias = Literal["posterior", "prior"]
SOURCES: tuple[Source, ...] = ("posterior", "prior")
Block: TypeAlias = tuple[NDArray[np.float32], NDArray[np.floating[Any]]]
"""Latents ``[B, D]``, and observations ``[B, F]`` in the data's units."""


def replicated_blocks(observed: Observed, source: Source, seed: int, replicate: int) -> Iterator[Block]:
    """Draw one replicate of all observations, a block at a time.

    The numbers are a function of seed, source, replicate and block alone, not of how many replicates are drawn; the caller's
    stream of random numbers is left alone.

    Raises
    ------
    UserError
        For the posterior of a bare model without its guide.
    """
    if source == "posterior":
        needed_guide(observed.guide, "source='posterior'")
    for block, rows in enumerate(torch.arange(len(observed)).split(ROWS_AT_ONCE)):
        entropy = np.random.SeedSequence([seed, SOURCES.index(source), replicate, block]).generate_state(1, np.uint64)
        z, x = _draw(observed, rows, source, int(entropy[0] >> 1))
        yield z.float().cpu().numpy(), observed.draws_in_data_units(x)


def _draw(observed: Observed, rows: Tensor, source: Source, seed: int) -> tuple[Tensor, Tensor]:
    """Latents ``[B, D]`` and observations ``[B, F]`` as the model draws them."""
    model: LatentMixtureModel = observed.model
    device = _device_of(model)
    x, covariates = observed.observations.minibatch(rows, device)
    # Where draws are from the prior, its centres may still be the guide's.
    guide: Any = torch.nn.Identity() if observed.guide is None else observed.guide
    with (
        OwnRandomNumbers(seed, device),
        usual_settings(),
        torch.no_grad(),
        evaluation_mode(model),
        evaluation_mode(guide),
    ):
        story = model.fitted
        if source == "posterior":
            latents = poutine.trace(guide.forward).get_trace(x, **covariates)
            story = poutine.replay(story, trace=latents)
        nodes = poutine.trace(story).get_trace(num_observations=len(rows), **covariates).nodes
    return nodes["z"]["value"], nodes["x"]["value"]


def _device_of(model: LatentMixtureModel) -> torch.device:
    """Where its parameters live; a model may have buffers alone, or nothing."""
    values = chain(model.parameters(), model.buffers())
    return next((value.device for value in values), torch.device("cpu"))
