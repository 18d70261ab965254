"""When a compiled kernel takes the pass over all counts, and how the work is handed to it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.distributions.compiled import SMALLEST, can_compile

NARROWEST = 64
"""Least length of a row, the last dimension: a kernel works on one row after another."""


def compiled_negative_binomial(value: Tensor, parameters: Sequence[Tensor], results: Sequence[Tensor]) -> Tensor | None:
    """Write log-probabilities, zero-inflated ones given three parameters, and their derivatives.

    Parameters
    ----------
    value
        Counts, any shape.
    parameters
        Mean, inverse dispersion and perhaps the logits of the dropout, expanded to that shape.
    results
        Flat tensors to be written: log-probability, then its derivative by each parameter, or none of these.

    Returns
    -------
    Tensor or None
        Flat indices of the entries that are still to be done; None where nothing has been.
    """
    tensors = (value, *parameters, *results)
    if any(tensor.dtype != torch.float32 or tensor.device.type != "cpu" for tensor in tensors):
        return None
    if value.numel() < SMALLEST or value.shape[-1] < NARROWEST or not can_compile():
        return None
    from pyro_vmm.distributions.compiled.counts import kernel

    columns, gated = value.shape[-1], len(parameters) == 3
    run = kernel(gated=gated)
    log_prob, *partials = (result.detach().numpy().reshape(-1, columns) for result in results)
    given = [_rows(tensor) for tensor in (value, *parameters)]

    def work(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        found = partials or [np.empty((1, columns), np.float32) for _ in parameters]
        left = np.empty(len(rows) * columns, np.int64)
        # Without a gate its places are filled by what is there anyway.
        inputs, outputs = (given, found) if gated else ([*given, given[-1]], [*found, found[-1]])
        return left[: run(rows[0], rows[-1] + 1, *inputs, log_prob, *outputs, left)]

    blocks = np.array_split(np.arange(len(log_prob)), min(torch.get_num_threads(), len(log_prob)))
    if len(blocks) == 1:
        return torch.from_numpy(work(blocks[0]))
    with ThreadPoolExecutor(len(blocks)) as pool:
        return torch.from_numpy(np.concatenate([*pool.map(work, blocks)]))


def _rows(tensor: Tensor) -> NDArray[np.float32]:
    """``[R, F]`` of an expanded ``[..., F]``: only those rows after which all others repeat themselves."""
    while tensor.ndim > 1 and tensor.stride(0) == 0:
        tensor = tensor[0]
    rows: NDArray[np.float32] = tensor.detach().reshape(-1, tensor.shape[-1]).contiguous().numpy()
    return rows
