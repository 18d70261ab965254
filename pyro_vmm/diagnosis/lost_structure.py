"""Whether the embedding knows the observations apart, and the decoder reads it. No label enters."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from pyro import poutine
from torch import Tensor

from pyro_vmm.diagnosis.finding import Finding
from pyro_vmm.diagnosis.posteriors import Posteriors
from pyro_vmm.diagnosis.sampled_rows import told
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.observations import Observations, Rows

INFORMATION, RECONSTRUCTION = "information in the embedding", "reconstruction"
TWO_HALVES = math.log(2)
"""Nats that tell which half of the data an observation is of. With less, not even two groups can be kept apart."""
ADVICE = "Train longer, raise the learning rate, warm the KL term up (kl_warmup_steps), or look whether the features say anything."


def information_in_embedding(posteriors: Posteriors, sizes: ArrayLike, num_observations: int) -> Finding:
    """Say how much the latents tell of which observation they belong to: the mutual information under ``q(z | x)``.

    The clusters tell the entropy of their sizes. Where that is more than the latents tell, posteriors straddle clusters, and
    the most probable cluster is surer than the embedding is.

    It cannot see whether what is told is biology or noise, and the estimate ends at the log of the observations looked at.

    Parameters
    ----------
    posteriors
        Of the rows looked at.
    sizes
        Observations in each cluster, ``[C]``.
    num_observations
        Of how many observations they were drawn.
    """
    from scipy.stats import entropy

    most = min(500, len(posteriors))
    nats = posteriors.information(most)
    claimed = float(entropy(np.asarray(sizes)))
    sentence = (
        f"A latent tells {nats:.2f} nats of its observation and its cluster claims {claimed:.2f}, of at most "
        f"{math.log(most):.2f} that can be seen on {told(most, num_observations)}."
    )
    if nats < TWO_HALVES:
        return Finding(INFORMATION, "warning", sentence, ADVICE, nats)
    if nats < claimed:
        advice = "Ask for predict_proba(..., num_samples=50), and take fewer clusters (num_clusters). " + ADVICE
        return Finding(INFORMATION, "notice", sentence, advice, nats)
    return Finding(INFORMATION, "fine", sentence, value=nats)


def reconstruction_gain(evaluation: Evaluation, observations: Observations | Rows) -> float:
    """``log p(x | own latent) - log p(x | another observation's latent)`` in nats, the mean over M of them in random order.

    Only ``z`` is exchanged: covariates and library size stay the observation's own. About zero for a model that ignores
    ``z``.
    """

    def of_block(x: Tensor, **covariates: Tensor) -> Tensor:
        guide_trace = poutine.trace(evaluation.guide.forward).get_trace(x, **covariates)

        def log_likelihood() -> Tensor:
            story = poutine.replay(evaluation.model.fitted, trace=guide_trace)
            trace = poutine.trace(story).get_trace(x, **covariates)
            trace.compute_log_prob()
            value: Tensor = trace.nodes["x"]["log_prob"]
            return value

        own = log_likelihood()
        guide_trace.nodes["z"]["value"] = guide_trace.nodes["z"]["value"].roll(1, 0)
        return torch.stack((own, log_likelihood()), -1)

    both = evaluation.by_rows(of_block, observations)
    return float(np.mean(both[:, 0] - both[:, 1]))


def reconstruction(gain: float, looked_at: int, num_observations: int) -> Finding:
    """Say whether the decoder reads the latents, from :func:`reconstruction_gain`.

    Another observation's latent is a worse guess than ignoring the latent, so a small gain is bad for certain while a
    large one is not yet good: whether replicated data look like the data is asked by posterior predictive checks.
    """
    sentence = (
        f"An observation's own latent explains it better than another's by {gain:.3g} nats, the mean over "
        f"{told(looked_at, num_observations)}."
    )
    if gain < TWO_HALVES:
        advice = "The decoder hardly reads the embedding, so its clusters mean nothing. " + ADVICE
        return Finding(RECONSTRUCTION, "warning", sentence, advice, gain)
    return Finding(RECONSTRUCTION, "fine", sentence, value=gain)
