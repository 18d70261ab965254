"""A stream for what may as well go unread."""

from contextlib import suppress
from typing import Any, TextIO


class SturdyStream:
    """Passes text on to another stream; where that is closed, full or None, the text is dropped.

    A training must not fail because its progress cannot be shown.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether somebody looks on."""
        with suppress(AttributeError, ValueError):
            return bool(self._stream is not None and self._stream.isatty())
        return False

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.flush()
