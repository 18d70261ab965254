"""Which parameters each of the two steps may move."""

from dataclasses import dataclass

from torch import nn

from pyro_vmm.errors import UserError
from pyro_vmm.models.latent_mixture import LatentMixtureModel


@dataclass(frozen=True)
class Partition:
    """The ``pyro.param`` names of a model and its guide, in two disjoint sets.

    Attributes
    ----------
    elbo
        Parameters of the ELBO step, by name: the guide's, the decoder's and the likelihood's.
    prior
        Parameters of the empirical-Bayes step, by name, each beginning with ``prior.``; empty where the prior is not
        fitted by empirical Bayes (its parameters, if it has any, are then among ``elbo``).
    """

    elbo: dict[str, nn.Parameter]
    prior: dict[str, nn.Parameter]


def partition_parameters(model: LatentMixtureModel, guide: nn.Module) -> Partition:
    """Split the parameters of a model and its guide.

    Raises
    ------
    UserError
        If model and guide use one name for two parameters, if a prior says ``fitted_by = "nothing"`` but has parameters, or
        if a prior has registered the guide's parameters as its own.
    """
    named: dict[str, nn.Parameter] = {}
    for owner, module in (("model", model), ("guide", guide)):
        for name, parameter in module.named_parameters():
            if named.get(name, parameter) is not parameter:
                raise UserError(f"Model and guide both have a parameter named {name!r}: rename the {owner}'s.")
            named[name] = parameter
    prior = {name: parameter for name, parameter in named.items() if name.startswith("prior.")}
    fitted_by = model.prior.fitted_by
    if fitted_by == "nothing" and prior:
        raise UserError(
            f"The prior has parameters ({', '.join(prior)}) but says fitted_by = 'nothing': set it to 'elbo' or 'empirical-bayes'."
        )
    guides = {id(parameter) for parameter in guide.parameters()}
    shared = [name for name, parameter in prior.items() if id(parameter) in guides]
    if shared:
        raise UserError(
            f"The prior owns parameters of the guide ({', '.join(shared)}): it must only refer to the guide."
        )
    if fitted_by != "empirical-bayes":
        return Partition(elbo=named, prior={})
    return Partition(elbo={name: p for name, p in named.items() if name not in prior}, prior=prior)


class ParameterSwitch:
    """Turns the gradients of one set of parameters on and the other's off, touching only what changes."""

    def __init__(self, partition: Partition) -> None:
        self._sets = {"elbo": list(partition.elbo.values()), "prior": list(partition.prior.values())}

    def only(self, name: str) -> None:
        """Let gradients flow into the set ``"elbo"`` or ``"prior"`` alone."""
        for set_name, parameters in self._sets.items():
            wanted = set_name == name
            for parameter in parameters:
                if parameter.requires_grad != wanted:
                    parameter.requires_grad_(wanted)

    def both(self) -> None:
        """Let gradients flow everywhere."""
        for parameters in self._sets.values():
            for parameter in parameters:
                parameter.requires_grad_(True)
