"""One lock for what a process has only one of."""

import os
import threading
from types import TracebackType


class ProcessLock:
    """Re-entrant lock around everything that changes state of the whole process.

    Pyro's stack of handlers and its settings, torch's global generators and default type, and the filters of warnings
    exist once in a process. Each training step and each query holds this lock, so that fits and queries in several threads
    give the numbers of the same calls one after the other. A training lets others in between two of its steps.

    A child process made by ``fork`` starts with the lock free: ``fork`` waits for the step of another thread to end.

    Examples
    --------
    >>> from pyro_vmm.process_lock import PROCESS_LOCK
    >>> with PROCESS_LOCK:                      # Pyro's own handlers, next to a fit in another thread
    ...     Predictive(model.module, num_samples=10)()                                    # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._turn, self._held = threading.RLock(), threading.RLock()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        if self._owner != threading.get_ident():
            # Who waits for the lock holds the turn: a training that takes the lock again at once would starve it otherwise.
            with self._turn:
                self._held.acquire()
            self._owner = threading.get_ident()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            self._held.release()

    def _after_fork(self) -> None:
        """Let go in the child, in which a thread that waited for its turn no longer exists."""
        self._turn = threading.RLock()
        self.__exit__(None, None, None)


PROCESS_LOCK = ProcessLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=PROCESS_LOCK.__enter__,
        after_in_parent=lambda: PROCESS_LOCK.__exit__(None, None, None),
        after_in_child=PROCESS_LOCK._after_fork,
    )
