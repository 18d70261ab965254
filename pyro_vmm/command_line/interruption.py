"""Stopping between two training steps when asked to."""

import signal
from types import FrameType, TracebackType

from pyro_vmm.training import Trainer

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal:
    """A watcher that turns the first Ctrl-C or SIGTERM into a stop after the present step; the second acts as ever.

    It must be told of a step before the checkpoint writer is, which then writes the state that training stopped in.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "StopOnSignal":
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def step_ended(self, trainer: Trainer) -> None:
        """Ask the trainer to stop if a signal came."""
        trainer.stop_requested = trainer.stop_requested or self.asked

    def epoch_ended(self, trainer: Trainer) -> None:
        """Nothing."""
