"""Which observations are held out, and in what order the others are seen: functions of seed and epoch alone."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def num_minibatches(num_observations: int, batch_size: int) -> int:
    """Minibatches in an epoch: ``ceil(N / batch_size)``, or one fewer where an odd N is taken in pairs."""
    number = max(1, -(-num_observations // max(1, batch_size)))
    return number if batch_size < 2 else min(number, max(1, num_observations // 2))


def minibatches(num_observations: int, batch_size: int, *, seed: int, epoch: int) -> list[Tensor]:
    """Split a fresh permutation of ``0 .. N-1`` into equal minibatches of at most ``batch_size``.

    Sizes differ by at most one. No minibatch is a single observation, which batch normalisation cannot take, unless
    ``batch_size`` is 1: pairs of an odd number of observations are one fewer, and one has three. Being a function of
    ``seed`` and ``epoch``, the order needs no state of its own in a checkpoint.

    Returns
    -------
    list of Tensor
        As many long tensors as :func:`num_minibatches` says, which partition ``0 .. N-1``.
    """
    entropy = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(entropy >> 1))
    order = torch.randperm(num_observations, generator=generator)
    return list(order.tensor_split(num_minibatches(num_observations, batch_size)))


def split_rows(num_observations: int, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and held-out rows, each in increasing order; at least two for training."""
    held_out = min(round(fraction * num_observations), num_observations - 2)
    order = np.random.default_rng(seed).permutation(num_observations)
    return np.sort(order[max(held_out, 0) :]), np.sort(order[: max(held_out, 0)])
