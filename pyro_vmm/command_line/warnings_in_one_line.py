"""Warnings told as the command tells everything else: one line on stderr, no source line."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyro_vmm.data import DataWarning


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Show every :class:`~pyro_vmm.data.DataWarning` as ``pyro-vmm: warning: ...``, once; and other warnings alike, if shown."""
    told: set[str] = set()

    def tell(message: Any, *_: Any, **__: Any) -> None:
        line = " ".join(str(message).split())
        if line not in told:
            told.add(line)
            print(f"pyro-vmm: warning: {line}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = tell
        yield
