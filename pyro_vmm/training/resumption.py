"""What a training that goes on must have in common with the one that was begun."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyro_vmm.errors import Option, UserError
from pyro_vmm.options import ALL, Entry, may_differ, of_earlier_versions

OF_EARLIER_MODELS = of_earlier_versions(entry for entry in ALL if entry.part == "model")
"""What options of a model were, where one of an early version does not name them."""


def check_same_options(
    begun: Mapping[str, Any], now: Mapping[str, Any], what: str, entries: Sequence[Entry] = ALL
) -> None:
    """Refuse to go on with other options than a training was begun with; some may differ: how long it lasts, and where.

    Parameters
    ----------
    begun, now
        Options by their names in Python. What JSON does not distinguish (a tuple from a list) is the same.
    what
        What was begun, for the message: ``"The fit in DIR"``.
    entries
        Which options there are: they say what may differ, and what was so in earlier versions.

    Raises
    ------
    UserError
        That names the option.
    """
    before, free = of_earlier_versions(entries) | dict(begun), may_differ(entries)
    now = json.loads(json.dumps(dict(now)))
    if before.get("learning_rate_schedule") == "cosine" and before.get("max_epochs") != now.get("max_epochs"):
        raise UserError(
            f"{what} was begun with ",
            Option("max_epochs", before.get("max_epochs")),
            f", where its cosine schedule ends, not {now.get('max_epochs')!r}: resume with the same.",
        )
    for name, value in now.items():
        if name not in free and before.get(name) != value:
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
