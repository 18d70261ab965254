"""Every public method and argument of scvi-tools' SCVI works here, or is refused by one sentence; the documentation says which."""

import importlib.util
import inspect
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.options import ALL
from pyro_vmm.single_cell.absent import Absent, NotHere
from pyro_vmm.single_cell.face_options import OF_TRAINING
from pyro_vmm.single_cell.scvi_names import ARGUMENTS, Argument, Means, Only, Several, Unneeded, in_our_words

ROOT = Path(__file__).parents[1]
GENERATOR = ROOT / "docs" / "_hooks" / "scvi_names.py"


def load_generator() -> Any:
    spec = importlib.util.spec_from_file_location("scvi_names_page", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED = load_generator()
METHODS: dict[str, dict[str, str] | None] = GENERATED.stored()["methods"]
ENTRIES = [
    pytest.param(method, name, argument, id=f"{method}-{name}")
    for method, table in ARGUMENTS.items()
    for name, argument in table.items()
]
ABSENT = [name for name, value in vars(NotHere).items() if isinstance(value, Absent)]


def test_the_page_is_the_package_s() -> None:
    assert GENERATED.PAGE.read_text() == GENERATED.page(), "run python docs/_hooks/scvi_names.py"
    assert len(GENERATED.PAGE.read_text().splitlines()) <= 250


@pytest.mark.parametrize("method", METHODS)
def test_the_page_names_every_method_and_argument(method: str) -> None:
    rows = GENERATED.PAGE.read_text().splitlines()
    start = next(place for place, row in enumerate(rows) if row.startswith(f"| `{method}` |"))
    own = [rows[start], *_while(lambda row: row.startswith("|  |"), rows[start + 1 :])]
    assert GENERATED.NOT_TAKEN not in "".join(own)
    named = {name for row in own for name in re.findall(r"`(\w+)`", row.split("|")[2])}
    assert named >= set(METHODS[method] or ())


def _while(holds: Any, rows: list[str]) -> list[str]:
    until = next((place for place, row in enumerate(rows) if not holds(row)), len(rows))
    return rows[:until]


@pytest.mark.skipif(find_spec("scvi") is None, reason="scvi-tools is not installed: pip install pyro-vmm[benchmark]")
@pytest.mark.filterwarnings("ignore")
def test_the_signatures_are_those_of_scvi_tools() -> None:
    assert GENERATED.refreshed()["methods"] == METHODS, "run python docs/_hooks/scvi_names.py --refresh"


@pytest.mark.parametrize("name", [name for name in METHODS if "(" not in name and name != "SingleCellVMM"])
def test_every_name_is_there_or_says_what_stands_for_it(name: str) -> None:
    found = inspect.getattr_static(SingleCellVMM, name)
    if isinstance(found, Absent):
        assert name in ABSENT
    else:
        assert getattr(SingleCellVMM, name).__doc__


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_absent_is_refused_in_one_sentence(name: str) -> None:
    assert name in METHODS
    assert not hasattr(SingleCellVMM, name), f"{name} is offered by now: take it out of NotHere"
    for owner in (SingleCellVMM, SingleCellVMM.__new__(SingleCellVMM)):
        with pytest.raises(UserError, match=rf"^SingleCellVMM has no {name}: [^:]+[.]$"):
            getattr(owner, name)


@pytest.mark.parametrize(("method", "name", "argument"), ENTRIES)
def test_no_argument_is_declared_twice(method: str, name: str, argument: Argument) -> None:
    if method in ("plan_kwargs", "datasplitter_kwargs"):
        return
    function = SingleCellVMM if method == "SingleCellVMM" else getattr(SingleCellVMM, method)
    parameters = inspect.signature(function).parameters
    assert name not in parameters
    assert parameters["objects" if method == "load" else "theirs"].kind is inspect.Parameter.VAR_KEYWORD
    if isinstance(argument, Means):
        assert argument.option in parameters


def test_options_of_a_training_have_their_names() -> None:
    named = {argument.option for argument in ARGUMENTS["plan_kwargs"].values() if isinstance(argument, Means)}
    assert named <= OF_TRAINING
    assert named <= {name for entry in ALL for name in entry.names}


def methods_with(name: str, table: str) -> tuple[str, dict[str, Any]]:
    """Where an argument of a table is given: some are in a dictionary."""
    inside = next(((key, each) for key, each in ARGUMENTS["train"].items() if each == Several(table)), None)
    return ("train", {inside[0]: {name: ...}}) if inside and table != "train" else (table, {name: ...})


@pytest.mark.parametrize(("method", "name", "argument"), [each for each in ENTRIES if isinstance(each.values[2], Only)])
def test_one_value_is_taken_and_others_are_refused_in_one_sentence(method: str, name: str, argument: Only) -> None:
    outer, given = methods_with(name, method)
    inner = next(iter(given))

    def asked(value: Any) -> dict[str, Any]:
        return in_our_words(outer, {inner: value if given[inner] is ... else {name: value}})

    for value in argument.values:
        assert asked(value) == {}
    with pytest.raises(UserError) as raised:
        asked("another value")
    message = str(raised.value)
    assert name in message
    assert message.endswith(f"={'another value'!r} is not offered: {argument.advice}.")
    assert message.count(". ") == 0


@pytest.mark.parametrize(
    ("method", "name", "argument"), [each for each in ENTRIES if isinstance(each.values[2], Unneeded)]
)
def test_what_changes_no_result_is_taken(method: str, name: str, argument: Unneeded) -> None:
    outer, given = methods_with(name, method)
    inner = next(iter(given))
    assert in_our_words(outer, {inner: 3 if given[inner] is ... else {name: 3}}) == {}


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(UserError, match=r"^SingleCellVMM.train has no argument 'no_such': leave it out.$"):
        in_our_words("train", {"no_such": 1})
    with pytest.raises(UserError, match=r"^plan_kwargs\['no_such'\] is not known: leave it out.$"):
        in_our_words("train", {"plan_kwargs": {"lr": 1e-3, "no_such": 1}})
    with pytest.raises(UserError, match=r"^plan_kwargs is 3: give a dictionary of options by name"):
        in_our_words("train", {"plan_kwargs": 3})


def test_other_names_become_options() -> None:
    plan = {"lr": 5e-4, "weight_decay": 1e-6, "n_steps_kl_warmup": 7, "n_epochs_kl_warmup": None}
    assert in_our_words("train", {"plan_kwargs": plan}) == {
        "learning_rate": 5e-4,
        "weight_decay": 1e-6,
        "kl_warmup_steps": 7,
    }
    epochs = {"plan_kwargs": {"n_epochs_kl_warmup": 4}, "validation_size": 0.2}
    told: dict[str, Any] = {}

    def to_steps(number: int, others: Any) -> int:
        told.update(others)
        return 10 * number

    assert in_our_words("train", epochs, to_steps=to_steps) == {"train_size": 0.8, "kl_warmup_steps": 40}
    assert told == {"train_size": 0.8}
    patience = {"early_stopping_patience": 5, "check_val_every_n_epoch": 3}
    assert in_our_words("train", patience) == {"patience": 15}
    scarches = {"use_layer_norm": "both", "use_batch_norm": "none", "encode_covariates": True}
    assert in_our_words("SingleCellVMM", scarches) == {"normalization": "layer"}
    with pytest.raises(UserError, match="use_batch_norm='both' with use_layer_norm='both' is not offered"):
        in_our_words("SingleCellVMM", {"use_layer_norm": "both"})


def test_two_names_of_one_option_are_refused() -> None:
    both = r"are two names of one option: give one of them.$"
    with pytest.raises(UserError, match=rf"^early_stopping_patience and patience {both}"):
        in_our_words("train", {"early_stopping_patience": 5}, {"patience": 5})
    with pytest.raises(
        UserError, match=rf"^plan_kwargs\['n_steps_kl_warmup'\] and plan_kwargs\['n_epochs_kl_.* {both}"
    ):
        in_our_words(
            "train",
            {"plan_kwargs": {"n_epochs_kl_warmup": 4, "n_steps_kl_warmup": 7}},
            to_steps=lambda number, others: 10 * number,
        )
    # Two shares that make up the whole are no contradiction.
    assert in_our_words("train", {"validation_size": 0.2}, {"train_size": 0.8}) == {"train_size": 0.8}
    with pytest.raises(
        UserError, match=r"^validation_size and train_size are both given: let them add up to 1, and keep"
    ):
        in_our_words("train", {"validation_size": 0.1}, {"train_size": 0.8})
