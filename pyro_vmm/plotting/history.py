"""Histories as one kind of table."""

from collections.abc import Mapping
from typing import TypeAlias

import pandas as pd

from pyro_vmm.history_frames import as_elbos
from pyro_vmm.training.history import present_names

History: TypeAlias = pd.DataFrame | Mapping[str, pd.DataFrame]
"""``Fit.history`` or ``VMM.history_``, or ``SingleCellVMM.history``: frames by name, in which the ELBO is a loss."""


def as_table(history: History) -> pd.DataFrame:
    """A row an epoch, with ``step``, ``elbo``, ``validation_elbo`` and whatever else there is; higher ELBOs are better.

    Training that was gone on with counts its steps anew; here they go on.
    """
    table = (
        history.rename(columns=present_names(history.columns))
        if isinstance(history, pd.DataFrame)
        else as_elbos(history)
    )
    if "step" in table and (table["step"].diff() < 0).any():
        before = table["step"].shift().where(table["step"].diff() < 0, 0)
        table["step"] = table["step"] + before.cumsum()
    return table
