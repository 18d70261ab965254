"""Options as flags of ``pyro-vmm fit``, and what the command calls the options that messages name."""

import argparse
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from pyro_vmm.errors import InPython, Message, Option
from pyro_vmm.modalities.registry import from_outside
from pyro_vmm.options import ALL, Entry

if TYPE_CHECKING:
    from pyro_vmm.modalities import Modality


class TakesArguments(Protocol):
    """A parser, or a group of its arguments."""

    def add_argument(self, *names: str, **facts: Any) -> argparse.Action:
        """As of ``argparse.ArgumentParser``."""
        ...


def add_flags(parser: TakesArguments, entries: Iterable[Entry], there: Collection[str] = ()) -> None:
    """Give the parser the flags of these options; what stands for several is one flag, and those that are ``there`` stay."""
    added = set(there)
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


def given(arguments: argparse.Namespace, entries: Iterable[Entry]) -> dict[str, Any]:
    """What the command was given of these options, by name; where the command has a default, that."""
    values: dict[str, Any] = {}
    for entry in entries:
        value = getattr(arguments, entry.flag_name) if entry.flag else None
        if entry.flag and value is not None and value is not False:
            values[entry.name] = not value if entry.flag.opposite else value
    return values


def is_given(arguments: argparse.Namespace, entry: Entry) -> bool:
    """Whether the command was given the option, with another value than its default."""
    if entry.flag is None:
        return False
    value = getattr(arguments, entry.flag_name)
    return value is not False and value != entry.flag.default


def values_of_flags(arguments: argparse.Namespace, entries: Iterable[Entry]) -> dict[str, Any]:
    """Values of the flags of these options, by the flags' names."""
    return {entry.flag_name: getattr(arguments, entry.flag_name) for entry in entries if entry.flag}


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
    of_options = {name: entry for entry in reversed(with_flags()) for name in entry.names}
    return "".join(_words(part, of_options, vars(options)) for part in message.args)


def with_flags() -> tuple[Entry, ...]:
    """Options of ``pyro-vmm fit``, those of modalities from outside the package among them."""
    others = [modality for modality in from_outside().values() if modality.input is not None]
    entries = chain(ALL, *(flags_of(modality) for modality in others))
    return tuple(entry for entry in entries if entry.flag)


def flags_of(modality: "type[Modality]") -> tuple[Entry, ...]:
    """Options and flags that a modality has, and others may not have."""
    return modality.own_options if modality.input is None else (*modality.own_options, *modality.input.flags)


def _words(part: str | Option | InPython, of_options: Mapping[str, Entry], arguments: Mapping[str, Any]) -> str:
    if isinstance(part, InPython):
        return ""
    if not isinstance(part, Option):
        return str(part)
    entry = of_options.get(part.name)
    if entry is None and part.name not in arguments:
        return str(part)
    name = part.name if entry is None else entry.flag_name
    flag = as_flag(name)
    if part.value is ...:
        return flag
    if part.value is None or isinstance(part.value, bool):
        the_other_way_round = entry is not None and entry.flag is not None and entry.flag.opposite
        return flag if bool(part.value) != the_other_way_round else f"no {flag}"
    return f"{flag} {part.value!r}"
