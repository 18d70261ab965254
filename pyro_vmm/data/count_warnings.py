"""What the user may want to know of counts and covariates that can be fitted."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.data.arrays import listed
from pyro_vmm.data.cell_covariates import mean_and_scale, standardize
from pyro_vmm.data.data_warning import DataWarning
from pyro_vmm.errors import Option

if TYPE_CHECKING:
    import pandas as pd

MANY_GENES = 10_000
"""More genes than this bring a hint to choose the highly variable ones."""

DISTINCT_LEFT = 0.75
"""Share of a covariate's distinct values below which a warning says that rounding merges them.

Of millions of random numbers some tenths of the values merge by chance, and no harm done.
"""

# Of both warnings: whoever called ``read_counts``, which calls the functions below.
_STACKLEVEL = 3


def warn_of_genes(cells: NDArray[np.int64], genes: NDArray[np.str_], source: str) -> None:
    """Warn of genes that no cell has, by the number of ``cells [G]`` of each, and of more than :data:`MANY_GENES` genes."""
    silent = genes[cells == 0]
    if len(silent):
        plural = "s" if len(silent) > 1 else ""
        warnings.warn(
            f"{source} has {len(silent)} gene{plural} with no counts, {listed(list(silent))}: kept, but nothing can be "
            "learned from them.",
            DataWarning,
            stacklevel=_STACKLEVEL,
        )
    if len(genes) > MANY_GENES:
        warnings.warn(
            f"{source} has {len(genes)} genes: a choice of highly variable ones, as with "
            "scanpy.pp.highly_variable_genes, is faster and often better; none is left out unless you do.",
            DataWarning,
            stacklevel=_STACKLEVEL,
        )


def warn_of_merged_values(continuous: NDArray[np.float64], obs: "pd.DataFrame", columns: Sequence[str]) -> None:
    """Warn of columns of ``continuous [N, C]`` of which float32 merges many of the distinct values that ``obs`` has."""
    for column, values in zip(columns, continuous.T, strict=True):
        exact, distinct = len(np.unique(values)), int(obs[column].nunique())
        left = len(np.unique(standardize(values[:, None], *mean_and_scale(values[:, None]))))
        if left >= DISTINCT_LEFT * distinct:
            continue
        if exact < distinct:
            advice = f"subtract the smallest first, adata.obs[{column!r}] - adata.obs[{column!r}].min()"
        else:
            advice = f"correct outliers, or give ranks, adata.obs[{column!r}].rank()"
        merged = DataWarning(
            f"adata.obs[{column!r}] (",
            Option("continuous_covariate_keys"),
            f") has {distinct} distinct values, of which only {left} stay distinct when they are standardised in float32: "
            f"{advice}.",
        )
        warnings.warn(merged, stacklevel=_STACKLEVEL)
