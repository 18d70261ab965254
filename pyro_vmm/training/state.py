"""All that a training needs to go on, and what of it must not differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyro_vmm.errors import Option, UserError
from pyro_vmm.options import ALL, SINGLE_CELL, canonical
from pyro_vmm.training.early_stopping import EarlyStopping
from pyro_vmm.training.history import present_names
from pyro_vmm.training.progress import Progress
from pyro_vmm.training.resumption import check_same_options

if TYPE_CHECKING:
    from pyro_vmm.training.trainer import Trainer


def state_of(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and facts for JSON."""
    svi = trainer.svi
    tensors = trainer.tensors() | {f"best.{name}": tensor for name, tensor in trainer.best.items()}
    for name, optimizer in svi.optimizers.items():
        names = list(getattr(svi.partition, name))
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{names[index]}.{key}": torch.as_tensor(v) for key, v in state.items()}
    tensors |= {f"random.{kind}": state for kind, state in trainer.random.state().items()}
    facts = {
        "progress": asdict(trainer.progress),
        "early_stopping": asdict(trainer.early_stopping),
        "history": trainer.history,
        "steps_taken": svi.steps_taken,
        "standard_normal_steps": svi.standard_normal_steps,
        "seed": trainer.seed,
        "batch_size": trainer.batch_size,
        "num_observations": len(trainer.observations),
        "data_sha256": trainer.data_sha256,
        "learning_rate_schedule": _schedule(trainer),
        "options": dict(trainer.options),
    }
    return tensors, facts


def take_up(trainer: Trainer, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Go on where :func:`state_of` left off.

    Raises
    ------
    UserError
        If the state belongs to other data, another model or another seed, or to a training with other options.
    """
    _check_same_training(trainer, tensors, facts)
    svi = trainer.svi
    trainer.restore(tensors)
    trainer.best = {k.removeprefix("best."): v.to(trainer.device) for k, v in tensors.items() if k.startswith("best.")}
    for name, optimizer in svi.optimizers.items():
        names = list(getattr(svi.partition, name))
        state: dict[int, dict[str, Tensor]] = {}
        for index, parameter in enumerate(names):
            prefix = f"optimizer.{name}.{parameter}."
            own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if own:
                state[index] = own
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    # An epoch begun by version 0.1 has not noted its reconstruction term so far.
    unknown = {"reconstruction_sum": float("nan") if facts["progress"]["batch"] else 0.0}
    progress = trainer.progress = Progress(**unknown | facts["progress"])
    patience = trainer.early_stopping.patience
    trainer.early_stopping = EarlyStopping(**facts["early_stopping"])
    trainer.early_stopping.patience = patience
    progress.finished = progress.epoch >= trainer.max_epochs or trainer.early_stopping.should_stop
    trainer.history = [
        {present_names(row).get(name, name): value for name, value in row.items()} for row in facts["history"]
    ]
    if not progress.finished:
        # What a shorter training counted at its end, one that was never stopped does not.
        for row in trainer.history:
            if "clusters_in_use" in row and not trainer.counts_after(row["epoch"]):
                row["clusters_in_use"] = float("nan")
    svi.steps_taken = facts["steps_taken"]
    # Absent from earlier checkpoints. The caller cannot know it: its default depends on whether the model was new.
    svi.standard_normal_steps = facts.get("standard_normal_steps", 0)
    trainer.random.set_state({k.removeprefix("random."): v for k, v in tensors.items() if k.startswith("random.")})


def _check_same_training(trainer: Trainer, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    own = {"seed": trainer.seed, "batch_size": trainer.batch_size, "num_observations": len(trainer.observations)}
    for name, mine in own.items():
        if facts[name] != mine:
            raise UserError(
                "The checkpoint was made with ", Option(name), f" {facts[name]}, not {mine}: resume with the same."
            )
    # Absent from earlier checkpoints, and the schedule from those of the first weeks.
    if facts.get("data_sha256", trainer.data_sha256) != trainer.data_sha256:
        raise UserError("The checkpoint was made with other data: resume with the same observations, or fit anew.")
    schedule = facts.get("learning_rate_schedule", _schedule(trainer))
    if schedule != _schedule(trainer):
        raise UserError(
            f"The checkpoint was made with the learning-rate schedule {schedule}, not {_schedule(trainer)}: resume with the "
            "same schedule and, where that is a cosine, the same max_epochs."
        )
    # Absent from the checkpoints of version 0.1.
    if facts.get("options") and trainer.options:
        begun = facts["options"]
        if "n_latent" in begun and "latent_dim" not in begun:  # earlier ones of cells are in the words of the face
            begun = canonical(begun, ALL, SINGLE_CELL)
        check_same_options(begun, trainer.options, "The checkpoint's training", trainer.entries)
    _check_same_model(trainer, tensors)


def _check_same_model(trainer: Trainer, tensors: Mapping[str, Tensor]) -> None:
    mine = {name: tuple(tensor.shape) for name, tensor in trainer.tensors().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in tensors.items() if name.startswith(("model.", "guide."))}
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


def _schedule(trainer: Trainer) -> str:
    schedule = trainer.svi.learning_rate_schedule
    return repr(schedule) if is_dataclass(schedule) else type(schedule).__name__
