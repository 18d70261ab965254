"""``--deterministic`` and ``--threads``: what can be done about the same seed giving the same bits."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def determinism(asked: bool, *, threads: int | None) -> Iterator[None]:
    """Within, ``threads`` threads and, if asked, only operations whose result is a function of their input (others raise).

    Without a number of threads, these run on one: on a CPU a sum's rounding depends on how many threads share it.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark, torch.get_num_threads()
    if asked:
        # Read by cuBLAS at its first use.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        threads = threads or 1
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.set_num_threads(before[2])
