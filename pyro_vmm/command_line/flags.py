"""Options as flags of ``pyro-vmm fit``, and what the command calls the options that messages name."""

import argparse
from collections.abc import Iterable
from typing import Any, Protocol

from pyro_vmm.errors import InPython, Message, Option
from pyro_vmm.options import ALL, ARRAYS, Entry

OTHERWISE_NAMED = {name: entry.flag_name for entry in ALL if entry.flag for name in entry.names}
"""Options of the command by their names in Python."""
THE_OTHER_WAY_ROUND = {name for entry in ALL if entry.flag and entry.flag.opposite for name in entry.names}
"""Options that are False in Python where the command has its flag."""


class TakesArguments(Protocol):
    """A parser, or a group of its arguments."""

    def add_argument(self, *names: str, **facts: Any) -> argparse.Action:
        """As of ``argparse.ArgumentParser``."""
        ...


def add_flags(parser: TakesArguments, entries: Iterable[Entry]) -> None:
    """Give the parser the flags of these options; what stands for several is one flag."""
    added: set[str] = set()
    for entry in entries:
        flag = entry.flag
        if flag is None or entry.flag_name in added:
            continue
        added.add(entry.flag_name)
        facts: dict[str, Any] = {"help": (flag.meaning or entry.meaning) + flag.more}
        if flag.type is bool:
            facts |= {"action": "store_true"}
        else:
            facts |= {"type": flag.type, "metavar": flag.metavar, "nargs": flag.nargs, "default": flag.default}
        parser.add_argument(as_flag(entry.flag_name), **facts)


def given(arguments: argparse.Namespace, entries: Iterable[Entry], face: str = ARRAYS) -> dict[str, Any]:
    """What the command was given of these options, by the face's names."""
    values: dict[str, Any] = {}
    for entry in entries:
        value = getattr(arguments, entry.flag_name) if entry.flag else None
        if entry.flag and value is not None and value is not False:
            values[entry.of_face(face).name] = not value if entry.flag.opposite else value
    return values


def names_of_flags(entries: Iterable[Entry]) -> tuple[str, ...]:
    """What the parsed arguments call the flags of these options."""
    return tuple(dict.fromkeys(entry.flag_name for entry in entries if entry.flag))


def as_flag(name: str) -> str:
    """``--num-components`` of ``num_components``."""
    return f"--{name.replace('_', '-')}"


def in_the_commands_words(message: Message, options: argparse.Namespace) -> str:
    """The message with the options called as on the command line; those that it does not have keep their names.

    Parameters
    ----------
    message
        Of an error or a warning.
    options
        Of the command that was run.
    """
    # A command that fits, such as stability, has the options of fit through another one.
    known = {*vars(options), *OTHERWISE_NAMED.values()}
    return "".join(_words(part, known) for part in message.args)


def _words(part: str | Option | InPython, known: set[str]) -> str:
    if isinstance(part, InPython):
        return ""
    if not isinstance(part, Option):
        return str(part)
    name = OTHERWISE_NAMED.get(part.name, part.name)
    if name not in known:
        return str(part)
    flag = as_flag(name)
    if part.value is ...:
        return flag
    if part.value is None or isinstance(part.value, bool):
        return flag if bool(part.value) != (part.name in THE_OTHER_WAY_ROUND) else f"no {flag}"
    return f"{flag} {part.value!r}"
