"""Which parameters each of the two steps may move."""

from dataclasses import dataclass

from torch import nn

from pyro_vmm.errors import UserError
from pyro_vmm.models.latent_mixture import LatentMixtureModel


@dataclass(frozen=True, repr=False)
class Partition:
    """The parameters of a model and its guide, in two disjoint sets; one shared by both modules appears once.

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

    def __repr__(self) -> str:
        """Names and shapes of each set, as Pyro lists the sites of a trace."""
        shapes = {name: tuple(p.shape) for name, p in (self.elbo | self.prior).items()}
        width = max(map(len, shapes), default=0)
        lines = []
        for title, named in (("ELBO step", self.elbo), ("Empirical-Bayes step", self.prior)):
            lines.append(f"{title}: {sum(p.numel() for p in named.values())} numbers")
            lines += [f"  {name:<{width}}  {' '.join(map(str, shapes[name]))}".rstrip() for name in named]
        return "\n".join(lines)


def partition_parameters(model: LatentMixtureModel, guide: nn.Module) -> Partition:
    """Split the parameters of a model and its guide.

    Raises
    ------
    UserError
        If model and guide use one name for two parameters, if a prior says ``fitted_by = "nothing"`` but has parameters,
        or if a prior has registered the guide's parameters as its own.
    """
    named = dict(model.named_parameters())
    models = {id(parameter) for parameter in named.values()}
    for name, parameter in guide.named_parameters():
        if named.get(name, parameter) is not parameter:
            raise UserError(f"Model and guide both have a parameter named {name!r}: rename the guide's.")
        if id(parameter) not in models:
            named[name] = parameter
    prior = {name: parameter for name, parameter in named.items() if name.startswith("prior.")}
    fitted_by = model.prior.fitted_by
    if fitted_by == "nothing" and prior:
        raise UserError(
            f"The prior has parameters ({', '.join(prior)}) but says fitted_by = 'nothing': set it to 'elbo' "
            "or 'empirical-bayes'."
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
    """Keeps the gradient of one step out of the other's parameters; what the user has frozen stays frozen."""

    def __init__(self, partition: Partition) -> None:
        self._sets = {"elbo": list(partition.elbo.values()), "prior": list(partition.prior.values())}
        self._paused: list[nn.Parameter] = []

    def only(self, name: str) -> None:
        """Let gradients flow into the set ``"elbo"`` or ``"prior"`` alone, until :meth:`both`."""
        self.both()
        self._paused = [p for other in self._sets.keys() - {name} for p in self._sets[other] if p.requires_grad]
        for parameter in self._paused:
            parameter.requires_grad_(False)

    def both(self) -> None:
        """Let gradients flow again where :meth:`only` stopped them."""
        for parameter in self._paused:
            parameter.requires_grad_(True)
        self._paused = []
