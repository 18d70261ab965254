"""The input of a fit that there is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyro_vmm.errors import UserError
from pyro_vmm.fit import Fit
from pyro_vmm.modalities import Input


def facts_of_fit(config: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """What ``pyro-vmm fit`` has noted in a configuration of its input and itself.

    Raises
    ------
    UserError
        If something else has written it.
    """
    facts = config.get("fit")
    if not isinstance(facts, dict):
        raise UserError(f"{directory} was not written by pyro-vmm fit: give the folder of a fit.")
    return facts


def read_fitted_input(fit: Fit, facts: Mapping[str, Any], directory: Path) -> Input:
    """Read what was fitted once more.

    Raises
    ------
    UserError
        If the command reads no such data, the folder does not say what it was, or it has gone.
    """
    reader, spec, arguments = fit.modality.input, facts.get("input"), facts.get("arguments")
    if reader is None:
        raise UserError(f"The command does not read data of the modality {fit.modality.name!r}: use it in Python.")
    if not (isinstance(spec, str) and isinstance(arguments, dict)):
        raise UserError(f"{directory / 'config.json'} does not say what was fitted: fit again.")
    return reader.read_again(spec, arguments, fit.modality)
