"""The places in an AnnData where counts may be stored, and what to say where they are not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vmm.data.count_setup import CountSetup
from pyro_vmm.data.sparse_structure import check_sparse_structure
from pyro_vmm.errors import Option, UserError

if TYPE_CHECKING:
    from anndata import AnnData


def stored_counts(adata: "AnnData", setup: CountSetup, *, fitting: bool) -> tuple[Any, Any]:
    """The matrix that ``setup`` names, ``[N, G]``, as stored, and its G gene names.

    Raises
    ------
    UserError
        If it is not there. Where data to fit are read (``fitting``) the message names the layers that are.
    """
    layer = setup.layer
    if layer == "raw" and "raw" in adata.layers:
        raise UserError(
            "means adata.raw, but adata has a layer of that name: give the layer another name.",
            option=Option("layer", "raw"),
        )
    if layer is None and adata.X is not None:
        return adata.X, adata.var_names
    if layer == "raw" and adata.raw is not None:
        return adata.raw.X, adata.raw.var_names
    if layer not in (None, "raw") and layer in adata.layers:
        return adata.layers[layer], adata.var_names
    fault = f"adata has no layer {layer!r}"
    if layer is None:
        fault = "adata.X is empty (None)"
    elif layer == "raw":
        fault = "adata has no raw counts (adata.raw is None)"
    if not fitting:
        advice = "set adata.raw to an AnnData with raw counts in its X"
        if layer != "raw":
            advice = f"put raw counts there{_as_with(adata, setup)}"
        raise UserError(f"{fault}, and the model was fitted to the counts there: {advice}.")
    if layer is None:
        choices = _joined([(Option("layer", str(name)), "") for name in _layers(adata)])
        raise UserError(f"{fault}: ", *(("give ", *choices) if choices else ("put the counts there",)), ".")
    raise UserError(f"{fault}: give ", *_choices(adata), ".")


def check_structure(adata: "AnnData", setup: CountSetup) -> None:
    """Refuse counts in a damaged sparse matrix.

    Raises
    ------
    UserError
        If the matrix that ``setup`` names is one.
    """
    # Of a view SciPy takes rows and columns as soon as it is looked at, without a word where they do not exist.
    adata = _whole(adata)
    stored = None
    if setup.layer is None:
        stored = adata.X
    elif setup.layer == "raw":
        stored = None if adata.raw is None else adata.raw.X
    elif setup.layer in adata.layers:
        stored = adata.layers[setup.layer]
    if _is_sparse(stored):
        check_sparse_structure(stored, setup.source)


def advice_on_fractions(adata: "AnnData", setup: CountSetup, *, fitting: bool) -> Sequence[str | Option]:
    """What to do about counts that are not whole, for a message."""
    if not fitting:
        return (f"give raw counts{_as_with(adata, setup)}, as the model was fitted to",)
    options = _joined([(option, "") for option, _ in _other_counts(adata, setup)])
    perhaps = (", perhaps ", *options) if options else ()
    return ("give raw counts", *perhaps, ", or ", Option("allow_non_counts", True), " if these values are meant")


def _as_with(adata: "AnnData", setup: CountSetup) -> str:
    """How to put the counts where a model looks for them, if they seem to be elsewhere in ``adata``; for a message."""
    others = [
        place
        for option, place in _other_counts(adata, setup)
        if option.value != "raw" or adata.raw.shape == adata.shape
    ]
    return f", as with {setup.source} = {others[0]}" if others and setup.layer != "raw" else ""


def _other_counts(adata: "AnnData", setup: CountSetup) -> list[tuple[Option, str]]:
    """Where else counts seem to be: the option that names the place, and the place."""
    whole = _whole(adata)
    places = [
        (Option("layer", str(name)), f"adata.layers[{str(name)!r}]", whole.layers[name])
        for name in _layers(adata)
        if name not in ("raw", setup.layer)
    ]
    if setup.layer is not None:
        places.append((Option("layer", None), "adata.X", whole.X))
    if setup.layer != "raw" and whole.raw is not None:
        places.append((Option("layer", "raw"), "adata.raw.X", whole.raw.X))
    return [(option, place) for option, place, values in places if _seem_counts(values)]


def _layers(adata: "AnnData") -> list[Any]:
    """Names of layers; since anndata 0.13 the X is one, too, called None."""
    return [name for name in adata.layers if name is not None]


def _choices(adata: "AnnData") -> Sequence[str | Option]:
    """Every value of ``layer`` that ``adata`` can serve, for a message."""
    choices = [(Option("layer", str(name)), "") for name in _layers(adata) if name != "raw"]
    if adata.X is not None:
        choices.append((Option("layer", None), " for adata.X"))
    if adata.raw is not None:
        choices.append((Option("layer", "raw"), " for adata.raw"))
    return _joined(choices) or ("an AnnData that holds counts, as this one holds no matrix",)


def _joined(choices: Sequence[tuple[Option, str]]) -> list[str | Option]:
    """Choices, each an option and words of explanation, with "or" between them."""
    parts: list[str | Option] = []
    for option, words in choices:
        parts += [*([" or "] if parts else []), option, words]
    return parts


def _seem_counts(values: Any) -> bool:
    """Whether the first numbers of a matrix are whole and not negative."""
    if _is_sparse(values):
        try:
            check_sparse_structure(values, "")
        except UserError:
            return False
        first = values.tocsr()[:10].data
    elif isinstance(values, np.ndarray):
        first = values[:10]
    else:
        return False
    return first.dtype.kind in "bui" or bool(
        first.dtype.kind == "f" and np.all((first >= 0) & (first == np.rint(first)))
    )


def _whole(adata: "AnnData") -> "AnnData":
    """What ``adata`` is a view of, or itself."""
    # AnnData has no public name for it; a view of a view refers to the first AnnData.
    return (getattr(adata, "_adata_ref", None) or adata) if adata.is_view else adata


def _is_sparse(values: Any) -> bool:
    from scipy import sparse

    return bool(sparse.issparse(values))
