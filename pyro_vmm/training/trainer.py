"""Epochs, validation, early stopping, and a state from which training goes on bitwise."""

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.errors import UserError
from pyro_vmm.infer.elbo import EstimatedElbo, estimated_elbo
from pyro_vmm.infer.empirical_bayes_svi import EmpiricalBayesSVI
from pyro_vmm.infer.non_finite import NonFiniteError
from pyro_vmm.interrupts import SecondInterrupt, interrupts_held
from pyro_vmm.observations import Covariate, Observations, Rows, as_observations, in_order
from pyro_vmm.options import ALL, Entry
from pyro_vmm.plain_values import plain
from pyro_vmm.process_lock import PROCESS_LOCK
from pyro_vmm.random_numbers import OwnRandomNumbers, RandomNumbers
from pyro_vmm.training.clusters_in_use import Assigned, NumberOfClusters
from pyro_vmm.training.early_stopping import EarlyStopping
from pyro_vmm.training.progress import Progress
from pyro_vmm.training.state import state_of, take_up
from pyro_vmm.training.strategy import OneProcess, Strategy
from pyro_vmm.training.watchers import Watcher

ROWS_NAMED = 10
"""Rows that a message names at most."""
STEPS_BETWEEN_COUNTS = 1_000
"""Clusters are counted after epochs at least this far apart: joining a hundred components takes as long as dozens of steps."""


@dataclass
class Trainer:
    """Trains a model with :class:`~pyro_vmm.infer.EmpiricalBayesSVI` on observations, wherever these lie.

    Attributes
    ----------
    svi
        The alternating loop.
    x, validation_x
        :class:`~pyro_vmm.observations.Observations` ``[N, F]`` and held-out ones ``[N', F]`` (or ``None``: then no early
        stopping); tensors, on the device where they should stay, and :class:`~pyro_vmm.observations.SparseRows` are taken,
        too. Minibatches move to the model's device.
    covariates, validation_covariates
        Of tensors and sparse rows: tensors with as many rows, or :class:`~pyro_vmm.observations.OneHotRows`, by name.
    batch_size, max_epochs
        Minibatch size ``B`` and the last epoch.
    early_stopping
        Watches the validation ELBO; the best state is restored at the end.
    row_numbers
        What to call the rows of ``x`` in messages, ``[N]`` (their numbers in the caller's data); ``0 .. N-1`` if None.
    options
        What the training is begun with, by name, ready for JSON: a training that goes on must have the same
        (:mod:`pyro_vmm.training.resumption`). Empty where nobody says.
    entries
        What is said of these options: which of them may differ, for one.
    seed
        Decides the order of the observations.
    random_numbers
        Where draws of the model come from: torch's global generators as they are (None), or a seed of one's own.
    strategy
        Who makes a step: this process, or several together.
    watchers
        Told of every step and epoch.
    resumed_from
        Folder of the checkpoint that training was taken up from.
    history
        One row an epoch, :data:`~pyro_vmm.training.history.COLUMNS`. ELBOs are nats per observation, and each is its
        reconstruction term less its KL term, as weighted in that epoch. Components in use are counted on
        ``count_clusters_on`` training observations, the same ones in every epoch (all, where there are fewer): one that
        holds less than a few thousandths may be missed. Clusters are counted on them every
        ``STEPS_BETWEEN_COUNTS`` steps, after the epoch in which these are full, and at the end; they are NaN otherwise.
    number_of_clusters
        How many clusters the components make, from responsibilities ``[n, K]``, posterior means ``[n, D]`` and mixture
        weights ``[K]``; None to count none.
    interrupted
        Whether Ctrl-C ended the training.
    """

    svi: EmpiricalBayesSVI
    x: Observations | Rows
    validation_x: Observations | Rows | None = None
    covariates: Mapping[str, Covariate] = field(default_factory=dict)
    validation_covariates: Mapping[str, Covariate] = field(default_factory=dict)
    batch_size: int = 256
    max_epochs: int = 100
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    row_numbers: Sequence[int] | NDArray[np.int64] | None = None
    seed: int = 0
    watchers: Sequence[Watcher] = ()
    count_clusters_on: int = 1_000
    number_of_clusters: NumberOfClusters | None = None
    random_numbers: RandomNumbers | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    entries: Sequence[Entry] = ALL
    strategy: Strategy = field(default_factory=OneProcess)
    progress: Progress = field(default_factory=Progress)
    history: list[dict[str, float]] = field(default_factory=list)
    stop_requested: bool = False
    interrupted: bool = False
    resumed_from: Path | None = None

    def __post_init__(self) -> None:
        self.batch_size, self.max_epochs, self.seed = plain(self.batch_size), plain(self.max_epochs), plain(self.seed)
        for name in ("batch_size", "max_epochs"):
            if getattr(self, name) < 1:
                raise UserError(f"is {getattr(self, name)}: it must be at least 1.", option=name)
        self.early_stopping.not_before = max(self.early_stopping.not_before, self.svi.settled_at)
        self.observations = as_observations(self.x, self.covariates)
        self.held_out = (
            None if self.validation_x is None else as_observations(self.validation_x, self.validation_covariates)
        )
        self.random = RandomNumbers(self.device) if self.random_numbers is None else self.random_numbers
        self.best: dict[str, Tensor] = {}
        self._interrupting: Watcher | None = None
        self._started = time.monotonic()

    @property
    def device(self) -> torch.device:
        """Where the model's parameters live."""
        return next(iter(self.svi.partition.elbo.values())).device

    @cached_property
    def steps_per_epoch(self) -> int:
        """Minibatches in an epoch."""
        return len(self._batches())

    def run(self) -> list[dict[str, float]]:
        """Train until the last epoch, the end of patience, or a request to stop; restore the best state; return history.

        After a request to stop (``stop_requested``, set by a watcher or a signal handler) the state is left as it is, so
        that a checkpoint of it can be continued. Ctrl-C, or a watcher that raises :class:`KeyboardInterrupt`, ends the training
        after the present step as its last epoch does: the best state is restored. Afterwards, and after an exception, model
        and guide are in evaluation mode.

        Raises
        ------
        KeyboardInterrupt
            For a second Ctrl-C, and for one before the first step is made.
        NonFiniteError
            If a number ceases to be finite, with the rows of the data at fault. The last good state is restored, and told
            to the watchers.
        """
        self._started = time.monotonic() - self.progress.seconds
        self.interrupted, self._interrupting = False, None
        self._set_training(True)
        try:
            while not self.progress.finished and not self.stop_requested:
                self._epoch()
        except KeyboardInterrupt as interrupt:
            if isinstance(interrupt, SecondInterrupt) or self.stop_requested or self.svi.steps_taken == 0:
                raise
            self.interrupted = not self.progress.finished
            self._tell_last_good_state()
        finally:
            self._set_training(False)
        if (self.progress.finished or self.interrupted) and self.best:
            self.restore(self.best)
        return self.history

    def _set_training(self, mode: bool) -> None:
        with PROCESS_LOCK:
            self.svi.guide.train(mode)
            self.svi.model.train(mode)

    def _epoch(self) -> None:
        batches = self._batches()
        for rows in batches[self.progress.batch :]:
            with interrupts_held():
                self._train_on(rows, last=self.progress.batch + 1 == len(batches))
            if self.stop_requested:
                break
        if self.progress.batch == 0:
            self._tell("epoch_ended")

    def _batches(self) -> Sequence[Tensor]:
        return self.observations.order(self.progress.epoch, self.batch_size, self.seed)

    def _train_on(self, rows: Tensor, *, last: bool) -> None:
        taken, interrupt = self.svi.steps_taken, None
        try:
            minibatch = self.strategy.minibatch(self.observations, rows, self.device)
            with self.random:
                losses = self.strategy.step(self.svi, minibatch)
        except NonFiniteError as error:
            self._tell_last_good_state()
            raise self._with_rows(error, rows) from error
        except UserError:  # observations that cannot be read any more
            if self.svi.steps_taken:
                self._tell_last_good_state()
            raise
        except KeyboardInterrupt as error:
            if self.svi.steps_taken == taken or self.svi.last_losses is None:
                raise
            losses, interrupt = self.svi.last_losses, error
        self.progress.loss_sum += losses.elbo * len(rows)
        self.progress.reconstruction_sum += self.svi.reconstruction * len(rows)
        self.progress.prior_loss_sum += losses.empirical_bayes * len(rows)
        self.progress.batch += 1
        self.progress.seconds = time.monotonic() - self._started
        if last:
            self._end_epoch()
        if interrupt is not None:
            raise interrupt
        self._tell("step_ended")

    def _tell(self, event: Literal["step_ended", "epoch_ended"]) -> None:
        for watcher in self.watchers:
            if watcher is not self._interrupting:
                try:
                    getattr(watcher, event)(self)
                except KeyboardInterrupt:
                    self._interrupting = watcher
                    raise

    def _tell_last_good_state(self) -> None:
        before, self.stop_requested = self.stop_requested, True
        try:
            self._tell("step_ended")
        finally:
            self.stop_requested = before

    def _with_rows(self, error: NonFiniteError, rows: Tensor) -> NonFiniteError:
        """The same error with the rows that have no finite ELBO of their own, or with the whole minibatch."""
        with OwnRandomNumbers(self.seed, self.device), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pyro's, of the NaN that is looked for
            alone = [row for row in rows.sort().values.split(1) if not self._finite_alone(row)]
        culprits = torch.cat(alone or [rows.sort().values]).tolist()
        names = culprits if self.row_numbers is None else [int(self.row_numbers[row]) for row in culprits]
        listed = ", ".join(map(str, names[:ROWS_NAMED])) + (", ..." if len(names) > ROWS_NAMED else "")
        what = "without a finite ELBO of their own" if alone else "in the minibatch, none of which is at fault alone"
        message = f"{error} Rows of the data {what}: {listed} ({len(names)} in all)."
        return type(error)(message, tensor=error.tensor, step=error.step, epochs=self.progress.epoch, rows=names)

    def _finite_alone(self, row: Tensor) -> bool:
        try:
            minibatch = self.observations.minibatch(row, self.device)
            loss = self.svi.evaluate_loss(minibatch.x, **minibatch.covariates)
        except (ValueError, ArithmeticError, RuntimeError):  # the last of a matrix that cannot be factorised
            return False
        return math.isfinite(loss)

    def history_so_far(self) -> list[dict[str, float]]:
        """The history; where the first epoch is not over yet, one row of what there is of it."""
        if self.history or not self.progress.batch:
            return self.history
        assigned = self._assigned()
        row = self._row(sum(len(rows) for rows in self._batches()[: self.progress.batch]), assigned.components)
        return [row | {"clusters_in_use": assigned.clusters(self.svi, self.number_of_clusters)}]

    def kept_whole(self) -> AbstractContextManager[None]:
        """Around what makes a fit of the trained state: a first Ctrl-C waits for its end; after an interrupted training, none."""
        return nullcontext() if self.interrupted else interrupts_held()

    def what_is_kept(self) -> str:
        """Say in two sentences what came of an interrupted training."""
        progress = self.progress
        kept = "after the last step"
        if progress.best_epoch >= 0:
            kept = f"of epoch {progress.best_epoch + 1:,}, the best on held-out data,"
        return (
            f"Training was interrupted after {self.svi.steps_taken:,} steps, {progress.epoch:,} of at most "
            f"{self.max_epochs:,} epochs. The state {kept} is kept."
        )

    def _row(self, observations: int, components: int) -> dict[str, float]:
        """The history's row of an epoch in which this number of observations was trained on; clusters are not counted."""
        progress = self.progress
        row: dict[str, float] = {
            "epoch": progress.epoch + 1,
            "step": self.svi.steps_taken,
            **_parts("", EstimatedElbo(-progress.loss_sum / observations, progress.reconstruction_sum / observations)),
            **_parts("validation_", EstimatedElbo(float("nan"), float("nan"))),
            "empirical_bayes_loss": progress.prior_loss_sum / observations,
            "components_in_use": components,
            "clusters_in_use": float("nan"),
            "seconds": progress.seconds,
        }
        if self.held_out is not None:
            row |= _parts("validation_", self.validation())
        return row

    def _end_epoch(self) -> None:
        progress, assigned = self.progress, self._assigned()
        row = self._row(len(self.observations), assigned.components)
        if self.held_out is not None:
            if math.isnan(row["validation_elbo"]):
                warnings.warn(f"The validation ELBO is nan after epoch {progress.epoch + 1}.", stacklevel=4)
            if self.early_stopping.improved(row["validation_elbo"], self.svi.steps_taken):
                self.best = {name: tensor.detach().clone() for name, tensor in self.tensors().items()}
                progress.best_epoch = progress.epoch
        self.history.append(row)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.loss_sum = progress.prior_loss_sum = progress.reconstruction_sum = 0.0
        progress.finished = progress.epoch >= self.max_epochs or self.early_stopping.should_stop
        if progress.finished or self.counts_after(progress.epoch):
            row["clusters_in_use"] = assigned.clusters(self.svi, self.number_of_clusters)

    def validation_elbo(self) -> float:
        """Mean ELBO of the held-out observations, in nats each.

        Its noise is drawn from the same seed every time, so that two epochs differ by the model alone and training's own
        stream of random numbers is left untouched.
        """
        return self.validation().elbo

    def validation(self) -> EstimatedElbo:
        """:meth:`validation_elbo` with its reconstruction term."""
        assert self.held_out is not None
        minibatches = in_order(self.held_out, self.batch_size, self.device)
        with OwnRandomNumbers(self.seed, self.device):
            return estimated_elbo(self.svi.model, self.svi.guide, minibatches, self.svi.loss)

    def components_in_use(self) -> int:
        """Distinct arg-max components at the posterior means of ``count_clusters_on`` training observations drawn by ``seed``."""
        return self._assigned().components

    def _assigned(self) -> Assigned:
        order = torch.randperm(len(self.observations), generator=torch.Generator().manual_seed(self.seed))
        return Assigned.of(self.svi, self.observations, order[: self.count_clusters_on], self.batch_size)

    def counts_after(self, epoch: float) -> bool:
        """Whether clusters are counted after the epoch, the first one being 1, wherever training ends."""
        return epoch % -(-STEPS_BETWEEN_COUNTS // self.steps_per_epoch) == 0

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers of model and guide, by name."""
        modules = (("model", self.svi.model), ("guide", self.svi.guide))
        return {f"{owner}.{name}": tensor for owner, module in modules for name, tensor in module.state_dict().items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Give model and guide these :meth:`tensors`."""
        for owner, module in (("model", self.svi.model), ("guide", self.svi.guide)):
            prefix = owner + "."
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})

    @cached_property
    def data_sha256(self) -> str:
        """What tells the observations from others."""
        return self.observations.fingerprint()

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that training needs to go on: tensors by name, and facts for JSON."""
        return state_of(self)

    def load_state_dict(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take up training where :meth:`state_dict` left it.

        Raises
        ------
        UserError
            If the state belongs to other data, another model or another seed, or to a training with other options.
        """
        take_up(self, tensors, facts)


def _parts(prefix: str, estimate: EstimatedElbo) -> dict[str, float]:
    """An ELBO and the two terms that it is made of."""
    return {
        f"{prefix}elbo": estimate.elbo,
        f"{prefix}reconstruction": estimate.reconstruction,
        f"{prefix}kl": estimate.reconstruction - estimate.elbo,
    }
