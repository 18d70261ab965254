"""The one kind of error that is the caller's to fix, and how its message names options."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """An option as a message names it: ``num_components=5`` in Python, ``--num-components 5`` on the command line.

    Attributes
    ----------
    name
        What the option is called in Python.
    value
        The value that the message gives it; none where it is left out.
    """

    name: str
    value: Any = ...

    def __str__(self) -> str:
        return self.name if self.value is ... else f"{self.name}={self.value!r}"


@dataclass(frozen=True)
class InPython:
    """Words that hold in Python alone, such as an option that the command does not have."""

    words: str

    def __str__(self) -> str:
        return self.words


class Message(Exception):
    """A message in parts, of which those that name options are read otherwise in Python and on the command line.

    Parameters
    ----------
    *parts
        Text, and options where the message names them.
    option
        The option that the message begins with, as its subject.
    """

    def __init__(self, *parts: str | Option | InPython, option: str | Option | None = None) -> None:
        if option is not None:
            parts = (Option(option) if isinstance(option, str) else option, " ", *parts)
        super().__init__(*parts)

    def __str__(self) -> str:
        return "".join(map(str, self.args))

    @property
    def option(self) -> str | None:
        """Name of the option that the message names first, if any."""
        return next((part.name for part in self.args if isinstance(part, Option)), None)


class UserError(Message, ValueError):
    """A mistake in what the user gave: the message names the thing and says what to do, in one sentence.

    The command line prints the message on one line of stderr and exits with status 2; in Python it is an
    ordinary :class:`ValueError`.
    """

    def __init__(self, *parts: str | Option | InPython, option: str | Option | None = None) -> None:
        # An error inside poutine.trace is raised anew, with the shapes of all sites below its message.
        plain = (re.sub(r"\n\s*Trace Shapes:.*", "", p, flags=re.DOTALL) if isinstance(p, str) else p for p in parts)
        super().__init__(*plain, option=option)


@contextmanager
def options_called(names: Mapping[str, str]) -> Iterator[None]:
    """Inside the block, errors name options as a face does: ``names`` has what it calls them, by their own names."""
    try:
        yield
    except UserError as error:
        error.args = tuple(
            Option(names.get(part.name, part.name), part.value) if isinstance(part, Option) else part
            for part in error.args
        )
        raise


class OptionWarning(Message, UserWarning):
    """A warning about options that can be used, but hardly as meant."""
