"""Centres that are the guide's posterior at pseudo-inputs."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from pyro_vmm.errors import UserError
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.priors.pseudo_inputs import PseudoInputs
from pyro_vmm.shapes import Float, Real


class CentreEncoder(Protocol):
    """The one method of a guide that a VampPrior needs."""

    def location_and_scale_tril(
        self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D D"]]:
        """``m(x) [B, D]`` and ``S(x) [B, D, D]`` of ``q(z | x)``."""
        ...


class EncodedCentres(nn.Module):
    """``q(mu_k) = q(z | x = u_k, s = t_k)``, always from the encoder in evaluation mode (section 3).

    Owns the pseudo-inputs; only refers to the guide, so that the encoder's weights stay the guide's.
    """

    def __init__(self, guide: CentreEncoder, pseudo_inputs: PseudoInputs | Float[Tensor, "K F"]) -> None:
        super().__init__()
        self.pseudo_inputs = PseudoInputs(pseudo_inputs) if isinstance(pseudo_inputs, Tensor) else pseudo_inputs
        # Past nn.Module's own __setattr__, which would register the guide as a part of the prior.
        object.__setattr__(self, "guide", guide)

    @property
    def num_components(self) -> int:
        """``K``."""
        return len(self.pseudo_inputs.unconstrained)

    def follows(self, guide: object) -> bool:
        """Whether what trains ``guide`` moves the centres, too: it is their guide, holds it, or has all its parameters.

        True of an encoder of one's own that is no ``nn.Module``, whose parameters cannot be known.
        """
        mine: CentreEncoder = self.__dict__["guide"]
        if mine is guide or not isinstance(mine, nn.Module):
            return True
        if not isinstance(guide, nn.Module):
            return False
        parameters, given = {id(p) for p in mine.parameters()}, {id(p) for p in guide.parameters()}
        return bool(parameters and parameters <= given) or any(part is mine for part in guide.modules())

    def forward(self) -> tuple[Float[Tensor, "K D"], Float[Tensor, "K D D"]]:
        """``m(u_k) [K, D]`` and ``S(u_k) [K, D, D]``."""
        inputs, covariates = self.pseudo_inputs()
        guide: CentreEncoder = self.__dict__["guide"]
        if not isinstance(guide, nn.Module):
            return guide.location_and_scale_tril(inputs, **covariates)
        with evaluation_mode(guide):
            return guide.location_and_scale_tril(inputs, **covariates)


def check_guide(prior: object, guide: object) -> None:
    """Refuse a guide that the centres of ``prior`` do not follow, such as one that was copied without them.

    Only the centres of an ``nn.Module`` are looked at.

    Raises
    ------
    UserError
        If the prior has encoded centres, and their encoder is not the guide's.
    """
    if not all(part.follows(guide) for part in _encoded_centres(prior)):
        raise _another_guide(prior)


def check_parameters_of_guide(prior: object, named: Mapping[str, Tensor]) -> None:
    """Refuse the parameters of a guide, by name, that are a copy of those that encode the centres of ``prior``.

    Raises
    ------
    UserError
        If a parameter has the name of one of the encoder's and is another.
    """
    for part in _encoded_centres(prior):
        guide = part.__dict__["guide"]
        if isinstance(guide, nn.Module) and any(named.get(name, p) is not p for name, p in guide.named_parameters()):
            raise _another_guide(prior)


def _encoded_centres(prior: object) -> list[EncodedCentres]:
    modules = prior.modules() if isinstance(prior, nn.Module) else ()
    return [part for part in modules if isinstance(part, EncodedCentres)]


def _another_guide(prior: object) -> UserError:
    return UserError(
        f"The centres of the {type(prior).__name__} prior are encoded by another guide than the one given: training one "
        "would leave the other behind. Give the guide that the prior was made with; copy both at once, "
        "model, guide = copy.deepcopy((model, guide)), and store and load both at once, too."
    )
