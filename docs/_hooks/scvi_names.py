"""The page that says of every method and argument of scvi-tools' SCVI what it is here.

``python docs/_hooks/scvi_names.py``            writes docs/how-to/scvi-names.md from the stored signatures and the package
``python docs/_hooks/scvi_names.py --refresh``  reads the signatures anew, from scvi-tools, before
"""

import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SIGNATURES = Path(__file__).with_name("scvi_signatures.json")
PAGE = ROOT / "docs" / "how-to" / "scvi-names.md"
MAKING = "SingleCellVMM"
NOT_TAKEN = "not taken"

HEAD = """# scvi-tools' names

What every public method, argument and attribute of `scvi.model.SCVI` {version} is in `SingleCellVMM`. Written by
`python docs/_hooks/scvi_names.py`, which looks at both; a test holds the page against the package.

* **as there**: the same name with the same meaning. Give arguments by name: their order may differ.
* **is `option`**: another name of an option; both at once are refused.
* **only**: taken with the values named; any other raises an error that says what stands here.
* **nothing**: taken, and changes no result.
* **no**: raises an error that says what stands here.

`batch_size` of queries bounds memory and changes no answer but for rounding; arrays are NumPy's where scvi-tools gives tensors.

"""

DIFFERENCES = {
    "train": "The state that is best on the held-out cells is kept.",
    "get_elbo": "In nats a cell.",
    "get_reconstruction_error": 'The mean is a number, which answers to `["reconstruction_loss"]`, too.',
    "get_normalized_expression": "0 samples: at the posterior mean. With several samples and `return_mean`, the same ones in "
    "every call.",
    "posterior_predictive_sample": "A dense array.",
    "get_latent_library_size": "Observed library sizes are returned where scvi-tools raises.",
    "get_aggregated_posterior": "Scales are standard deviations; scvi-tools 1.4 takes variances for them.",
    "differential_abundance": "As `get_aggregated_posterior`.",
    "history": "A row an epoch, counted from 1; further keys.",
    "test_indices": "Empty: all cells are trained on or held out.",
    "setup_anndata": "`labels_key` has to be there, and no fit reads it.",
    "load": "Stays on the CPU unless `accelerator` or `device` is given. Files of scvi-tools cannot be read.",
}


def refreshed() -> dict[str, Any]:
    """Names and defaults by method, from scvi-tools; keywords that a method hands on are among its own."""
    import scvi
    from scvi.dataloaders import DataSplitter
    from scvi.module import VAE
    from scvi.train import Trainer, TrainingPlan

    model = scvi.model.SCVI
    methods: dict[str, dict[str, str] | None] = {MAKING: _arguments(model.__init__)}
    for name in dir(model):
        if not name.startswith("_"):
            static = inspect.getattr_static(model, name)
            methods[name] = None if isinstance(static, property) else _arguments(getattr(model, name))
    of_the_module = _arguments(VAE.__init__)
    for sized_by_data in ("n_input", "n_batch", "n_labels", "n_continuous_cov", "n_cats_per_cov"):
        del of_the_module[sized_by_data]
    handed_on: dict[str, dict[str, str]] = {
        MAKING: of_the_module,
        "train": _arguments(Trainer.__init__),
        "get_marginal_ll": _arguments(VAE.marginal_ll),
        "get_normalized_expression": _arguments(model.get_importance_weights),
    }
    inner = {"adata", "tensors", "indices", "qz", "px", "zs"}
    for name, others in handed_on.items():
        own = methods[name]
        assert own is not None
        methods[name] = own | {key: value for key, value in others.items() if key not in own and key not in inner}
    of_training = methods["train"]
    assert of_training is not None
    plan, splitter = _arguments(TrainingPlan.__init__), _arguments(DataSplitter.__init__)
    methods["train(plan_kwargs)"] = {key: value for key, value in plan.items() if key != "module"}
    methods["train(datasplitter_kwargs)"] = {
        key: value for key, value in splitter.items() if key != "adata_manager" and key not in of_training
    }
    return {"version": scvi.__version__, "methods": methods}


def _arguments(function: Callable[..., Any]) -> dict[str, str]:
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(function).parameters
    return {
        name: "" if each.default is each.empty else repr(each.default)
        for name, each in parameters.items()
        if name not in ("self", "cls") and each.kind not in several
    }


def stored() -> dict[str, Any]:
    """The signatures that are kept."""
    signatures: dict[str, Any] = json.loads(SIGNATURES.read_text())
    return signatures


def page() -> str:
    """The page's text."""
    sys.path.insert(0, str(ROOT))
    signatures = stored()
    attributes, rows = [], []
    for name, arguments in signatures["methods"].items():
        if arguments is None:
            attributes += [[f"`{name}`", _of_name(name)]]
        else:
            rows += list(_rows(name, arguments))
    return "".join(
        [
            HEAD.format(version=signatures["version"]),
            "## Methods\n\n| method | arguments | here |\n|---|---|---|\n",
            *(f"| {' | '.join(row)} |\n" for row in rows),
            "\n## Attributes\n\n| attribute | here |\n|---|---|\n",
            *(f"| {' | '.join(row)} |\n" for row in attributes),
        ]
    )


def _rows(method: str, arguments: Mapping[str, str]) -> Iterator[list[str]]:
    """A row for each thing that is to be said of arguments, with those it is said of."""
    title = f"`{method}`"
    whole = _of_name(method.partition("(")[0])
    if whole.startswith("**no**"):
        yield [title, ", ".join(f"`{name}`" for name in arguments), whole]
        return
    said: dict[str, list[str]] = {}
    for name, default in arguments.items():
        said.setdefault(_of_argument(method, name, default), []).append(name)
    if not said:
        yield [title, "", whole]
    for text, names in said.items():
        yield [title, ", ".join(f"`{name}`" for name in names), text]
        title = ""
    if method in DIFFERENCES:
        yield ["", "", DIFFERENCES[method]]


def _of_name(name: str) -> str:
    """What is said of a method as a whole, or of an attribute."""
    from pyro_vmm import SingleCellVMM
    from pyro_vmm.single_cell.absent import Absent

    if name == MAKING:
        return "as there"
    found = inspect.getattr_static(SingleCellVMM, name, None)
    if isinstance(found, Absent):
        return f"**no**: {_code(found.instead)}"
    difference = DIFFERENCES.get(name)
    return "as there" + (f". {difference}" if difference and isinstance(found, property) else "")


def _of_argument(method: str, name: str, default: str) -> str:
    from pyro_vmm import SingleCellVMM
    from pyro_vmm.single_cell.scvi_names import ARGUMENTS, Means, Only, Several, Unneeded

    outer, _, inner = method.rstrip(")").partition("(")
    if not inner:
        function = SingleCellVMM if method == MAKING else getattr(SingleCellVMM, method)
        own = _arguments(function)
        if name in own:
            differs = "" in (default, own[name]) or _value(default) != _value(own[name])
            return f"as there; default `{own[name]}`, there `{default}`" if differs and own[name] else "as there"
    argument = ARGUMENTS.get(inner or outer, {}).get(name)
    if isinstance(argument, Means):
        return f"is `{argument.option}`" + (f", {argument.how}" if argument.how else "")
    if isinstance(argument, Only):
        values = ", ".join(f"`{value!r}`" for value in argument.values)
        return f"only {values}: {_code(argument.advice)}"
    if isinstance(argument, Unneeded):
        return f"nothing: {argument.why}"
    if isinstance(argument, Several):
        return f"a dictionary: see `train({argument.of})`"
    return NOT_TAKEN


def _value(default: str) -> Any:
    """``1`` and ``1.0`` are one default."""
    try:
        return float(default)
    except ValueError:
        return default


def _code(sentence: str) -> str:
    """The sentence with what looks like code set as code."""
    marks = "=(_["
    return " ".join(
        f"`{word.rstrip(',.:;')}`{word[len(word.rstrip(',.:;')) :]}" if any(mark in word for mark in marks) else word
        for word in sentence.split(" ")
    )


if __name__ == "__main__":
    if "--refresh" in sys.argv:
        SIGNATURES.write_text(json.dumps(refreshed(), indent=1) + "\n")
    PAGE.write_text(page())
