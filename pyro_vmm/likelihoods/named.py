"""Likelihoods by name."""

from typing import Any

from pyro_vmm.errors import UserError
from pyro_vmm.likelihoods.base import Likelihood
from pyro_vmm.likelihoods.bernoulli import Bernoulli
from pyro_vmm.likelihoods.continuous_bernoulli import ContinuousBernoulli
from pyro_vmm.likelihoods.normal import Normal

NAMED: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "continuous-bernoulli": ContinuousBernoulli,
    "normal": Normal,
}


def make_likelihood(choice: str | Likelihood, **options: Any) -> Likelihood:
    """Return the likelihood itself, or the one that the name stands for, with its defaults or the given options.

    Raises
    ------
    UserError
        For an unknown name, or options that the named one does not take.
    """
    if isinstance(choice, Likelihood):
        return choice
    if choice not in NAMED:
        raise UserError(f"likelihood={choice!r} is not known: choose one of {', '.join(map(repr, NAMED))}.")
    try:
        return NAMED[choice](**options)
    except TypeError:
        raise UserError(f"likelihood={choice!r} does not take the options {', '.join(options)}.") from None
