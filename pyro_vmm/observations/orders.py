"""Which observations are held out, and in what order the others are seen: functions of seed and epoch alone."""

from collections.abc import Sequence

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
    order = torch.randperm(num_observations, generator=_generator(seed, epoch))
    return list(order.tensor_split(num_minibatches(num_observations, batch_size)))


def minibatches_by_blocks(
    num_observations: int, batch_size: int, *, seed: int, epoch: int, rows_in_a_block: int, blocks_in_a_window: int
) -> tuple[list[Tensor], list[NDArray[np.int64]]]:
    """As :func:`minibatches`, in an order in which neighbours of the data can be read together.

    Blocks of neighbouring rows are permuted and cut into windows, and the rows of each window are permuted. Where all blocks make
    one window, the minibatches are those of :func:`minibatches`.

    Returns
    -------
    list of Tensor
        The minibatches. One may begin in a window and end in the next.
    list of NDArray
        Numbers of the blocks of each window, ascending.
    """
    blocks = -(-num_observations // rows_in_a_block)
    if blocks <= blocks_in_a_window:
        return minibatches(num_observations, batch_size, seed=seed, epoch=epoch), [np.arange(blocks)]
    generator = _generator(seed, epoch)
    shuffled = torch.randperm(blocks, generator=generator).tensor_split(-(-blocks // blocks_in_a_window))
    windows = [part.sort().values.numpy() for part in shuffled]
    parts = []
    for window in windows:
        rows = torch.from_numpy(rows_of_blocks(window, rows_in_a_block, num_observations))
        parts.append(rows[torch.randperm(len(rows), generator=generator)])
    return list(torch.cat(parts).tensor_split(num_minibatches(num_observations, batch_size))), windows


def rows_of_blocks(blocks: NDArray[np.int64], rows_in_a_block: int, num_observations: int) -> NDArray[np.int64]:
    """Row numbers of the blocks ``[W]``, block after block; the last one may be short."""
    rows = (blocks[:, None] * rows_in_a_block + np.arange(rows_in_a_block)).ravel()
    return rows[rows < num_observations]


def _generator(seed: int, epoch: int) -> torch.Generator:
    entropy = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(entropy >> 1))


def split_rows(
    num_observations: int, fraction: float, seed: int, groups: Sequence[NDArray[np.int64]] = ()
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and held-out rows, each in increasing order; at least two for training.

    Parameters
    ----------
    num_observations
        Number of rows ``N``.
    fraction
        Share of the rows to hold out.
    seed
        Decides which.
    groups
        Codes ``[N]`` of groups that must be trained on. A group that would lie wholly among the held-out rows keeps its share
        of its rows for training (two at least, where it has two), and rows of groups with more of them are held out instead.
        Where no group would, the rows are those chosen without ``groups``.
    """
    held_out = max(0, min(round(fraction * num_observations), num_observations - 2))
    order = np.random.default_rng(seed).permutation(num_observations)
    if groups and held_out:
        order, held_out = _with_every_group(order, held_out, fraction, groups)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def _with_every_group(
    order: NDArray[np.int64], held_out: int, fraction: float, groups: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], int]:
    """Reorder ``order [N]``, of which the first ``held_out`` are held out; returns it with the number then held out."""
    is_held_out = np.zeros(len(order), dtype=bool)
    is_held_out[order[:held_out]] = True
    for codes in groups:
        # Counted anew for each kind of groups: one may have brought back rows of another.
        untrained = order[(_trained(codes, is_held_out) == 0)[codes[order]]]
        for code in np.unique(codes[untrained]):
            rows = untrained[codes[untrained] == code]
            is_held_out[rows[: max(2, round((1.0 - fraction) * len(rows)))]] = False
    missing = held_out - int(is_held_out.sum())
    left = [_trained(codes, is_held_out) for codes in groups]
    for row in order[held_out:]:
        if missing == 0:
            break
        if all(counts[codes[row]] > 2 for counts, codes in zip(left, groups, strict=True)):
            is_held_out[row] = True
            missing -= 1
            for counts, codes in zip(left, groups, strict=True):
                counts[codes[row]] -= 1
    first = is_held_out[order]
    return np.concatenate([order[first], order[~first]]), int(first.sum())


def _trained(codes: NDArray[np.int64], is_held_out: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows of each group that are trained on."""
    return np.bincount(codes[~is_held_out], minlength=int(codes.max()) + 1)
