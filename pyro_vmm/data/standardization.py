"""Features with mean 0 and standard deviation 1, and a warning where float32 loses what was given."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.calling_code import warn_caller
from pyro_vmm.data.data_warning import DataWarning
from pyro_vmm.data.rounding import NOISE, merged_values
from pyro_vmm.errors import UserError

FAR_OUTLIERS = "some values lie too far from the others: remove or correct them, or transform the column"


def moments(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and standard deviation of each feature of ``x [N, F]``, ``[F]`` each and of the dtype of ``x``.

    The standard deviation of a constant feature is given as 1.

    Raises
    ------
    UserError
        If squares of the values are beyond float64.
    """
    # In float64: the squares of large values, and means of many, are beyond float32.
    exact = x.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = exact.mean(0), exact.std(0)
    if not (np.isfinite(mean) & np.isfinite(spread)).all():
        feature = int(np.argmin(np.isfinite(mean) & np.isfinite(spread)))
        raise UserError(f"X has values in column {feature} whose squares are too large for float64: rescale the data.")
    smallest = np.finfo(np.float32).tiny if x.dtype == np.float32 else NOISE * np.abs(exact).max(0)
    return mean.astype(x.dtype), np.where(spread > smallest, spread, 1).astype(x.dtype)


def warn_of_merged_values(values: NDArray[Any], names: Sequence[str] | None, advice: str) -> None:
    """Warn where the model, which computes in float32, takes distinct values of ``values [N, F]`` as equal."""
    merged = merged_values(values)
    if merged is None:
        return
    column = merged.feature if names is None else repr(str(names[merged.feature]))
    others = f" (so for {merged.num_features} columns)" if merged.num_features > 1 else ""
    warn_caller(
        f"X has {merged.distinct} different values in column {column}, and float32, in which the model computes, keeps "
        f"{merged.left} of them{others}: {advice}.",
        DataWarning,
    )
