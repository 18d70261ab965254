"""A progress bar with the ELBO, components and clusters in use, and the time left."""

import math
import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

from pyro_vmm.training.sturdy_stream import SturdyStream
from pyro_vmm.training.trainer import Trainer

SECONDS_BETWEEN_LINES = 10.0


class ProgressBar:
    """A :class:`~pyro_vmm.training.Watcher` that draws one bar over all training steps.

    Parameters
    ----------
    stream
        Where to draw; stderr by default. Where it is no terminal (a log file), a line is written at the end of an epoch
        instead, at most one every ten seconds, and at the end.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream: Any = SturdyStream(stream or sys.stderr)
        self._bar: tqdm | None = None
        self._last_line = float("-inf")

    def step_ended(self, trainer: Trainer) -> None:
        """Move the bar."""
        if self.stream.isatty():
            self._move(trainer)

    def epoch_ended(self, trainer: Trainer) -> None:
        """Write a line where there is no bar."""
        due = time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES
        if not self.stream.isatty() and (due or trainer.progress.finished):
            epoch = f"epoch {trainer.progress.epoch}/{trainer.max_epochs}"
            print(f"{epoch}: {_figures(trainer)}, {_time_left(trainer)} left", file=self.stream, flush=True)
            self._last_line = time.monotonic()

    def tell_clusters(self, number: int) -> None:
        """Say what came of the components, once the fit has been looked at as a whole."""
        print(f"{plural(number)} found", file=self.stream, flush=True)

    def _move(self, trainer: Trainer) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=trainer.max_epochs * trainer.steps_per_epoch,
                initial=trainer.svi.steps_taken - 1,
                file=self.stream,
                mininterval=0.2,
                dynamic_ncols=True,
                bar_format="{percentage:3.0f}%|{bar:12}| epoch {desc} [{elapsed}<{remaining}] {postfix}",
            )
        epoch = min(trainer.progress.epoch + 1, trainer.max_epochs)
        self._bar.set_description_str(f"{epoch}/{trainer.max_epochs}", refresh=False)
        if trainer.progress.batch == 0 and trainer.history:
            self._bar.set_postfix_str(_figures(trainer), refresh=False)
        self._bar.update(1)
        if trainer.progress.finished or trainer.stop_requested:
            self._bar.close()
            self._bar = None


def _time_left(trainer: Trainer) -> str:
    """At the mean pace so far, earlier parts of a resumed fit included."""
    steps = trainer.max_epochs * trainer.steps_per_epoch - trainer.svi.steps_taken
    pace = trainer.progress.seconds / trainer.svi.steps_taken
    return str(tqdm.format_interval(0.0 if trainer.progress.finished else pace * steps))


def _figures(trainer: Trainer) -> str:
    row = trainer.history[-1]
    validation = (
        "" if row["validation_elbo"] != row["validation_elbo"] else f", validation {row['validation_elbo']:.2f}"
    )
    counts = [row["clusters_in_use"] for row in trainer.history if math.isfinite(row.get("clusters_in_use", math.nan))]
    clusters = f"{plural(int(counts[-1]))} of " if counts else ""
    return f"ELBO {row['elbo']:.2f}{validation}, {clusters}{row['components_in_use']:.0f} components in use"


def plural(clusters: int) -> str:
    """The number of clusters in words."""
    return f"{clusters} cluster{'' if clusters == 1 else 's'}"
