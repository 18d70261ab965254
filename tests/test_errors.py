"""Messages that name options: as Python calls them, and as the command does."""

import copy
import pickle
import warnings

import pyro
import pytest
from pyro import poutine

from pyro_vmm import UserError
from pyro_vmm.command_line.flags import in_the_commands_words
from pyro_vmm.command_line.main import parser
from pyro_vmm.data import DataWarning
from pyro_vmm.errors import InPython, Option, OptionWarning

FIT = parser().parse_args(["fit", "x.npy", "--output", "out"])
SCORE = parser().parse_args(["score", "out", "--labels", "kind"])


def test_a_message_begins_with_its_option_and_names_others() -> None:
    error = UserError(
        "is more than 36: at most 36, or ", Option("prior", "gaussian-mixture"), ".", option="num_components"
    )
    assert str(error) == "num_components is more than 36: at most 36, or prior='gaussian-mixture'."
    assert error.option == "num_components"
    assert UserError("Plain text.").option is None
    assert isinstance(error, ValueError)


def test_a_message_from_inside_a_trace_stays_one_sentence() -> None:
    def story() -> None:
        pyro.sample("z", pyro.distributions.Normal(0.0, 1.0))
        raise UserError("is 0: give more.", option="num_components")

    with pytest.raises(UserError) as raised:
        poutine.trace(poutine.trace(story)).get_trace()
    assert str(raised.value) == "num_components is 0: give more."


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickled", "copied"])
def test_a_message_comes_back_from_another_process(again: object) -> None:
    error = UserError("is 0.", InPython(" Or None."), option=Option("patience", 0))
    other = again(error)  # type: ignore[operator]
    assert (type(other), str(other), other.option) == (UserError, "patience=0 is 0. Or None.", "patience")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Option("num_components"), "--num-components"),
        (Option("num_components", 5), "--num-components 5"),
        (Option("n_latent", 5), "--latent-dim 5"),
        (Option("gene_likelihood", "nb"), "--likelihood 'nb'"),
        (Option("accelerator", "gpu"), "--device 'gpu'"),
        (Option("encoder", "conv"), "--network 'conv'"),
        (Option("categorical_covariate_keys"), "--covariates"),
        (Option("layer", None), "no --layer"),
        (Option("allow_non_counts", True), "--allow-non-counts"),
        (Option("low_precision", False), "no --low-precision"),
        (Option("use_observed_lib_size", False), "--infer-library-size"),
        (Option("use_observed_lib_size", True), "no --infer-library-size"),
        (Option("normalization", "layer"), "normalization='layer'"),  # the command has no flag for it
        (InPython(", or None"), ""),
        ("num_components=5", "num_components=5"),  # text is never rewritten
    ],
)
def test_the_command_calls_options_by_their_flags(part: str | Option | InPython, words: str) -> None:
    assert in_the_commands_words(UserError("Give ", part, "."), FIT) == f"Give {words}."


def test_every_command_knows_its_own_flags_and_those_of_fit() -> None:
    error = UserError(Option("num_clusters", 3), " ", Option("batch_size", 1))
    assert in_the_commands_words(error, SCORE) == "--num-clusters 3 --batch-size 1"
    assert in_the_commands_words(error, FIT) == "num_clusters=3 --batch-size 1"


def test_a_warning_names_options_alike() -> None:
    with pytest.warns(OptionWarning, match="^raise max_epochs$") as seen:
        warnings.warn(OptionWarning("raise ", Option("max_epochs")), stacklevel=1)
    assert in_the_commands_words(seen[0].message, FIT) == "raise --max-epochs"  # type: ignore[arg-type]
    merged = DataWarning("adata.obs['t'] (", Option("continuous_covariate_keys"), ") has few values.")
    assert in_the_commands_words(merged, FIT) == "adata.obs['t'] (--covariates) has few values."
