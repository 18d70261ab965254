"""What the command calls the options that messages name."""

import argparse

from pyro_vmm.command_line.fit_cells import OF_MODEL, OF_TRAINING
from pyro_vmm.errors import InPython, Message, Option

OTHERWISE_NAMED = {theirs: ours for ours, theirs in (OF_MODEL | OF_TRAINING).items()} | {
    "encoder": "network",
    "decoder": "network",
    "random_state": "seed",
    "use_observed_lib_size": "infer_library_size",
    "categorical_covariate_keys": "covariates",
    "continuous_covariate_keys": "covariates",
}
"""Options of the command by their names in Python, where these differ."""
THE_OTHER_WAY_ROUND = {"use_observed_lib_size"}
"""Options that are False in Python where the command has its flag."""


def in_the_commands_words(message: Message, options: argparse.Namespace) -> str:
    """The message with the options called as on the command line; those that it does not have keep their names.

    Parameters
    ----------
    message
        Of an error or a warning.
    options
        Of the command that was run.
    """
    from pyro_vmm.command_line.main import parser

    # A command that fits, such as stability, has the options of fit through another one.
    known = {*vars(options), *vars(parser().parse_args(["fit", "INPUT", "--output", "DIR"]))}
    return "".join(_words(part, known) for part in message.args)


def _words(part: str | Option | InPython, known: set[str]) -> str:
    if isinstance(part, InPython):
        return ""
    if not isinstance(part, Option):
        return str(part)
    name = OTHERWISE_NAMED.get(part.name, part.name)
    if name not in known:
        return str(part)
    flag = f"--{name.replace('_', '-')}"
    if part.value is ...:
        return flag
    if part.value is None or isinstance(part.value, bool):
        return flag if bool(part.value) != (part.name in THE_OTHER_WAY_ROUND) else f"no {flag}"
    return f"{flag} {part.value!r}"
