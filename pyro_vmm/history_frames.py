"""A training's history as scvi-tools has it, ``SingleCellVMM.history``, and back."""

from collections.abc import Mapping

import pandas as pd

from pyro_vmm.training.history import COLUMNS, present_names

AS_LOSSES = {
    "elbo": ("elbo_train", -1.0),
    "reconstruction": ("reconstruction_loss_train", -1.0),
    "kl": ("kl_local_train", 1.0),
    "validation_elbo": ("elbo_validation", -1.0),
    "validation_reconstruction": ("reconstruction_loss_validation", -1.0),
    "validation_kl": ("kl_local_validation", 1.0),
}
"""Name in scvi-tools and sign there, of what has another name."""


def as_losses(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Frames by name as in scvi-tools, with the epoch as their index: ELBOs become losses."""
    table = rows.rename(columns=present_names(rows.columns)).reindex(columns=list(COLUMNS)).set_index("epoch")
    named = {name: AS_LOSSES.get(name, (name, 1.0)) for name in table.columns}
    return {theirs: (sign * table[name]).to_frame(theirs) for name, (theirs, sign) in named.items()}


def as_elbos(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The table that :func:`as_losses` was made from, a row an epoch; columns that are missing stay so."""
    table = pd.concat(frames.values(), axis=1) if frames else pd.DataFrame()
    table = table.rename(columns=present_names(table.columns))
    for ours, (theirs, sign) in AS_LOSSES.items():
        if theirs in table:
            table[theirs] = sign * table[theirs]
            table = table.rename(columns={theirs: ours})
    table = table.reset_index(names="epoch")
    return table[[*(name for name in COLUMNS if name in table), *(name for name in table if name not in COLUMNS)]]
