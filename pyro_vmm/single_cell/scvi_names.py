"""Arguments as scvi-tools calls them, each with what it becomes here: the one place that says so.

An argument that a method takes by the same name is in its signature and not here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyro_vmm.errors import UserError
from pyro_vmm.option_checks import check_whole_number, is_number
from pyro_vmm.plain_values import plain


def _as_it_is(value: Any, theirs: Mapping[str, Any]) -> Any:
    return value


@dataclass(frozen=True)
class Means:
    """Another name of an option.

    Attributes
    ----------
    option
        What the option is called here.
    value
        From the value there, and all arguments that were given with it, to the option's.
    epochs
        Whether the value counts epochs, and the option steps.
    if_both
        What a message says where the option is given, too, and says something else; empty where both are refused anyhow.
    how
        What the documentation adds.
    """

    option: str
    value: Callable[[Any, Mapping[str, Any]], Any] = _as_it_is
    epochs: bool = False
    if_both: str = ""
    how: str = ""


@dataclass(frozen=True)
class Only:
    """Taken with these values, which ask for what is done anyway; others are refused with ``advice``."""

    values: tuple[Any, ...]
    advice: str


@dataclass(frozen=True)
class Unneeded:
    """Taken with any value, since no result depends on it."""

    why: str


@dataclass(frozen=True)
class Several:
    """A dictionary of arguments, each as ``of`` has it."""

    of: str


Argument = Means | Only | Unneeded | Several

NORMALIZATIONS = {("both", "none"): "batch", ("none", "both"): "layer", ("none", "none"): "none"}
"""By ``use_batch_norm`` and ``use_layer_norm``."""


def _normalization(value: Any, theirs: Mapping[str, Any]) -> str:
    pair = (theirs.get("use_batch_norm", "both"), theirs.get("use_layer_norm", "none"))
    if pair not in NORMALIZATIONS:
        raise UserError(
            f"use_batch_norm={pair[0]!r} with use_layer_norm={pair[1]!r} is not offered: choose normalization='batch', "
            "'layer' or 'none', which holds for encoder and decoder."
        )
    return NORMALIZATIONS[pair]


def _complement(value: Any) -> Any:
    return round(1.0 - value, 12) if is_number(value) else value


def _patience(value: Any, theirs: Mapping[str, Any]) -> Any:
    every = theirs.get("check_val_every_n_epoch")
    every = 1 if every is None else check_whole_number(every, "check_val_every_n_epoch")
    return check_whole_number(value, "early_stopping_patience") * every


NO_LOADER = "set the cells up with setup_anndata and give them as adata"
ONE_DEVICE = "training uses one device, which accelerator='cuda:1' chooses; leave it out"
TWO_SHARES = "are both given: let them add up to 1, and keep cells for a test out of adata"
TIME_ONLY = "the library chooses what is fast"
OF_A_QUERY: dict[str, Argument] = {
    "dataloader": Only((None,), NO_LOADER),
    "data_loader_kwargs": Only((None, {}), "cells are read in order, batch_size at a time; leave it out"),
    "silent": Unneeded("queries show no bar"),
}

ARGUMENTS: dict[str, dict[str, Argument]] = {
    "SingleCellVMM": {
        "registry": Only((None,), NO_LOADER),
        "latent_distribution": Only(
            ("normal",), "the embedding is Gaussian, as the mixture of its prior needs; leave it out"
        ),
        "use_batch_norm": Means("normalization", _normalization, how="together with `use_layer_norm`"),
        "use_layer_norm": Means("normalization", _normalization, how="together with `use_batch_norm`"),
        "log_variational": Only((True,), "the encoder sees logarithms of the counts; leave it out"),
        "encode_covariates": Only((True,), "encoder and decoder are both given batch and covariates; leave it out"),
        "deeply_inject_covariates": Only((False,), "covariates enter the first layer of either network; leave it out"),
        "batch_representation": Only(("one-hot",), "batches are one-hot; leave it out"),
        "batch_embedding_kwargs": Only((None, {}), "batches are one-hot; leave it out"),
        "use_size_factor_key": Unneeded("`setup_anndata(size_factor_key=)` says it"),
        "library_log_means": Only((None,), "means of the library size are learned from each batch; leave it out"),
        "library_log_vars": Only((None,), "variances of the library size are learned from each batch; leave it out"),
        "var_activation": Only((None,), "give a guide of your own to pyro_vmm.infer.EmpiricalBayesSVI instead"),
        "extra_encoder_kwargs": Only(
            (None, {}), "n_hidden, n_layers, dropout_rate and normalization describe the networks"
        ),
        "extra_decoder_kwargs": Only((None, {}), "n_hidden, n_layers and normalization describe the networks"),
        "extra_payload_autotune": Only((False,), "leave it out"),
    },
    "train": {
        "validation_size": Means(
            "train_size", lambda value, _: _complement(value), if_both=TWO_SHARES, how="1 minus it"
        ),
        "devices": Only(("auto", 1, "1", [0]), ONE_DEVICE),
        "early_stopping_patience": Means("patience", _patience, how="counted in checks of the validation ELBO"),
        "check_val_every_n_epoch": Unneeded(
            "the validation ELBO is computed after every epoch; `early_stopping_patience` counts as if it were not"
        ),
        "plan_kwargs": Several("plan_kwargs"),
        "plan_config": Several("plan_kwargs"),
        "trainer_config": Only((None, {}), "give its entries to train itself"),
        "datasplitter_kwargs": Several("datasplitter_kwargs"),
        "shuffle_set_split": Only((True,), "held-out cells are drawn at random, by random_state; leave it out"),
        "load_sparse_tensor": Unneeded(TIME_ONLY),
        "datamodule": Only((None,), NO_LOADER),
        "early_stopping_monitor": Only(("elbo_validation",), "training watches the validation ELBO; leave it out"),
        "early_stopping_mode": Only(("min",), "training watches the validation ELBO, a loss in history; leave it out"),
        "early_stopping_min_delta": Only((0, 0.0), "every rise of the validation ELBO counts: set patience instead"),
        "early_stopping_warmup_epochs": Only(
            (0,), "early stopping waits for the end of kl_warmup_steps and standard_normal_steps; leave it out"
        ),
        "progress_bar_refresh_rate": Unneeded("it changes the bar alone"),
        "simple_progress_bar": Unneeded("it changes the bar alone"),
        "enable_model_summary": Only((False,), "print(model.summary_string) instead"),
        "enable_checkpointing": Only((False,), "give watchers=[pyro_vmm.training.CheckpointWriter(folder)] instead"),
        "checkpointing_monitor": Unneeded("the state that is best on the held-out cells is kept"),
        "callbacks": Only((None, []), "give watchers=[...], objects that are called after every step and epoch"),
        "logger": Only((None, False, True), "read model.history, or give watchers=[...]"),
        "log_every_n_steps": Unneeded("history has a row an epoch"),
        "learning_rate_monitor": Only((False,), "the course of learning rates is learning_rate_schedule; leave it out"),
        "log_save_dir": Only((None,), "write model.history to a file instead"),
        "default_root_dir": Only((None,), "nothing is written but by model.save(directory); leave it out"),
        "benchmark": Unneeded(TIME_ONLY),
        "num_sanity_val_steps": Only((0,), "leave it out"),
        "precision": Only((None, 32, "32", "32-true"), "choose SingleCellVMM(low_precision=True) for bfloat16"),
        "strategy": Only((None, "auto"), ONE_DEVICE),
        "gradient_clip_val": Only(
            (None,), "a step that is not finite is refused, and no gradient is clipped; leave it out"
        ),
    },
    "plan_kwargs": {
        "lr": Means("learning_rate"),
        "weight_decay": Means("weight_decay"),
        "n_steps_kl_warmup": Means("kl_warmup_steps"),
        "n_epochs_kl_warmup": Means(
            "kl_warmup_steps", epochs=True, how="in epochs; None leaves it to `n_steps_kl_warmup`"
        ),
        "optimizer": Only(("Adam",), "Adam is used; leave it out"),
        "optimizer_creator": Only((None,), "pyro_vmm.infer.EmpiricalBayesSVI takes an optimiser of your own"),
        "eps": Only((1e-8,), "Adam's is 1e-8: set learning_rate instead"),
        "update_only_decoder": Only((False,), "encoder and decoder are trained together; leave it out"),
        "reduce_lr_on_plateau": Only((False,), "choose learning_rate_schedule='cosine' instead"),
        "lr_factor": Unneeded("it is of `reduce_lr_on_plateau`, which is refused"),
        "lr_patience": Unneeded("it is of `reduce_lr_on_plateau`, which is refused"),
        "lr_threshold": Unneeded("it is of `reduce_lr_on_plateau`, which is refused"),
        "lr_scheduler_metric": Unneeded("it is of `reduce_lr_on_plateau`, which is refused"),
        "lr_min": Unneeded("it is of `reduce_lr_on_plateau`, which is refused"),
        "max_kl_weight": Only((1, 1.0), "the KL term has weight 1 after its warm-up; leave it out"),
        "min_kl_weight": Only((0, 0.0), "the warm-up starts from 0; leave it out"),
        "compile": Only((False,), "leave it out"),
        "compile_kwargs": Only((None, {}), "leave it out"),
        "on_step": Only((False, None), "history has a row an epoch; leave it out"),
        "on_epoch": Only((True, None), "history has a row an epoch; leave it out"),
    },
    "datasplitter_kwargs": {
        "pin_memory": Unneeded(TIME_ONLY),
        "drop_last": Only((False,), "minibatches are of nearly equal size, and none is dropped; leave it out"),
        "drop_dataset_tail": Only((False,), "minibatches are of nearly equal size, and none is dropped; leave it out"),
        "external_indexing": Only((None,), "held-out cells are drawn at random, by random_state; leave it out"),
    },
    "setup_anndata": {},
    "get_latent_representation": OF_A_QUERY,
    "get_elbo": OF_A_QUERY,
    "get_reconstruction_error": OF_A_QUERY,
    "get_marginal_ll": {**OF_A_QUERY, "n_mc_samples_per_pass": Unneeded("it bounds memory; `batch_size` does here")},
    "get_normalized_expression": {
        **OF_A_QUERY,
        "truncation": Only((False,), "weights are not truncated; leave it out"),
        "n_mc_samples_per_pass": Unneeded("it bounds memory; `batch_size` does here"),
    },
    "posterior_predictive_sample": OF_A_QUERY,
    "get_likelihood_parameters": OF_A_QUERY,
    "get_latent_library_size": OF_A_QUERY,
    "get_feature_correlation_matrix": OF_A_QUERY,
    "get_aggregated_posterior": {},
    "differential_abundance": {},
    "differential_expression": {
        "silent": Unneeded("queries show no bar"),
        "weights": Only((None, "uniform"), "expression is of the cells' own posterior samples; leave it out"),
        "filter_outlier_cells": Only((False,), "leave such cells out by idx1 and idx2"),
        "importance_weighting_kwargs": Only((None, {}), "weights are uniform; leave it out"),
        "dataloader": Only((None,), NO_LOADER),
    },
    "save": {
        "dir_path": Means("directory"),
        "save_kwargs": Only((None, {}), "weights are written by safetensors, which has no options; leave it out"),
        "legacy_mudata_format": Only((False,), "the model is of an AnnData; leave it out"),
        "datamodule": Only((None,), NO_LOADER),
        "compression": Only((None, "gzip"), "adata.h5ad is compressed by gzip; leave it out"),
    },
    "load": {
        "dir_path": Means("directory"),
        "backup_url": Only((None,), "download the folder yourself, and give its path"),
        "datamodule": Only((None,), NO_LOADER),
        "allowed_classes_names_list": Only((None,), "a folder says what its model is; leave it out"),
    },
}
"""By method, ``"SingleCellVMM"`` for the making of a model; what is no argument there or here is in no table."""


def in_our_words(
    method: str,
    theirs: Mapping[str, Any],
    given: Mapping[str, Any] | None = None,
    *,
    to_steps: Callable[[int, Mapping[str, Any]], int] | None = None,
) -> dict[str, Any]:
    """Options here, by name, of arguments by scvi-tools' names.

    Parameters
    ----------
    method
        Of ``SingleCellVMM``; a key of :data:`ARGUMENTS`.
    theirs
        Arguments that the method does not have by these names.
    given
        Options that were given by their own names.
    to_steps
        From epochs, and the other options here, to training steps.

    Raises
    ------
    UserError
        For an argument that neither has, a value that is not offered, and an option given by two names.
    """
    given = given or {}
    named = _named(method, theirs, method if method == "SingleCellVMM" else f"SingleCellVMM.{method}")
    values = {name: value for name, _, _, value in named}
    found: dict[str, tuple[str, Any]] = {}
    # What counts epochs comes last: how many steps they have depends on the others.
    for name, called, argument, value in sorted(named, key=lambda each: isinstance(each[2], Means) and each[2].epochs):
        if isinstance(argument, Only) and not any(_same(value, taken) for taken in argument.values):
            raise UserError(f"{called}={value!r} is not offered: {argument.advice}.")
        if not isinstance(argument, Means) or value is None:
            continue
        own = argument.value(plain(value), values)
        if argument.epochs and to_steps is not None:
            others = {option: there for option, (_, there) in found.items()}
            own = to_steps(check_whole_number(own, name, least=0), others)
        two_names = "are two names of one option: give one of them"
        if argument.option in given and not (argument.if_both and given[argument.option] == own):
            raise UserError(f"{called} and {argument.option} {argument.if_both or two_names}.")
        other, before = found.setdefault(argument.option, (called, own))
        if before != own:
            raise UserError(f"{other} and {called} {two_names}.")
    return {option: own for option, (_, own) in found.items()}


def _named(
    method: str, theirs: Mapping[str, Any], owner: str, prefix: str = ""
) -> list[tuple[str, str, Argument, Any]]:
    """Arguments by name, what messages call them, and what they become, those inside dictionaries among them."""
    named: list[tuple[str, str, Argument, Any]] = []
    for name, value in theirs.items():
        called = f"{prefix}[{name!r}]" if prefix else name
        argument = ARGUMENTS[method].get(name)
        if argument is None:
            what = f"{called} is not known" if prefix else f"{owner} has no argument {name!r}"
            raise UserError(f"{what}: leave it out.")
        if not isinstance(argument, Several):
            named.append((name, called, argument, value))
        elif isinstance(value, Mapping):
            named += _named(argument.of, value, owner, called)
        elif value is not None:
            raise UserError(f"{called} is {value!r}: give a dictionary of options by name, or leave it out.")
    return named


def _same(value: Any, taken: Any) -> bool:
    value = plain(value)
    return type(value) is type(taken) and bool(value == taken)
