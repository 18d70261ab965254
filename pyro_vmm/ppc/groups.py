"""Which observations stand together: clusters, batches, or the user's own groups."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.ppc.observing import Observed
from pyro_vmm.ppc.replicates import Source


def read_groups(observed: Observed, by: Any, source: Source) -> tuple[list[str], NDArray[np.bool_]]:
    """Names ``[G]`` of the groups and their members, ``[G, N]``; none where ``by`` is None.

    Parameters
    ----------
    observed
        The observations.
    by
        None, ``"cluster"``, ``"batch"``, or a group for each observation, ``[N]``.
    source
        Where replicates come from.

    Raises
    ------
    UserError
        If ``by`` is something else or has missing values, the observations have no batches, or clusters are asked for of
        draws from the prior, which are in none.
    """
    if by is None:
        return [], np.empty((0, len(observed)), dtype=bool)
    if not isinstance(by, str):
        values = by
    elif by == "cluster":
        if source == "prior":
            raise UserError(
                "by='cluster' groups observations by what they hold, which draws from the prior do not share: "
                "use source='posterior'."
            )
        values = observed.assignment
    elif by == "batch":
        batches = observed.groups.get("batch")
        if batches is None:
            raise UserError(
                "by='batch', but the model was given no batches: give an array with a group an observation."
            )
        values = batches.named
    else:
        raise UserError(f"by={by!r} is not known: choose 'cluster', 'batch' or an array with a group an observation.")
    groups = pd.Series(values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values).tolist())
    if len(groups) != len(observed):
        raise UserError(f"by has {len(groups)} entries, but there are {len(observed)} observations: give one for each.")
    if groups.isna().any():
        raise UserError(
            f"by has {int(groups.isna().sum())} missing values, the first at observation "
            f"{int(groups.isna().to_numpy().argmax())} (counting from 0): give every observation a group."
        )
    codes, found = pd.factorize(groups, sort=True)
    return [str(name) for name in found], codes[None, :] == np.arange(len(found))[:, None]
