"""Likelihoods by name."""

import inspect
from collections.abc import Iterable
from typing import Any

from pyro_vmm.errors import Option, UserError
from pyro_vmm.likelihoods.base import Likelihood
from pyro_vmm.likelihoods.bernoulli import Bernoulli
from pyro_vmm.likelihoods.continuous_bernoulli import ContinuousBernoulli
from pyro_vmm.likelihoods.negative_binomial import NegativeBinomial
from pyro_vmm.likelihoods.normal import Normal
from pyro_vmm.likelihoods.poisson import Poisson
from pyro_vmm.likelihoods.student_t import StudentT
from pyro_vmm.likelihoods.zero_inflated_negative_binomial import ZeroInflatedNegativeBinomial

NAMED: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "continuous-bernoulli": ContinuousBernoulli,
    "normal": Normal,
    "student-t": StudentT,
    "poisson": Poisson,
    "nb": NegativeBinomial,
    "zinb": ZeroInflatedNegativeBinomial,
}


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def make_likelihood(choice: str | Likelihood, /, *, num_features: int | None = None, **options: Any) -> Likelihood:
    """Return the likelihood itself, or the one that the name stands for, with its defaults or the given options.

    Parameters
    ----------
    choice
        A likelihood, returned as it is, or a name of :data:`NAMED`.
    num_features
        ``F``; handed on to the named likelihoods that have parameters of each feature.
    **options
        Keywords of the named likelihood's class.

    Raises
    ------
    UserError
        For an unknown name, options that the named one does not take, or a named one that needs ``num_features``
        without it.
    """
    if isinstance(choice, Likelihood):
        return choice
    if not isinstance(choice, str) or choice not in NAMED:
        raise UserError(f"is not known: choose one of {_quoted(NAMED)}.", option=Option("likelihood", choice))
    kind = NAMED[choice]
    parameters = inspect.signature(kind).parameters
    unknown = [name for name in options if name not in parameters]
    if unknown:
        taken = f"it takes {_quoted(parameters)}" if parameters else "it takes none"
        raise UserError(f"has no option {_quoted(unknown)}: {taken}.", option=Option("likelihood", choice))
    if "num_features" not in parameters:
        return kind(**options)
    if num_features is None:
        raise UserError(
            f"likelihood={choice!r} needs the number of features: give likelihoods.{kind.__name__}(num_features)."
        )
    return kind(num_features=num_features, **options)
