"""A progress bar with the ELBO, the clusters in use and the time left."""

import sys
from typing import TextIO

from tqdm import tqdm

from pyro_vmm.training.trainer import Trainer


class ProgressBar:
    """A :class:`~pyro_vmm.training.Watcher` that draws one bar over all training steps.

    Parameters
    ----------
    stream
        Where to draw; stderr by default. Off a terminal one line an interval is written instead of one bar redrawn.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._bar: tqdm | None = None

    def _open(self, trainer: Trainer) -> "tqdm":
        if self._bar is None:
            interactive = self.stream.isatty()
            self._bar = tqdm(
                total=trainer.max_epochs * trainer.steps_per_epoch,
                initial=trainer.svi.steps_taken - 1,
                unit="step",
                file=self.stream,
                mininterval=0.2 if interactive else 10.0,
                maxinterval=10.0 if interactive else 60.0,
                dynamic_ncols=interactive,
                ascii=not interactive,
                bar_format="{percentage:3.0f}%|{bar:12}| epoch {desc} [{elapsed}<{remaining}] {postfix}",
            )
        return self._bar

    def step_ended(self, trainer: Trainer) -> None:
        """Move the bar."""
        bar = self._open(trainer)
        bar.set_description_str(
            f"{min(trainer.progress.epoch + 1, trainer.max_epochs)}/{trainer.max_epochs}", refresh=False
        )
        if trainer.progress.batch == 0 and trainer.history:
            row = trainer.history[-1]
            text = f"ELBO {row['elbo']:.2f}"
            if row["validation_elbo"] == row["validation_elbo"]:
                text += f", validation {row['validation_elbo']:.2f}"
            bar.set_postfix_str(f"{text}, {row['clusters_in_use']} clusters in use", refresh=False)
        bar.update(1)
        if trainer.progress.finished or trainer.stop_requested:
            bar.close()
            self._bar = None

    def epoch_ended(self, trainer: Trainer) -> None:
        """Nothing: the figures of the epoch are shown with its last step."""
