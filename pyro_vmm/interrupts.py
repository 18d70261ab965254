"""Ctrl-C between two steps rather than in the middle of one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class SecondInterrupt(KeyboardInterrupt):
    """A second Ctrl-C, which ends at once what the first has asked to end."""


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Raise :class:`KeyboardInterrupt` of a Ctrl-C at the end of the block only; of a second Ctrl-C, at once.

    Python calls handlers of signals in the main thread alone: elsewhere this does nothing. A handler that is not Python's own
    stays in place.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise SecondInterrupt
        came = True

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt
