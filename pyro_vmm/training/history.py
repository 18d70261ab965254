"""The columns of a training's history."""

from collections.abc import Iterable

COLUMNS = (
    "epoch",
    "step",
    "elbo",
    "reconstruction",
    "kl",
    "validation_elbo",
    "validation_reconstruction",
    "validation_kl",
    "empirical_bayes_loss",
    "components_in_use",
    "clusters_in_use",
    "seconds",
)


def present_names(names: Iterable[str]) -> dict[str, str]:
    """Present names of columns that version 0.1 called otherwise: its ``clusters_in_use`` were components."""
    given = set(names)
    renamed = "clusters_in_use" in given and "components_in_use" not in given
    return {"clusters_in_use": "components_in_use"} if renamed else {}
