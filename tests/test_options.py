"""Every option is written once, in ``pyro_vmm.options``; both faces and the command are held against that."""

import argparse
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pyro_vmm import VMM, SingleCellVMM, UserError
from pyro_vmm.command_line.flags import add_flags, given, with_flags
from pyro_vmm.command_line.main import parser
from pyro_vmm.option_checks import as_tuple
from pyro_vmm.options import (
    ALL,
    ARRAYS,
    COMMON,
    OF_ARRAYS,
    OF_COUNTS,
    SINGLE_CELL,
    WHERE_COUNTS_ARE,
    Entry,
    Flag,
    by_name,
    canonical,
    checked,
    defaults,
    of_earlier_versions,
    of_face,
)

TABLES: dict[str, tuple[Entry, ...]] = {
    ARRAYS: (*COMMON, *OF_ARRAYS),
    SINGLE_CELL: (*COMMON, *OF_COUNTS, *WHERE_COUNTS_ARE),
}
TAKEN_BY: dict[str, dict[str, tuple[Callable[..., Any], str | None]]] = {
    ARRAYS: {"VMM": (VMM.__init__, VMM.__doc__)},
    SINGLE_CELL: {
        "SingleCellVMM": (SingleCellVMM.__init__, SingleCellVMM.__doc__),
        "SingleCellVMM.train": (SingleCellVMM.train, SingleCellVMM.train.__doc__),
        "SingleCellVMM.setup_anndata": (SingleCellVMM.setup_anndata, SingleCellVMM.setup_anndata.__doc__),
    },
}
"""What takes the options of a face, and its docstring."""
NO_OPTIONS = {"self", "adata", "watchers", "resume"}
OF_THE_COMMAND = {
    "input",
    "output",
    "threads",
    "deterministic",
    "checkpoint_seconds",
    "resume",
}
"""Arguments of ``pyro-vmm fit`` that are about the run or the file, not the model."""

PARAMETERS = [
    pytest.param(face, name, parameter, id=f"{taker}-{name}")
    for face, takers in TAKEN_BY.items()
    for taker, (function, _) in takers.items()
    for name, parameter in inspect.signature(function).parameters.items()
    if name not in NO_OPTIONS and parameter.kind is not parameter.VAR_KEYWORD
]
OPTIONS = [pytest.param(face, entry, id=f"{face}-{entry.name}") for face, table in TABLES.items() for entry in table]


def actions_of_fit() -> dict[str, argparse.Action]:
    commands = next(action for action in parser()._actions if isinstance(action.choices, dict))
    assert isinstance(commands.choices, dict)
    return {action.dest: action for action in commands.choices["fit"]._actions if action.dest != "help"}


ACTIONS = actions_of_fit()


def documented(docstring: str | None) -> set[str]:
    """Names in a numpy-style section of parameters."""
    parameters = re.search(r"Parameters\n-+\n(.*?)(?:\n\n\w+\n-+\n|\Z)", inspect.cleandoc(docstring or ""), re.DOTALL)
    assert parameters is not None, "a docstring without parameters"
    lines = parameters[1].splitlines()
    return {name for line in lines if line and not line.startswith(" ") for name in line.removeprefix("**").split(", ")}


def takers_of(name: str, face: str) -> list[str]:
    return [taker for taker, (function, _) in TAKEN_BY[face].items() if name in inspect.signature(function).parameters]


@pytest.mark.parametrize(("face", "name", "parameter"), PARAMETERS)
def test_what_a_face_takes_is_an_option(face: str, name: str, parameter: inspect.Parameter) -> None:
    known = defaults(TABLES[face], face)
    assert name in known, f"{name} is a parameter, and pyro_vmm.options has no entry for it"
    assert (type(parameter.default), parameter.default) == (type(known[name]), known[name]), (
        f"the default of {name} is {parameter.default!r} in the signature, and {known[name]!r} in pyro_vmm.options"
    )


@pytest.mark.parametrize(("face", "entry"), OPTIONS)
def test_a_face_takes_every_option_once_and_documents_it(face: str, entry: Entry) -> None:
    name = entry.of_face(face).name
    takers = takers_of(name, face)
    assert len(takers) == 1, f"{name} is taken by {takers or 'nothing'} of {list(TAKEN_BY[face])}: it must be by one"
    (taker,) = takers
    assert name in documented(TAKEN_BY[face][taker][1]), f"the docstring of {taker} does not tell of {name}"


@pytest.mark.parametrize("face", TAKEN_BY)
def test_docstrings_tell_of_nothing_else(face: str) -> None:
    for taker, (function, docstring) in TAKEN_BY[face].items():
        gone = documented(docstring) - inspect.signature(function).parameters.keys()
        assert not gone, f"the docstring of {taker} tells of {sorted(gone)}, which it does not take"


@pytest.mark.parametrize("entry", [entry for entry in ALL if entry.flag], ids=lambda entry: entry.name)
def test_the_command_has_the_flag(entry: Entry) -> None:
    assert entry.flag is not None
    action = ACTIONS.get(entry.flag_name)
    assert action is not None, f"pyro-vmm fit has no flag for {entry.name}"
    assert (action.help or "").startswith(entry.flag.meaning or entry.meaning), f"the help of --{entry.flag_name}"
    if entry.flag.opposite:
        assert entry.flag.meaning, f"--{entry.flag_name} is the opposite of {entry.name} and needs a meaning of its own"


def test_the_command_has_no_flag_that_is_no_option() -> None:
    others = ACTIONS.keys() - OF_THE_COMMAND - {entry.flag_name for entry in with_flags()}
    assert not others, f"pyro-vmm fit has flags without an entry in pyro_vmm.options: {sorted(others)}"


TOLD = re.compile(r"(?P<name>[\w-]+)(?: \(|, )default[);]|\(default (?P<number>[\d.]+)[;)]")
"""A default in a help: ``map-dp (default)``, ``(valleys, default)``, ``(default 1)``."""


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        pytest.param(entry, told, id=entry.name)
        for entry in ALL
        if entry.flag and (told := TOLD.search(entry.flag.more))
    ],
)
def test_help_tells_the_true_default(entry: Entry, told: re.Match[str]) -> None:
    assert entry.flag is not None
    value = entry.default if entry.flag.default is None else entry.flag.default
    assert (told["name"] or float(told["number"])) == value, (
        f"the help of --{entry.flag_name} tells {told[0]!r}, and the default is {value!r}"
    )


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_a_meaning_is_the_beginning_of_a_sentence(entry: Entry) -> None:
    assert re.fullmatch(r"[a-z].*[\w)]", entry.meaning), entry.meaning


@pytest.mark.parametrize(("face", "entry"), OPTIONS)
def test_a_default_is_a_value_that_the_check_takes(face: str, entry: Entry) -> None:
    own = entry.of_face(face)
    taken = checked({own.name: own.default}, TABLES[face], face)
    assert taken == {own.name: own.default}
    assert type(taken[own.name]) is type(own.default)


@pytest.mark.parametrize(("face", "entry"), [each for each in OPTIONS if each.values[1].check not in (None, as_tuple)])
def test_a_check_names_the_option_as_the_face_does(face: str, entry: Entry) -> None:
    name = entry.of_face(face).name
    with pytest.raises(UserError, match=f"^{name} is .*: it must be .*[.]$") as raised:
        checked({name: "a word"}, TABLES[face], face)
    assert raised.value.option == name


@pytest.mark.parametrize("face", TABLES)
def test_names_are_unique(face: str) -> None:
    assert len(defaults(TABLES[face], face)) == len(TABLES[face])
    assert len({entry.name for entry in ALL}) == len(ALL)


def test_checked_values_are_plain() -> None:
    values = {"latent_dim": np.int64(3), "hidden": [np.int64(8)], "learning_rate": np.float32(0.5), "image_shape": None}
    taken = checked(values, TABLES[ARRAYS])
    assert taken == {"latent_dim": 3, "hidden": (8,), "learning_rate": 0.5, "image_shape": None}
    assert type(taken["latent_dim"]) is int
    assert type(taken["hidden"][0]) is int
    with pytest.raises(KeyError, match="latent_dims"):
        checked({"latent_dims": 3}, TABLES[ARRAYS])
    with pytest.raises(UserError, match="hidden is an array of shape"):
        checked({"hidden": np.zeros((2, 2))}, TABLES[ARRAYS])


def test_a_face_has_words_of_its_own() -> None:
    of_cells = {
        "n_latent": 3,
        "gene_likelihood": "nb",
        "train_size": 0.75,
        "accelerator": "cpu",
        "n_hidden": 8,
        "own": 1,
    }
    of_all = {
        "latent_dim": 3,
        "likelihood": "nb",
        "validation_fraction": 0.25,
        "device": "cpu",
        "n_hidden": 8,
        "own": 1,
    }
    assert canonical(of_cells, TABLES[SINGLE_CELL], SINGLE_CELL) == of_all
    assert of_face(of_all, TABLES[SINGLE_CELL], SINGLE_CELL) == of_cells
    assert of_face(of_all, TABLES[ARRAYS], ARRAYS) == canonical(of_all, TABLES[ARRAYS], ARRAYS) == of_all
    assert by_name("n_latent", COMMON, SINGLE_CELL) is by_name("latent_dim", COMMON)


@pytest.mark.parametrize("face", TABLES)
def test_defaults_come_back_from_the_names_within(face: str) -> None:
    own = defaults(TABLES[face], face)
    assert of_face(canonical(own, TABLES[face], face), TABLES[face], face) == own


def test_a_modality_elsewhere_has_entries_of_its_own() -> None:
    own = (
        replace(by_name("likelihood", COMMON), default="dirichlet"),
        Entry("floor", 1e-6, "smallest share", "data", flag=Flag(type=float, more=" (default 1e-6)"), earlier=0.0),
    )
    entries = (*COMMON, *own)
    assert defaults(entries, "shares") == defaults(COMMON) | {"likelihood": "dirichlet", "floor": 1e-6}
    assert of_earlier_versions(own) == {"floor": 0.0}
    command = argparse.ArgumentParser()
    add_flags(command, entries)
    arguments = command.parse_args(["--floor", "0.5", "--latent-dim", "3", "--quiet"])
    assert given(arguments, own) == {"floor": 0.5}
    assert given(arguments, entries) == {
        "latent_dim": 3,
        "floor": 0.5,
        "device": "auto",
        "random_state": 0,
        "verbose": False,
    }


def test_one_flag_may_stand_for_several_options_or_for_the_opposite_of_one() -> None:
    words = [
        "fit",
        "x",
        "--output",
        "y",
        "--network",
        "conv",
        "--infer-library-size",
        "--low-precision",
        "--batch-size",
        "0",
    ]
    arguments = parser().parse_args(words)
    assert given(arguments, OF_ARRAYS) == {"encoder": "conv", "decoder": "conv"}
    assert given(arguments, OF_COUNTS) == {"use_observed_lib_size": False}
    training: Iterable[Entry] = (entry for entry in COMMON if entry.part != "process")
    assert given(arguments, training) == {"low_precision": True, "batch_size": 0}


def test_widths_and_layers_of_networks_have_flags() -> None:
    arguments = parser().parse_args(["fit", "x", "--output", "y", "--hidden", "64", "32"])
    assert checked(given(arguments, OF_ARRAYS), OF_ARRAYS) == {"hidden": (64, 32)}
    arguments = parser().parse_args(["fit", "x", "--output", "y", "--n-hidden", "64", "--n-layers", "2"])
    assert given(arguments, OF_COUNTS) == {"n_hidden": 64, "n_layers": 2}


def test_what_stored_models_do_not_name_is_as_it_was() -> None:
    of_version_0_1 = {
        "low_precision": False,
        "centre_uncertainty": "expected",
        "prior_rest_steps": 0,
        "weight_rate": 1.0,
        "weight_decay": 0.0,
        "standard_normal_steps": 0,
    }
    assert of_version_0_1.items() <= of_earlier_versions(ALL).items()
