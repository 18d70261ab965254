"""Training that breaks down in a factorisation, told like any other loss that ceases to be finite."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pyro_vmm.infer.empirical_bayes_svi import NonFiniteLossError


@contextmanager
def breakdown_told() -> Iterator[None]:
    """Raise :class:`NonFiniteLossError` where torch cannot factorise a covariance inside the block."""
    try:
        yield
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        raise NonFiniteLossError(
            "A covariance could not be factorised, because values or parameters have become too large: rescale the data "
            "(standardize=True where there is such an option) or try a lower learning rate."
        ) from None
