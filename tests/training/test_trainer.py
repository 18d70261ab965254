"""Epochs, minibatches, early stopping, and training that goes on bitwise where it was stopped."""

import copy
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor

from pyro_vmm import UserError
from pyro_vmm.infer import CosineDecay, LinearWarmup
from pyro_vmm.infer.elbo import EstimatedElbo
from pyro_vmm.observations import InMemory
from pyro_vmm.training import (
    CheckpointWriter,
    EarlyStopping,
    Trainer,
    minibatches,
    num_minibatches,
    read_checkpoint,
    write_checkpoint,
)

NUM_OBSERVATIONS, BATCH_SIZE = 70, 16
STEPS_PER_EPOCH = 5


@dataclass
class StopAt:
    """Asks for a stop after certain steps."""

    steps: tuple[int, ...]

    def step_ended(self, trainer: Trainer) -> None:
        if trainer.svi.steps_taken in self.steps:
            trainer.stop_requested = True

    def epoch_ended(self, trainer: Trainer) -> None:
        pass


@dataclass
class Diary:
    """Writes down what a watcher is told, and the parameters at the end of every epoch."""

    told: list[str] = field(default_factory=list)
    epochs: list[dict[str, Tensor]] = field(default_factory=list)

    def step_ended(self, trainer: Trainer) -> None:
        self.told.append(f"step {trainer.svi.steps_taken}")

    def epoch_ended(self, trainer: Trainer) -> None:
        assert trainer.history[-1]["step"] == trainer.svi.steps_taken
        self.told.append(f"epoch {len(trainer.history)}")
        self.epochs.append(parameters(trainer))


def parameters(trainer: Trainer) -> dict[str, Tensor]:
    """Parameters and buffers of model and guide."""
    modules = (trainer.svi.model, trainer.svi.guide)
    return {name: value.clone() for module in modules for name, value in module.state_dict().items()}


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def without_seconds(facts: Mapping[str, Any]) -> str:
    """The facts of a state as text (so that NaN equals NaN), without the clock's."""
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in facts["history"]]
    progress = {name: value for name, value in facts["progress"].items() if name != "seconds"}
    return repr({**facts, "history": history, "progress": progress})


@pytest.fixture
def make_trainer(build_svi: Any, make_data: Any) -> Any:
    """``make_trainer(kind, network={...}, svi={...}, **options of Trainer)``; seeds torch's generator with ``seed``."""

    def make(
        kind: str = "vamp-mixture",
        *,
        network: Mapping[str, Any] | None = None,
        svi: Mapping[str, Any] | None = None,
        model_seed: int = 0,
        seed: int = 0,
        validation: bool = True,
        **options: Any,
    ) -> Trainer:
        torch.manual_seed(seed)
        return Trainer(
            build_svi(kind, seed=model_seed, svi=svi, **(network or {})),
            make_data(NUM_OBSERVATIONS, seed=1),
            make_data(30, seed=2) if validation else None,
            **{"batch_size": BATCH_SIZE, "max_epochs": 4, "seed": seed, **options},
        )

    return make


# ---- going on where training was stopped -----------------------------------------------------------------------------

NETWORKS: dict[str, dict[str, Any]] = {"plain": {}, "noisy": {"normalization": "batch", "dropout": 0.2}}
OPTIMIZERS: dict[str, Any] = {
    "adam": 1e-2,
    "sgd": lambda params: torch.optim.SGD(params, lr=1e-3),
    "momentum": lambda params: torch.optim.SGD(params, lr=1e-3, momentum=0.9),
}


@pytest.mark.parametrize(
    ("kind", "network", "optimizer"),
    [
        ("vamp-mixture", "plain", "adam"),
        ("vamp-mixture", "noisy", "adam"),
        ("gaussian-mixture", "plain", "adam"),
        ("gaussian-mixture", "noisy", "adam"),
        ("vamp-prior", "noisy", "adam"),
        ("standard-normal", "noisy", "adam"),
        ("vamp-mixture", "plain", "sgd"),
        ("vamp-mixture", "noisy", "momentum"),
    ],
)
def test_resumed_training_equals_uninterrupted_training_bitwise(
    kind: str, network: str, optimizer: str, make_trainer: Any, tmp_path: Path
) -> None:
    def trainer(standard_normal_steps: int = 8, **options: Any) -> Trainer:
        svi = {
            "optim": OPTIMIZERS[optimizer],
            "kl_schedule": LinearWarmup(7, start=0.1),
            "learning_rate_schedule": CosineDecay(30, warmup=3, end=0.1),
            "standard_normal_steps": standard_normal_steps,
        }
        return make_trainer(kind, network=NETWORKS[network], svi=svi, **options)

    uninterrupted = trainer()
    uninterrupted.run()
    tensors, facts = uninterrupted.state_dict()
    expected_steps = 4 * STEPS_PER_EPOCH
    assert facts["steps_taken"] == expected_steps

    chooser = random.Random(f"{kind} {network} {optimizer}")
    within_an_epoch = [step for step in range(1, expected_steps) if step % STEPS_PER_EPOCH]
    stops = (*sorted(chooser.sample(within_an_epoch, 2)), 2 * STEPS_PER_EPOCH)
    part = trainer(watchers=[StopAt(stops)])
    for number, stop in enumerate(sorted(stops)):
        part.run()
        assert part.svi.steps_taken == stop
        write_checkpoint(tmp_path, *part.state_dict(), step=stop)
        # Nothing of what was is to be of use: other initial values, another state of the random numbers, and the
        # standard normal that a model begins under, of which the caller who resumes may not know.
        part = trainer(0, model_seed=number + 50, watchers=[StopAt(tuple(other for other in stops if other > stop))])
        torch.manual_seed(number + 99)
        part.load_state_dict(*read_checkpoint(tmp_path)[:2])
    part.run()
    assert part.progress.finished
    resumed_tensors, resumed_facts = part.state_dict()
    assert [name for name in tensors if not torch.equal(tensors[name], resumed_tensors[name])] == []
    assert tensors.keys() == resumed_tensors.keys()
    assert without_seconds(resumed_facts) == without_seconds(facts)
    for name, mine in uninterrupted.svi.optimizers.items():
        assert part.svi.optimizers[name].state_dict()["param_groups"] == mine.state_dict()["param_groups"]


def test_the_checkpoint_writer_leaves_the_state_in_which_training_stopped(make_trainer: Any, tmp_path: Path) -> None:
    stopped = make_trainer(watchers=[StopAt((7,)), CheckpointWriter(tmp_path, every_seconds=1e9)])
    stopped.run()
    tensors, facts, _ = read_checkpoint(tmp_path)
    assert facts["steps_taken"] == 7
    assert same(tensors, stopped.state_dict()[0])
    finished = make_trainer(watchers=[CheckpointWriter(tmp_path / "other", every_seconds=1e9, every_steps=6)])
    finished.run()
    assert [path.name for path in sorted((tmp_path / "other").glob("*.json"))] == [
        "state-0000000018.json",
        "state-0000000020.json",
    ]


def test_the_best_state_survives_a_stop(make_trainer: Any, tmp_path: Path) -> None:
    diary, script = Diary(), (-1.0, -5.0, -2.0, -3.0)

    def trainer(**options: Any) -> Trainer:
        made = make_trainer(network=NETWORKS["noisy"], **options)
        made.validation = lambda: EstimatedElbo(script[len(made.history)], 0.0)
        return made

    stopped = trainer(watchers=[StopAt((12,)), diary])
    stopped.run()
    write_checkpoint(tmp_path, *stopped.state_dict(), step=12)
    resumed = trainer(model_seed=1)
    resumed.load_state_dict(*read_checkpoint(tmp_path)[:2])
    resumed.run()
    assert [row["validation_elbo"] for row in resumed.history] == list(script)
    assert same(parameters(resumed), diary.epochs[0])


def test_a_finished_training_can_be_made_longer(make_trainer: Any) -> None:
    long = make_trainer(max_epochs=5)
    long.run()
    short = make_trainer(max_epochs=3, watchers=[keeper := Keeper()])
    short.run()
    longer = make_trainer(max_epochs=5, model_seed=1)
    # What the checkpoint writer sees: the state at the end of the last step, before the best is restored.
    longer.load_state_dict(*keeper.last)
    longer.run()
    assert same(parameters(longer), parameters(long))


class Keeper:
    """Keeps a copy of the last state it saw."""

    last: tuple[dict[str, Tensor], dict[str, Any]]

    def step_ended(self, trainer: Trainer) -> None:
        tensors, facts = trainer.state_dict()
        self.last = ({name: tensor.clone() for name, tensor in tensors.items()}, {**facts})

    def epoch_ended(self, trainer: Trainer) -> None:
        pass


@pytest.mark.parametrize(
    ("option", "value"), [("seed", 1), ("batch_size", 17), ("observations", InMemory(torch.zeros(71, 5)))]
)
def test_a_state_of_another_training_is_refused(option: str, value: Any, make_trainer: Any) -> None:
    state = make_trainer().state_dict()
    other = make_trainer()
    setattr(other, option, value)
    with pytest.raises(UserError, match=r"was made with (seed|batch_size|num_observations)"):
        other.load_state_dict(*state)


# ---- seeds -----------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers(mixture_kind: str, make_trainer: Any) -> None:
    first, again, other = (make_trainer(mixture_kind, network=NETWORKS["noisy"], seed=seed) for seed in (3, 3, 4))
    ends = []
    for seed, trainer in ((3, first), (3, again), (4, other)):
        torch.manual_seed(seed)
        trainer.run()
        ends.append(parameters(trainer))
    assert same(ends[0], ends[1])
    assert without_seconds(first.state_dict()[1]) == without_seconds(again.state_dict()[1])
    assert not same(ends[0], ends[2])


def test_the_trainers_seed_alone_decides_the_order(make_trainer: Any) -> None:
    ends = []
    for seed in (0, 1):
        trainer = make_trainer(validation=False, seed=seed)
        torch.manual_seed(0)
        trainer.run()
        ends.append(parameters(trainer))
    assert not same(*ends)


# ---- validation and early stopping -----------------------------------------------------------------------------------


def test_validation_leaves_training_as_it_is(mixture_kind: str, make_trainer: Any) -> None:
    with_validation, without = (
        # Evaluations that never count: the best state is then not restored, and the last states can be compared.
        make_trainer(
            mixture_kind,
            network=NETWORKS["noisy"],
            validation=validation,
            early_stopping=EarlyStopping(not_before=10**6),
        )
        for validation in (True, False)
    )
    streams = []
    for trainer in (with_validation, without):
        torch.manual_seed(0)
        trainer.run()
        streams.append(torch.get_rng_state())
    assert same(parameters(with_validation), parameters(without))
    assert torch.equal(*streams)
    assert all(math.isfinite(row["validation_elbo"]) for row in with_validation.history)
    assert all(math.isnan(row["validation_elbo"]) for row in without.history)
    for name in ("elbo", "reconstruction", "kl", "empirical_bayes_loss", "components_in_use"):
        assert [row[name] for row in with_validation.history] == [row[name] for row in without.history]


def test_validation_is_repeatable_and_uses_every_row_once(make_trainer: Any) -> None:
    trainer = make_trainer(network=NETWORKS["noisy"], batch_size=7)
    before, stream = parameters(trainer), torch.get_rng_state()
    value = trainer.validation_elbo()
    assert trainer.validation_elbo() == value
    assert torch.equal(torch.get_rng_state(), stream)
    assert same(before, parameters(trainer))
    # The mean over rows, in minibatches of unequal size.
    seen = []
    fitted = trainer.svi.model.fitted
    trainer.svi.model.fitted = lambda x, **options: (seen.append(x), fitted(x, **options))[1]
    trainer.validation_elbo()
    assert torch.equal(torch.cat(seen), trainer.validation_x)
    assert len({len(x) for x in seen}) == 2


def test_early_stopping_waits_for_the_warm_up_then_restores_the_best(make_trainer: Any) -> None:
    diary = Diary()
    trainer = make_trainer(
        svi={"kl_schedule": LinearWarmup(12), "learning_rate_schedule": LinearWarmup(3)},
        max_epochs=50,
        early_stopping=EarlyStopping(patience=3),
        watchers=[diary],
    )
    assert trainer.early_stopping.not_before == 12
    #           warm-up           counted from step 15
    script = [-1.0, -2.0, *(-9.0, -5.0, -6.0, -7.0, -4.0, -4.0, -4.5, -4.0), 100.0]
    remaining = iter(script)
    trainer.validation = lambda: EstimatedElbo(next(remaining), 0.0)
    trainer.run()
    assert [row["validation_elbo"] for row in trainer.history] == script[:10]
    assert trainer.progress.finished
    assert trainer.progress.best_epoch == 6
    assert trainer.early_stopping.best == -4.0
    assert same(parameters(trainer), diary.epochs[6])
    assert not same(diary.epochs[6], diary.epochs[9])


def test_early_stopping_waits_for_the_models_own_prior(make_trainer: Any) -> None:
    trainer = make_trainer(svi={"kl_schedule": LinearWarmup(4), "standard_normal_steps": 9}, max_epochs=8)
    assert trainer.early_stopping.not_before == 9
    trainer.run()
    counted = [row["validation_elbo"] for row in trainer.history if row["step"] >= 9]
    assert trainer.early_stopping.best == max(counted)


def test_early_stopping_waits_for_a_prior_that_rests(make_trainer: Any) -> None:
    trainer = make_trainer(svi={"prior_rest_steps": 9}, max_epochs=8)
    assert trainer.early_stopping.not_before == 9
    trainer.run()
    told = [(row["step"] > 9, math.isfinite(row["empirical_bayes_loss"])) for row in trainer.history]
    assert all(updated or not finite for updated, finite in told)
    assert told[-1] == (True, True)
    counted = [row["validation_elbo"] for row in trainer.history if row["step"] >= 9]
    assert trainer.early_stopping.best == max(counted)


def test_the_restored_state_has_the_best_validation_elbo_of_the_history(make_trainer: Any) -> None:
    trainer = make_trainer(
        network=NETWORKS["noisy"],
        svi={"optim": 0.05, "kl_schedule": LinearWarmup(10)},
        max_epochs=60,
        early_stopping=EarlyStopping(patience=4),
    )
    trainer.run()
    counted = [row["validation_elbo"] for row in trainer.history if row["step"] >= 10]
    assert trainer.validation_elbo() == max(counted)
    assert len(trainer.history) < 60
    assert max(counted) == trainer.history[-5]["validation_elbo"]
    assert trainer.progress.best_epoch == len(trainer.history) - 5


def test_without_patience_training_goes_to_the_last_epoch_and_keeps_the_best(make_trainer: Any) -> None:
    trainer = make_trainer(svi={"optim": 0.2}, max_epochs=8)
    trainer.run()
    assert len(trainer.history) == 8
    assert trainer.validation_elbo() == max(row["validation_elbo"] for row in trainer.history)


def test_a_rise_smaller_than_asked_is_no_rise() -> None:
    stopping = EarlyStopping(patience=2, minimum_rise=0.5)
    assert [stopping.improved(value, step=1) for value in (1.0, 1.4, 1.6, 1.7)] == [True, False, True, False]
    assert not stopping.should_stop
    assert not stopping.improved(float("nan"), step=2)
    assert stopping.should_stop
    assert stopping.best == 1.6


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"max_epochs": 0}])
def test_impossible_sizes_are_refused(options: dict[str, int], make_trainer: Any) -> None:
    with pytest.raises(UserError, match="must be at least 1"):
        make_trainer(**options)
    with pytest.raises(UserError, match="patience is 0"):
        EarlyStopping(patience=0)


# ---- what watchers and the history are told --------------------------------------------------------------------------


def test_watchers_are_told_of_every_step_and_epoch_also_across_a_stop(make_trainer: Any) -> None:
    diary = Diary()
    trainer = make_trainer(max_epochs=3, watchers=[StopAt((3, 10)), diary])
    while not trainer.progress.finished:
        trainer.stop_requested = False
        trainer.run()
    expected = [f"step {step}" for step in range(1, 16)]
    for epoch in (3, 2, 1):
        expected.insert(epoch * STEPS_PER_EPOCH, f"epoch {epoch}")
    assert diary.told == expected


def test_the_history_is_the_mean_over_the_observations(make_trainer: Any) -> None:
    trainer = make_trainer(max_epochs=1, validation=False)
    losses = []
    step = trainer.svi.step

    def recorded(x: Tensor) -> Any:
        losses.append((len(x), step(x)))
        return losses[-1][1]

    trainer.svi.step = recorded
    (row,) = trainer.run()
    assert {size for size, _ in losses} == {14}
    assert row["elbo"] == pytest.approx(-sum(size * each.elbo for size, each in losses) / NUM_OBSERVATIONS)
    mean = sum(size * each.empirical_bayes for size, each in losses) / NUM_OBSERVATIONS
    assert row["empirical_bayes_loss"] == pytest.approx(mean)
    posterior_mean = trainer.svi.guide.posterior(trainer.x).mean
    clusters = trainer.svi.model.prior.responsibilities(posterior_mean).argmax(-1)
    assert row["components_in_use"] == len(clusters.unique())
    assert row["elbo"] == pytest.approx(row["reconstruction"] - row["kl"])
    assert (row["epoch"], row["step"]) == (1, STEPS_PER_EPOCH)


@pytest.mark.parametrize("loss", [Trace_ELBO(), TraceMeanField_ELBO(), Trace_ELBO(num_particles=3)])
def test_both_elbos_are_split_into_reconstruction_and_kl(make_trainer: Any, loss: Any) -> None:
    """At no further pass: the likelihood's log-densities are read where the objective takes them."""
    trainer = make_trainer(max_epochs=1)
    trainer.svi.loss = loss
    calls, observation = [], trainer.svi.model.observation

    def recorded(z: Tensor, **covariates: Tensor) -> Any:
        made = observation(z, **covariates)
        calls.append(z)
        return made

    trainer.svi.model.observation = recorded
    (row,) = trainer.run()
    particles = loss.num_particles
    batches = STEPS_PER_EPOCH + -(-len(trainer.validation_x) // trainer.batch_size)
    assert len(calls) == particles * batches
    for prefix in ("", "validation_"):
        elbo, reconstruction, kl = (row[prefix + name] for name in ("elbo", "reconstruction", "kl"))
        assert elbo == pytest.approx(reconstruction - kl)
        assert math.isfinite(kl)
    # By hand, for the validation ELBO: the same noise, the same state.
    value = trainer.validation_elbo()
    guide, model = trainer.svi.guide, trainer.svi.model
    if particles == 1:
        with torch.random.fork_rng([]), torch.no_grad():
            torch.manual_seed(trainer.seed)
            likelihoods = [model.log_likelihood(x, guide(x)) for x in trainer.validation_x.split(trainer.batch_size)]
        assert row["validation_reconstruction"] == pytest.approx(torch.cat(likelihoods).mean().item(), rel=1e-5)
    assert math.isfinite(value)


def test_a_history_without_the_terms_is_gone_on_with(make_trainer: Any) -> None:
    """A checkpoint of version 0.1, in the middle of an epoch: its clusters in use are components."""
    first = make_trainer(max_epochs=3)
    first.run()
    tensors, facts = first.state_dict()
    facts = copy.deepcopy(facts)
    del facts["progress"]["reconstruction_sum"]
    facts["progress"] |= {"epoch": 1, "batch": 1, "finished": False}
    old = {"epoch": 1, "step": 3, "elbo": -5.0, "validation_elbo": -6.0, "clusters_in_use": 3, "seconds": 1.0}
    facts["history"] = [old]
    resumed = make_trainer(max_epochs=3)
    resumed.load_state_dict(tensors, facts)
    rows = resumed.run()
    assert rows[0]["components_in_use"] == 3
    assert "clusters_in_use" not in rows[0]
    assert math.isnan(rows[1]["reconstruction"]), "its beginning was not noted"
    assert math.isfinite(rows[2]["reconstruction"])


def test_clusters_are_counted_now_and_then_and_change_nothing(
    make_trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def number_of_clusters(responsibilities: Any, latents: Any, weights: Any) -> int:
        told.append((responsibilities.shape, latents.shape, weights.shape))
        return 2

    counting, silent = (make_trainer(max_epochs=13, early_stopping=EarlyStopping(None)) for _ in range(2))
    # Full in the course of the tenth epoch.
    monkeypatch.setattr("pyro_vmm.training.trainer.STEPS_BETWEEN_COUNTS", 10 * counting.steps_per_epoch - 1)
    counting.number_of_clusters = number_of_clusters
    streams = []
    for trainer in (counting, silent):
        torch.manual_seed(0)
        trainer.run()
        streams.append(torch.get_rng_state())
    assert same(parameters(counting), parameters(silent))
    assert torch.equal(*streams)
    counted = [row["epoch"] for row in counting.history if math.isfinite(row["clusters_in_use"])]
    assert counted == [10, 13]
    assert len(told) == 2
    assert told[0] == ((NUM_OBSERVATIONS, 4), (NUM_OBSERVATIONS, 2), (4,))
    assert all(math.isnan(row["clusters_in_use"]) for row in silent.history)
    # Gone on with, the last count of the shorter training is not the last one any more.
    longer = make_trainer(max_epochs=22, early_stopping=EarlyStopping(None))
    longer.number_of_clusters = number_of_clusters
    longer.load_state_dict(*counting.state_dict())
    longer.run()
    assert [row["epoch"] for row in longer.history if math.isfinite(row["clusters_in_use"])] == [10, 20, 22]


def test_components_are_counted_on_the_same_part_of_the_observations(make_trainer: Any) -> None:
    trainer = make_trainer(max_epochs=1, validation=False)
    trainer.count_clusters_on = 9
    seen, posterior = [], trainer.svi.guide.posterior

    def recorded(x: Tensor) -> Any:
        seen.append(x)
        return posterior(x)

    trainer.svi.guide.posterior = recorded
    assert 1 <= trainer.components_in_use() == trainer.components_in_use() <= 9
    first, second = torch.cat(seen).chunk(2)
    assert torch.equal(first, second)
    places = [(trainer.x == row).all(-1).nonzero().item() for row in first]
    assert len(set(places)) == 9
    assert max(places) >= 9  # data often come sorted


# ---- minibatches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 7, 16, 100])
def test_minibatches_partition_the_rows_into_equal_parts(batch_size: int) -> None:
    for number in (*range(1, 60), 1000, 1001):
        batches = minibatches(number, batch_size, seed=3, epoch=5)
        sizes = [len(rows) for rows in batches]
        assert torch.equal(torch.cat(batches).sort().values, torch.arange(number))
        left_over = batch_size == 2 and number % 2 == 1 and number > 1
        assert len(batches) == num_minibatches(number, batch_size) == math.ceil(number / batch_size) - left_over
        assert max(sizes) <= batch_size + left_over
        assert max(sizes) - min(sizes) <= 1
        if batch_size > 1 and number > 1:
            assert min(sizes) >= 2


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int, batch_size: int = 10) -> Tensor:
        return torch.cat(minibatches(200, batch_size, seed=seed, epoch=epoch))

    torch.manual_seed(1)
    stream = torch.get_rng_state()
    first = order(0, 0)
    assert torch.equal(torch.get_rng_state(), stream)
    torch.manual_seed(2)
    assert torch.equal(order(0, 0), first)
    assert torch.equal(order(0, 0, batch_size=33), first)
    orders = [order(seed, epoch) for seed in range(5) for epoch in range(5)]
    distinct = {tuple(each.tolist()) for each in orders}
    assert len(distinct) == 25
    # Neighbouring epochs are no shifts of each other: about one row in 200 keeps its place.
    assert all(int((before == after).sum()) < 10 for before, after in pairwise(orders))
