"""``--deterministic``: what can be done about the same seed giving the same bits."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def determinism(asked: bool, *, threads_given: bool) -> Iterator[None]:
    """Within, only operations whose result is a function of their input (others raise), on one thread unless told otherwise.

    On a CPU a sum's rounding depends on how many threads share it: with one, it does not depend on the machine's cores.
    """
    if not asked:
        yield
        return
    # Read by cuBLAS at its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark, torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    if not threads_given:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.set_num_threads(before[2])
