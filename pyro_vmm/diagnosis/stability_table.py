"""Agreement between seeds as a table: a row an observation, a column a run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pyro_vmm.diagnosis.stability import Stability, stability
from pyro_vmm.errors import UserError

SEED = "seed_"


def stability_table(found: Stability, runs: Sequence[ArrayLike], ids: ArrayLike) -> pd.DataFrame:
    """Lay out what :func:`stability_from_table` reads.

    Parameters
    ----------
    found
        How far the runs agree.
    runs
        Cluster of each observation in each run, ``R`` arrays ``[N]``.
    ids
        Name of each observation, ``[N]``.

    Returns
    -------
    pandas.DataFrame
        Columns ``id``, ``consensus``, ``vote``, ``together`` and ``seed_S`` for each seed ``S``.
    """
    columns = {"id": ids, "consensus": found.consensus, "vote": found.vote, "together": found.together}
    columns |= {f"{SEED}{seed}": np.asarray(run) for seed, run in zip(found.seeds, runs, strict=True)}
    return pd.DataFrame(columns)


def stability_from_table(table: pd.DataFrame) -> Stability:
    """Compare the runs of a table again; their clusters are all that is read.

    Raises
    ------
    UserError
        If there are fewer than two runs, or a column of a run holds other things than clusters.
    """
    runs = {name: table[name] for name in map(str, table.columns) if name.startswith(SEED)}
    try:
        seeds = [int(name.removeprefix(SEED)) for name in runs]
    except ValueError as error:
        raise UserError(f"A column is not {SEED} and a number ({error}).") from None
    for name, run in runs.items():
        if not (pd.api.types.is_integer_dtype(run.dtype) and (run >= 0).all()):
            raise UserError(f"Column {name} does not hold numbers of clusters.")
    return stability([run.to_numpy() for run in runs.values()], seeds)
