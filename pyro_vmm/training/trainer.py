"""Epochs, validation, early stopping, and a state from which training goes on bitwise."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyro_vmm.errors import Option, UserError
from pyro_vmm.infer.empirical_bayes_svi import EmpiricalBayesSVI
from pyro_vmm.infer.non_finite import NonFiniteError
from pyro_vmm.interrupts import SecondInterrupt, interrupts_held
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.plain_values import plain
from pyro_vmm.process_lock import PROCESS_LOCK
from pyro_vmm.random_numbers import OwnRandomNumbers, RandomNumbers
from pyro_vmm.training.early_stopping import EarlyStopping
from pyro_vmm.training.fingerprint import fingerprint
from pyro_vmm.training.history import present_names
from pyro_vmm.training.minibatches import minibatches, num_minibatches
from pyro_vmm.training.resumption import check_same_options
from pyro_vmm.training.sparse_rows import Covariate, Rows, dense_rows

Covariates = Mapping[str, Covariate]
ROWS_NAMED = 10
"""Rows that a message names at most."""
STEPS_BETWEEN_COUNTS = 1_000
"""Clusters are counted after epochs at least this far apart: joining a hundred components takes as long as dozens of steps."""
NumberOfClusters = Callable[[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64]], int]


class InterruptedWarning(UserWarning):
    """Ctrl-C ended a training, and what was learned is kept.

    ``warnings.simplefilter("error", InterruptedWarning)`` turns it into an error, which ends a loop over several fits as well.
    """


class Watcher(Protocol):
    """Something told of the training's progress: a progress bar, a checkpoint writer."""

    def step_ended(self, trainer: "Trainer") -> None:
        """Called after every training step.

        And once more, with ``trainer.stop_requested`` set, when a step has failed or Ctrl-C has ended the training: the state is
        then the last good one.
        """
        ...

    def epoch_ended(self, trainer: "Trainer") -> None:
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


@dataclass
class Progress:
    """Where training is: all of it goes into a checkpoint."""

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    reconstruction_sum: float = 0.0
    prior_loss_sum: float = 0.0
    best_epoch: int = -1
    finished: bool = False
    seconds: float = 0.0


@dataclass
class Trainer:
    """Trains a model with :class:`~pyro_vmm.infer.EmpiricalBayesSVI` on data held in memory.

    Attributes
    ----------
    svi
        The alternating loop.
    x, validation_x
        Observations ``[N, F]`` and held-out ones ``[N', F]`` (or ``None``: then no early stopping), on the device where
        they should stay, or :class:`~pyro_vmm.training.SparseRows`; minibatches move to the model's.
    covariates, validation_covariates
        Tensors with as many rows, or :class:`~pyro_vmm.training.OneHotRows`, by name.
    batch_size, max_epochs
        Minibatch size ``B`` and the last epoch.
    early_stopping
        Watches the validation ELBO; the best state is restored at the end.
    row_numbers
        What to call the rows of ``x`` in messages, ``[N]`` (their numbers in the caller's data); ``0 .. N-1`` if None.
    options
        What the training is begun with, by name, ready for JSON: a training that goes on must have the same
        (:mod:`pyro_vmm.training.resumption`). Empty where nobody says.
    seed
        Decides the order of the observations.
    random_numbers
        Where draws of the model come from: torch's global generators as they are (None), or a seed of one's own.
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
    x: Rows
    validation_x: Rows | None = None
    covariates: Covariates = field(default_factory=dict)
    validation_covariates: Covariates = field(default_factory=dict)
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
        self._random = RandomNumbers(self.device) if self.random_numbers is None else self.random_numbers
        self._best: dict[str, Tensor] = {}
        self._validation_reconstruction = float("nan")
        self._interrupting: Watcher | None = None
        self._started = time.monotonic()

    @property
    def device(self) -> torch.device:
        """Where the model's parameters live."""
        return next(iter(self.svi.partition.elbo.values())).device

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches in an epoch."""
        return num_minibatches(len(self.x), self.batch_size)

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
        if (self.progress.finished or self.interrupted) and self._best:
            self._restore(self._best)
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
        return minibatches(len(self.x), self.batch_size, seed=self.seed, epoch=self.progress.epoch)

    def _train_on(self, rows: Tensor, *, last: bool) -> None:
        taken, interrupt = self.svi.steps_taken, None
        try:
            with self._random:
                losses = self.svi.step(*self._at(self.x, rows), **self._covariates_at(self.covariates, rows))
        except NonFiniteError as error:
            self._tell_last_good_state()
            raise self._with_rows(error, rows) from error
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
            loss = self.svi.evaluate_loss(*self._at(self.x, row), **self._covariates_at(self.covariates, row))
        except (ValueError, ArithmeticError, RuntimeError):  # the last of a matrix that cannot be factorised
            return False
        return math.isfinite(loss)

    def history_so_far(self) -> list[dict[str, float]]:
        """The history; where the first epoch is not over yet, one row of what there is of it."""
        if self.history or not self.progress.batch:
            return self.history
        assigned = self._assigned()
        row = self._row(sum(len(rows) for rows in self._batches()[: self.progress.batch]), assigned.components)
        return [row | {"clusters_in_use": self._clusters_in_use(assigned)}]

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
            **_parts("", -progress.loss_sum / observations, progress.reconstruction_sum / observations),
            **_parts("validation_", float("nan"), float("nan")),
            "empirical_bayes_loss": progress.prior_loss_sum / observations,
            "components_in_use": components,
            "clusters_in_use": float("nan"),
            "seconds": progress.seconds,
        }
        if self.validation_x is not None:
            row |= _parts("validation_", self.validation_elbo(), self._validation_reconstruction)
        return row

    def _end_epoch(self) -> None:
        progress, assigned = self.progress, self._assigned()
        row = self._row(len(self.x), assigned.components)
        if self.validation_x is not None:
            if math.isnan(row["validation_elbo"]):
                warnings.warn(f"The validation ELBO is nan after epoch {progress.epoch + 1}.", stacklevel=4)
            if self.early_stopping.improved(row["validation_elbo"], self.svi.steps_taken):
                self._best = {name: tensor.detach().clone() for name, tensor in self._tensors().items()}
                progress.best_epoch = progress.epoch
        self.history.append(row)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.loss_sum = progress.prior_loss_sum = progress.reconstruction_sum = 0.0
        progress.finished = progress.epoch >= self.max_epochs or self.early_stopping.should_stop
        if progress.finished or self._counts_after(progress.epoch):
            row["clusters_in_use"] = self._clusters_in_use(assigned)

    def validation_elbo(self) -> float:
        """Mean ELBO of the held-out observations, in nats each.

        Its noise is drawn from the same seed every time, so that two epochs differ by the model alone and training's own
        stream of random numbers is left untouched.
        """
        assert self.validation_x is not None
        total = reconstruction = 0.0
        with OwnRandomNumbers(self.seed, self.device):
            for rows in torch.arange(len(self.validation_x)).split(self.batch_size):
                covariates = self._covariates_at(self.validation_covariates, rows)
                total -= self.svi.evaluate_loss(*self._at(self.validation_x, rows), **covariates) * len(rows)
                reconstruction += self.svi.reconstruction * len(rows)
        self._validation_reconstruction = reconstruction / len(self.validation_x)
        return total / len(self.validation_x)

    def components_in_use(self) -> int:
        """Distinct arg-max components at the posterior means of ``count_clusters_on`` training observations drawn by ``seed``."""
        return self._assigned().components

    def _assigned(self) -> "_Assigned":
        guide, prior = self.svi.guide, self.svi.model.prior
        if prior.num_components == 1:
            return _Assigned(1)
        with torch.no_grad(), evaluation_mode(guide):
            order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(self.seed))
            means = torch.cat(
                [
                    guide.posterior(*self._at(self.x, rows), **self._covariates_at(self.covariates, rows)).mean
                    for rows in order[: self.count_clusters_on].split(self.batch_size)
                ]
            )
            responsibilities = prior.responsibilities(means)
        return _Assigned(len(responsibilities.argmax(-1).unique()), means, responsibilities)

    def _counts_after(self, epoch: float) -> bool:
        """Whether clusters are counted after the epoch, the first one being 1, wherever training ends."""
        return epoch % -(-STEPS_BETWEEN_COUNTS // self.steps_per_epoch) == 0

    def _clusters_in_use(self, assigned: "_Assigned") -> float:
        _, latents, responsibilities = assigned
        if latents is None or responsibilities is None:
            return 1.0
        if self.number_of_clusters is None or not (latents.isfinite().all() and responsibilities.isfinite().all()):
            return float("nan")
        weights = self.svi.model.prior.weights.detach().cpu().double().numpy()
        shares = responsibilities.cpu().double().numpy()
        return float(self.number_of_clusters(shares, latents.cpu().float().numpy(), weights))

    def _at(self, x: Rows | Covariate, rows: Tensor) -> tuple[Tensor]:
        return (dense_rows(x, rows, self.device),)

    def _covariates_at(self, covariates: Covariates, rows: Tensor) -> dict[str, Tensor]:
        return {name: self._at(values, rows)[0] for name, values in covariates.items()}

    def _tensors(self) -> dict[str, Tensor]:
        modules: tuple[tuple[str, nn.Module], ...] = (("model", self.svi.model), ("guide", self.svi.guide))
        return {f"{owner}.{name}": tensor for owner, module in modules for name, tensor in module.state_dict().items()}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        for owner, module in (("model", self.svi.model), ("guide", self.svi.guide)):
            prefix = owner + "."
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})

    @cached_property
    def _data_sha256(self) -> str:
        return fingerprint(self.x, self.covariates)

    def _check_same_model(self, tensors: Mapping[str, Tensor]) -> None:
        mine = {name: tuple(tensor.shape) for name, tensor in self._tensors().items()}
        theirs = {
            name: tuple(tensor.shape) for name, tensor in tensors.items() if name.startswith(("model.", "guide."))
        }
        for name in [*mine, *theirs]:
            if mine.get(name) != theirs.get(name):
                there, here = (
                    "missing" if shape is None else f"of shape {list(shape)}"
                    for shape in (theirs.get(name), mine.get(name))
                )
                raise UserError(
                    f"The checkpoint was made with another model: {name} is {there} in it, and {here} in this one. Resume "
                    "with the same options."
                )

    def _schedule(self) -> str:
        schedule = self.svi.learning_rate_schedule
        return repr(schedule) if is_dataclass(schedule) else type(schedule).__name__

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that training needs to go on: tensors by name, and facts for JSON."""
        tensors = self._tensors() | {f"best.{name}": tensor for name, tensor in self._best.items()}
        for name, optimizer in self.svi.optimizers.items():
            names = list(getattr(self.svi.partition, name))
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{name}.{names[index]}.{key}": torch.as_tensor(v) for key, v in state.items()}
        tensors |= {f"random.{kind}": state for kind, state in self._random.state().items()}
        facts = {
            "progress": asdict(self.progress),
            "early_stopping": asdict(self.early_stopping),
            "history": self.history,
            "steps_taken": self.svi.steps_taken,
            "standard_normal_steps": self.svi.standard_normal_steps,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "num_observations": len(self.x),
            "data_sha256": self._data_sha256,
            "learning_rate_schedule": self._schedule(),
            "options": dict(self.options),
        }
        return tensors, facts

    def load_state_dict(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take up training where :meth:`state_dict` left it.

        Raises
        ------
        UserError
            If the state belongs to other data, another model or another seed, or to a training with other options.
        """
        for name, mine in (("seed", self.seed), ("batch_size", self.batch_size), ("num_observations", len(self.x))):
            if facts[name] != mine:
                raise UserError(
                    "The checkpoint was made with ", Option(name), f" {facts[name]}, not {mine}: resume with the same."
                )
        # Absent from earlier checkpoints, and the schedule from those of the first weeks.
        if facts.get("data_sha256", self._data_sha256) != self._data_sha256:
            raise UserError("The checkpoint was made with other data: resume with the same observations, or fit anew.")
        schedule = facts.get("learning_rate_schedule", self._schedule())
        if schedule != self._schedule():
            raise UserError(
                f"The checkpoint was made with the learning-rate schedule {schedule}, not {self._schedule()}: resume with the "
                "same schedule and, where that is a cosine, the same max_epochs."
            )
        # Absent from the checkpoints of version 0.1.
        if facts.get("options") and self.options:
            check_same_options(facts["options"], self.options, "The checkpoint's training")
        self._check_same_model(tensors)
        self._restore(tensors)
        self._best = {k.removeprefix("best."): v.to(self.device) for k, v in tensors.items() if k.startswith("best.")}
        for name, optimizer in self.svi.optimizers.items():
            names = list(getattr(self.svi.partition, name))
            state: dict[int, dict[str, Tensor]] = {}
            for index, parameter in enumerate(names):
                prefix = f"optimizer.{name}.{parameter}."
                own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                if own:
                    state[index] = own
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        # An epoch begun by version 0.1 has not noted its reconstruction term so far.
        unknown = {"reconstruction_sum": float("nan") if facts["progress"]["batch"] else 0.0}
        self.progress = Progress(**unknown | facts["progress"])
        patience = self.early_stopping.patience
        self.early_stopping = EarlyStopping(**facts["early_stopping"])
        self.early_stopping.patience = patience
        self.progress.finished = self.progress.epoch >= self.max_epochs or self.early_stopping.should_stop
        self.history = [
            {present_names(row).get(name, name): value for name, value in row.items()} for row in facts["history"]
        ]
        if not self.progress.finished:
            # What a shorter training counted at its end, one that was never stopped does not.
            for row in self.history:
                if "clusters_in_use" in row and not self._counts_after(row["epoch"]):
                    row["clusters_in_use"] = float("nan")
        self.svi.steps_taken = facts["steps_taken"]
        # Absent from earlier checkpoints. The caller cannot know it: its default depends on whether the model was new.
        self.svi.standard_normal_steps = facts.get("standard_normal_steps", 0)
        self._random.set_state({k.removeprefix("random."): v for k, v in tensors.items() if k.startswith("random.")})


class _Assigned(NamedTuple):
    """Components in use, and the posterior means ``[n, D]`` and responsibilities ``[n, K]`` that say so, if there are several."""

    components: int
    latents: Tensor | None = None
    responsibilities: Tensor | None = None


def _parts(prefix: str, elbo: float, reconstruction: float) -> dict[str, float]:
    """An ELBO and the two terms that it is made of."""
    return {
        f"{prefix}elbo": elbo,
        f"{prefix}reconstruction": reconstruction,
        f"{prefix}kl": reconstruction - elbo,
    }
