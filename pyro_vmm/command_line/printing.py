"""What the command prints: nothing of it may cost what the command has done."""

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


def say(text: str) -> None:
    """Print to stdout; where that is a file on a full disk, warn, and once its reader (``head``, say) has gone, do not."""
    try:
        print(text, flush=True)
    except (OSError, ValueError) as error:
        _give_up(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            warn(f"standard output cannot be written ({getattr(error, 'strerror', None) or error}).")


def tell(sentence: str) -> None:
    """One line on stderr; where that is a file on a full disk, or closed, the exit status has to do."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(f"pyro-vmm: {' '.join(sentence.split())}", file=sys.stderr, flush=True)


def warn(sentence: str) -> None:
    """One line on stderr that the command goes on after."""
    tell(f"warning: {sentence}")


@contextmanager
def printing() -> Iterator[None]:
    """Within, every letter can be printed; at the end, what is printed has gone out or is given up."""
    codecs.register_error("pyro_vmm.any_letter", _in_other_letters)
    streams = [stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, "reconfigure")]
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="pyro_vmm.any_letter")
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            try:
                stream.reconfigure(errors=errors)  # which flushes
            except (OSError, ValueError):
                _give_up(stream)


def _give_up(stream: TextIO | None) -> None:
    """Send the rest to nobody: Python would otherwise try once more at its end, and exit with a status of its own."""
    if stream is not None:
        with suppress(OSError, ValueError):
            nobody = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nobody, stream.fileno())
            os.close(nobody)


def _in_other_letters(error: UnicodeError) -> tuple[str | bytes, int]:
    """What cannot be encoded by its number, as ``backslashreplace`` has it; bytes of file names as they are."""
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return b"".join(
        bytes([ord(letter) - 0xDC00]) if "\udc80" <= letter <= "\udcff" else letter.encode("ascii", "backslashreplace")
        for letter in letters
    ), error.end
