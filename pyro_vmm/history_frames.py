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


TWICE_THERE = {"train_loss": "elbo_train", "validation_loss": "elbo_validation"}
"""Further names there, of which only the KL warm-up would make something else."""
NONE_HERE = ("kl_global_train", "kl_global_validation")
"""Terms there of models whose parameters are latents; always 0, there as here."""


def as_scvi_has_it(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """:func:`as_losses`, with every key that scvi-tools has."""
    frames = as_losses(rows)
    for name, other in TWICE_THERE.items():
        frames[name] = frames[other].set_axis([name], axis=1)
    for name in NONE_HERE:
        frames[name] = pd.DataFrame({name: 0.0}, index=frames["elbo_train"].index)
    return frames


def as_losses(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Frames by name as in scvi-tools, with the epoch as their index: ELBOs become losses."""
    table = rows.rename(columns=present_names(rows.columns)).reindex(columns=list(COLUMNS)).set_index("epoch")
    named = {name: AS_LOSSES.get(name, (name, 1.0)) for name in table.columns}
    return {theirs: (sign * table[name]).to_frame(theirs) for name, (theirs, sign) in named.items()}


def as_elbos(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The table that :func:`as_losses` was made from, a row an epoch; columns that are missing stay so."""
    own = [frame for name, frame in frames.items() if name not in (*TWICE_THERE, *NONE_HERE)]
    table = pd.concat(own, axis=1) if own else pd.DataFrame()
    table = table.rename(columns=present_names(table.columns))
    for ours, (theirs, sign) in AS_LOSSES.items():
        if theirs in table:
            table[theirs] = sign * table[theirs]
            table = table.rename(columns={theirs: ours})
    table = table.reset_index(names="epoch")
    return table[[*(name for name in COLUMNS if name in table), *(name for name in table if name not in COLUMNS)]]
