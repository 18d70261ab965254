"""Stopping between two training steps when asked to."""

import signal
from types import FrameType, TracebackType

from pyro_vmm.interrupts import SecondInterrupt
from pyro_vmm.training import Trainer

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal:
    """A watcher that turns the first Ctrl-C or SIGTERM into a stop after the present step; the second ends the command at once.

    It must be told of a step before the checkpoint writer is, which then writes the state that training stopped in.
    """

    def __init__(self) -> None:
        self.asked = False
        self.where = "before the first step"

    def __enter__(self) -> "StopOnSignal":
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked = True
        elif number == signal.SIGINT:
            raise SecondInterrupt
        else:
            signal.signal(number, self._before[signal.Signals(number)])
            signal.raise_signal(number)

    def step_ended(self, trainer: Trainer) -> None:
        """Ask the trainer to stop if a signal came."""
        trainer.stop_requested = trainer.stop_requested or self.asked
        epochs = f"{trainer.progress.epoch:,} of {trainer.max_epochs:,} epochs"
        self.where = f"after {trainer.svi.steps_taken:,} steps ({epochs})"

    def epoch_ended(self, trainer: Trainer) -> None:
        """Nothing."""
