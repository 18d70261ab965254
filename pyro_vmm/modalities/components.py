"""How many components there are, and the prior that they make."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyro_vmm.calling_code import warn_caller
from pyro_vmm.data import DataWarning
from pyro_vmm.errors import Option, UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.options import COMMON, by_name
from pyro_vmm.priors import GaussianMixture, Prior, PseudoInputs, StandardNormal, VampMixture, VampPrior

PRIORS = ("vamp-mixture", "gaussian-mixture", "vamp-prior", "standard-normal")
DEFAULT_NUMBER: int = by_name("num_components", COMMON).default


def make_prior(
    options: Mapping[str, Any], num_components: int, guide: AmortizedNormal, pseudo_inputs: Callable[[], PseudoInputs]
) -> Prior:
    """Make the prior; ``pseudo_inputs`` makes those of the two priors that have them.

    Raises
    ------
    UserError
        For an unknown name, or an object that does not fit.
    """
    prior, latent_dim = options["prior"], options["latent_dim"]
    if isinstance(prior, Prior):
        if isinstance(prior, VampMixture | VampPrior):
            raise UserError(
                f"A {type(prior).__name__} object refers to a guide of its own, not to the one made here: give its "
                "name as prior, or build the model from its pieces."
            )
        if prior.latent_dim != latent_dim:
            raise UserError(
                f"The prior has {prior.latent_dim} latent dimensions, not latent_dim={latent_dim}: make them equal."
            )
        return prior
    check_prior_name(prior)
    if prior == "standard-normal":
        return StandardNormal(latent_dim)
    mixture: dict[str, Any] = {
        "inference": options["prior_inference"],
        "weights": options["weights"],
        "prior_weight": options["prior_weight"],
        "responsibility_gradient": options["responsibility_gradient"],
    }
    if prior == "gaussian-mixture":
        return GaussianMixture(latent_dim, num_components, **mixture)
    if prior == "vamp-prior":
        return VampPrior(latent_dim, guide, pseudo_inputs())
    return VampMixture(latent_dim, guide, pseudo_inputs(), centre_uncertainty=options["centre_uncertainty"], **mixture)


def check_prior_name(prior: Any) -> None:
    """Raise :class:`UserError` for the name of a prior that does not exist."""
    if not isinstance(prior, Prior) and prior not in PRIORS:
        raise UserError(f"is not known: choose {_listed(PRIORS)}.", option=Option("prior", prior))


def enough_components(options: Mapping[str, Any], num_observations: int, noun: str) -> int:
    """``num_components``, or if that is the default, at most the ``num_observations`` from which pseudo-inputs start.

    Warns
    -----
    DataWarning
        Where it is lowered. ``noun`` is what the warning calls the observations.
    """
    num_components: int = options["num_components"]
    starts_from_observations = options["prior"] in ("vamp-mixture", "vamp-prior")
    if num_components != DEFAULT_NUMBER or num_observations >= num_components or not starts_from_observations:
        return num_components
    warn_caller(
        f"{DEFAULT_NUMBER} components, the default, are more than the {num_observations} {noun} that they start from: "
        f"{num_observations} components are used.",
        DataWarning,
    )
    return num_observations


def stored_components(num_components: int, in_use: int) -> int:
    """``num_components`` of a stored fit that has ``in_use``: fewer where :func:`enough_components` lowered the default."""
    return in_use if num_components == DEFAULT_NUMBER else num_components


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:-1])) + f" or {names[-1]!r}"
