"""What is told of a training's progress: progress bars, checkpoint writers, objects of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pyro_vmm.errors import UserError

if TYPE_CHECKING:
    from pyro_vmm.training.trainer import Trainer


class InterruptedWarning(UserWarning):
    """Ctrl-C ended a training, and what was learned is kept.

    ``warnings.simplefilter("error", InterruptedWarning)`` turns it into an error, which ends a loop over several fits as well.
    """


class Watcher(Protocol):
    """Something told of the training's progress: a progress bar, a checkpoint writer."""

    def step_ended(self, trainer: Trainer) -> None:
        """Called after every training step.

        And once more, with ``trainer.stop_requested`` set, when a step has failed or Ctrl-C has ended the training: the state is
        then the last good one.
        """
        ...

    def epoch_ended(self, trainer: Trainer) -> None:
        """Called after every epoch, when its row stands in ``trainer.history``."""
        ...


def checked_watchers(watchers: Any) -> tuple[Watcher, ...]:
    """Raise :class:`UserError` unless ``watchers`` is a list of what :class:`Watcher` describes."""
    try:
        several = tuple(watchers)
    except TypeError:
        several = (None,)
    methods = ("step_ended", "epoch_ended")
    if not all(callable(getattr(watcher, name, None)) for watcher in several for name in methods):
        raise UserError(
            f"watchers is {watchers!r}: give a list of objects with the methods step_ended and epoch_ended, such as "
            "[CheckpointWriter(folder)]."
        )
    return several
