"""Options as ``SingleCellVMM`` calls them."""

from collections.abc import Mapping
from typing import Any

from pyro_vmm.modalities.counts import Counts
from pyro_vmm.option_checks import check_names
from pyro_vmm.options import SINGLE_CELL, canonical, checked, defaults, names_in

IN_ITS_WORDS = names_in(Counts.entries(), SINGLE_CELL)
"""What this face calls the options, by their own names."""

OF_MODEL = frozenset(
    entry.of_face(SINGLE_CELL).name for entry in Counts.entries() if entry.part in ("model", "clusters")
)
"""Options that a model is made with, without its seed."""

OF_TRAINING = frozenset(
    entry.of_face(SINGLE_CELL).name
    for entry in Counts.entries()
    if entry.part in ("training", "process") and entry.name != "random_state"
)
"""Options of :meth:`pyro_vmm.SingleCellVMM.train`."""


def defaults_of_training() -> dict[str, Any]:
    """What options of :meth:`pyro_vmm.SingleCellVMM.train` are where nobody says, by their own names."""
    own = {entry.name for entry in Counts.entries() if entry.of_face(SINGLE_CELL).name in OF_TRAINING}
    return {name: value for name, value in Counts.with_defaults({}).items() if name in own}


def given_otherwise(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options with another value than their default: those that the user has given."""
    known = defaults(Counts.entries(), SINGLE_CELL)
    # Of one type first: arrays are compared number by number.
    return {
        name: value for name, value in given.items() if type(value) is not type(known[name]) or value != known[name]
    }


def options_of_training(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of :meth:`pyro_vmm.SingleCellVMM.train`, checked, by their own names.

    Raises
    ------
    UserError
        For an option that ``train`` does not have, or cannot use.
    """
    check_names(given, OF_TRAINING, "SingleCellVMM.train")
    values = dict(given)
    accelerator = values.get("accelerator")
    if isinstance(accelerator, str) and accelerator == "gpu":  # as scvi-tools calls it
        values["accelerator"] = "cuda"
    if values.get("train_size", 0) is None:  # as scvi-tools says that it is left to the default
        del values["train_size"]
    return canonical(checked(values, Counts.entries(), SINGLE_CELL), Counts.entries(), SINGLE_CELL)
