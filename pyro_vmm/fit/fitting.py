"""From a modality and its observations to a fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pyro.infer import TraceMeanField_ELBO

from pyro_vmm.calling_code import warn_caller
from pyro_vmm.clustering import Clusters, check_merging
from pyro_vmm.devices import choose_device
from pyro_vmm.errors import Option, OptionWarning
from pyro_vmm.fit.fit import Fit
from pyro_vmm.fit.own_objects import storable, with_copies
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.infer import EmpiricalBayesSVI, LinearWarmup, named_schedule
from pyro_vmm.infer.optimizers import decayed, prior_choice
from pyro_vmm.modalities import Modality
from pyro_vmm.modalities.components import enough_components
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks.low_precision import warn_where_it_is_slow
from pyro_vmm.observations import InMemory, Observations, num_minibatches, split_rows
from pyro_vmm.option_checks import as_folder
from pyro_vmm.priors import Prior
from pyro_vmm.process_lock import PROCESS_LOCK
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.random_numbers import OwnRandomNumbers
from pyro_vmm.training import (
    EarlyStopping,
    InterruptedWarning,
    ProgressBar,
    Trainer,
    Watcher,
    resume_training,
)
from pyro_vmm.training.clusters_in_use import NumberOfClusters
from pyro_vmm.training.history import COLUMNS
from pyro_vmm.training.standard_normal_start import make_ready_for_standard_normal
from pyro_vmm.training.watchers import checked_watchers


def train(
    modality: Modality,
    observations: Observations,
    take: Callable[[Fit], None],
    *,
    earlier: Fit | None = None,
    rows_sha256: str | None = None,
    watchers: Sequence[Watcher] = (),
    resume: str | Path | None = None,
    advice: str = "Fit again for a whole fit.",
) -> None:
    """Train a model of the observations, find their clusters, and hand the fit over, all at once.

    Parameters
    ----------
    modality
        With all options, checked.
    observations
        Those that it has learned from.
    take
        Given the fit; a first Ctrl-C waits for its end.
    earlier
        A fit of the same observations whose model is trained on; it is left as it is.
    rows_sha256
        See :class:`Fit`.
    watchers, resume
        See :meth:`Fit.of`.
    advice
        What a warning about an interrupted training says at its end.

    Raises
    ------
    UserError
        For options that cannot be used, and a checkpoint of another training.
    pyro_vmm.infer.NonFiniteError
        If a loss, a gradient or a running statistic ceases to be finite.

    Warns
    -----
    pyro_vmm.training.InterruptedWarning
        If Ctrl-C ended the training.
    """
    options = modality.options
    check_merging(options["merging"], options["evidence_weight"])
    bars = [ProgressBar()] if options["verbose"] else []
    watchers = (*bars, *checked_watchers(watchers))
    with usual_settings():
        device = choose_device(options["device"])
        if options["low_precision"]:
            warn_where_it_is_slow(device)
        seed = modality.draw_seed()
        training, held_out = split_rows(
            len(observations),
            options["validation_fraction"],
            seed,
            groups=[group.codes for group in observations.groups.values()],
        )
        trained_on = observations.subset(training)
        # The caller's own stream of random numbers is left where it was.
        numbers = OwnRandomNumbers(seed, device)
        if earlier is None:
            model, guide, new_prior = _new_model(modality, trained_on, numbers)
        else:
            # A training that fails, or is asked meanwhile, leaves the model as it was.
            (model, guide), new_prior = deepcopy((earlier.model, earlier.guide)), None
        settled = modality.settle(len(training), new_prior)
        if new_prior is not None and settled["standard_normal_steps"] and isinstance(options["prior"], str):
            make_ready_for_standard_normal(new_prior)
        model.to(device)
        guide.to(device)
        steps = settled["max_epochs"] * num_minibatches(len(training), settled["batch_size"])
        svi = _svi(model, guide, settled, steps)
        if svi.settled_at >= steps:
            _warn_too_short(steps, svi.settled_at)
        trainer = Trainer(
            svi,
            _near(trained_on, device),
            _near(observations.subset(held_out), device) if len(held_out) else None,
            batch_size=settled["batch_size"],
            max_epochs=settled["max_epochs"],
            early_stopping=EarlyStopping(settled["patience"]),
            row_numbers=training,
            seed=seed,
            number_of_clusters=_number_of_clusters(options),
            random_numbers=numbers,
            options=storable(options),
            entries=modality.entries(),
            watchers=watchers,
        )
        if resume is not None:
            resume_training(trainer, as_folder(resume, "resume"))
        trainer.run()
        with trainer.kept_whole():
            found = Fit(
                modality,
                model,
                guide,
                clusters=None,  # type: ignore[arg-type]  # found in the next line
                labels=None,
                history=pd.DataFrame(trainer.history_so_far(), columns=list(COLUMNS)),
                held_out=_still_held_out(held_out, earlier),
                finished=trainer.progress.finished,
                interrupted=trainer.interrupted,
                rows_sha256=rows_sha256,
            )
            found.find_clusters(observations)
            with PROCESS_LOCK:
                take(found)
    if trainer.progress.finished or trainer.interrupted:
        for bar in bars:
            bar.tell_clusters(found.n_clusters_)
    if trainer.interrupted:
        warn_caller(f"{trainer.what_is_kept()} {advice}", InterruptedWarning)


def _new_model(
    modality: Modality, observations: Observations, numbers: OwnRandomNumbers
) -> tuple[LatentMixtureModel, AmortizedNormal, Prior]:
    number = enough_components(modality.options, len(observations), modality.noun)
    with numbers:
        model, guide = rebuilt(modality, observations, number)
    return model, guide, model.prior


def rebuilt(
    modality: Modality, observations: Observations | None, num_components: int
) -> tuple[LatentMixtureModel, AmortizedNormal]:
    """Make model and guide with copies of the user's own modules: two fits must not share parameters."""
    return replace(modality, options=with_copies(modality.options)).build(observations, num_components)


def _svi(
    model: LatentMixtureModel, guide: AmortizedNormal, options: Mapping[str, Any], total_steps: int
) -> EmpiricalBayesSVI:
    warmup, rate = options["kl_warmup_steps"], options["learning_rate"]
    own_prior_rate = options["prior_learning_rate"]
    return EmpiricalBayesSVI(
        model,
        guide,
        optim=decayed(rate, options["weight_decay"]),
        prior_optim=prior_choice(rate) if own_prior_rate is None else own_prior_rate,
        loss=TraceMeanField_ELBO(),
        kl_schedule=LinearWarmup(warmup) if warmup else None,
        learning_rate_schedule=named_schedule(options["learning_rate_schedule"], total_steps),
        prior_rest_steps=options["prior_rest_steps"],
        standard_normal_steps=options["standard_normal_steps"],
        weight_rate=options["weight_rate"],
    )


def _near(observations: Observations, device: torch.device) -> Observations:
    return observations.resident(device) if isinstance(observations, InMemory) else observations


def _number_of_clusters(options: Mapping[str, Any]) -> NumberOfClusters:
    def number(
        responsibilities: NDArray[np.float64], latents: NDArray[np.float32], weights: NDArray[np.float64]
    ) -> int:
        merging, weight = options["merging"], options["evidence_weight"]
        return Clusters.of(responsibilities, latents, weights, merging, weight).number

    return number


def _still_held_out(held_out: NDArray[np.int64], earlier: Fit | None) -> NDArray[np.int64] | None:
    """What an earlier training trained on is not held out."""
    if earlier is None:
        return held_out
    return None if earlier.held_out is None else np.intersect1d(earlier.held_out, held_out)


def _warn_too_short(steps: int, settled_at: int) -> None:
    warn_caller(
        OptionWarning(
            f"Training ends after {steps:,} steps, and ",
            Option("kl_warmup_steps"),
            ", ",
            Option("prior_rest_steps"),
            " or ",
            Option("standard_normal_steps"),
            f" last for {settled_at:,}: raise ",
            Option("max_epochs"),
            ", or lower these (0 for none).",
        )
    )
