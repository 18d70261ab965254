"""Warnings shown as the command shows everything else: one line on stderr, no source line."""

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyro_vmm.command_line.printing import warn


@contextmanager
def warnings_in_one_line(options: argparse.Namespace) -> Iterator[None]:
    """Show warnings as ``pyro-vmm: warning: ...``, each once, and every :class:`~pyro_vmm.data.DataWarning`.

    Parameters
    ----------
    options
        Of the command that is run, whose flags they name.
    """
    from pyro_vmm.command_line.flags import in_the_commands_words
    from pyro_vmm.data import DataWarning
    from pyro_vmm.errors import Message, OptionWarning

    shown: set[str] = set()

    def show(message: Any, *_: Any, **__: Any) -> None:
        words = in_the_commands_words(message, options) if isinstance(message, Message) else str(message)
        if words not in shown:
            shown.add(words)
            warn(words)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.simplefilter("always", OptionWarning)
        warnings.showwarning = show
        yield
