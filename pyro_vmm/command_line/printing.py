"""What the command prints: nothing of it may cost what the command has done."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def say(text: str) -> None:
    """Print to stdout; once whoever read it (``head``, say) has gone, to nobody."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        stop_printing()


def tell(sentence: str) -> None:
    """One line on stderr; where that is a file on a full disk, or closed, the exit status has to do."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(f"pyro-vmm: {' '.join(sentence.split())}", file=sys.stderr, flush=True)


def warn(sentence: str) -> None:
    """One line on stderr that the command goes on after."""
    tell(f"warning: {sentence}")


def stop_printing() -> None:
    """Send what is printed from now on to nobody: Python would complain of it once more when it closes stdout."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def any_letter() -> Iterator[None]:
    """Print letters that the terminal cannot show by their numbers, as Python itself does, rather than fail."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, "reconfigure")]
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors=errors)
