"""What a training that goes on must have in common with the one that was begun."""

import json
from collections.abc import Mapping
from typing import Any

from pyro_vmm.errors import Option, UserError

MAY_DIFFER = frozenset({"max_epochs", "patience", "verbose", "device", "accelerator"})
"""Options that may change when a training goes on: how long it lasts, and where."""

OF_EARLIER_MODELS = {"low_precision": False, "centre_uncertainty": "expected"}
"""What options of a model were, where one of an early version does not name them."""

OF_EARLIER_TRAININGS = OF_EARLIER_MODELS | {"prior_rest_steps": 0, "weight_rate": 1.0, "standard_normal_steps": 0}
"""The same, with options of trainings."""


def check_same_options(begun: Mapping[str, Any], now: Mapping[str, Any], what: str) -> None:
    """Refuse to go on with other options than a training was begun with, but for :data:`MAY_DIFFER`.

    Parameters
    ----------
    begun, now
        Options by their names in Python. What JSON does not distinguish (a tuple from a list) is the same.
    what
        What was begun, for the message: ``"The fit in DIR"``.

    Raises
    ------
    UserError
        That names the option.
    """
    before = OF_EARLIER_TRAININGS | dict(begun)
    now = json.loads(json.dumps(dict(now)))
    if before.get("learning_rate_schedule") == "cosine" and before.get("max_epochs") != now.get("max_epochs"):
        raise UserError(
            f"{what} was begun with ",
            Option("max_epochs", before.get("max_epochs")),
            f", where its cosine schedule ends, not {now.get('max_epochs')!r}: resume with the same.",
        )
    for name, value in now.items():
        if name not in MAY_DIFFER and before.get(name) != value:
            raise UserError(
                f"{what} was begun with ",
                Option(name, before.get(name)),
                ", not ",
                Option(name, value),
                ": resume with the same options (",
                Option("max_epochs"),
                ", ",
                Option("patience"),
                " and ",
                Option("device"),
                " may differ).",
            )
