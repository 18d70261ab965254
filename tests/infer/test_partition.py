"""The two steps share the parameters out between them: none forgotten, none moved twice."""

from typing import Any

import pytest
import torch
from pyro import poutine
from torch import nn

from pyro_vmm import UserError
from pyro_vmm.infer import partition_parameters
from pyro_vmm.infer.partition import ParameterSwitch
from pyro_vmm.priors import Prior, StandardNormal


def named(model: nn.Module, guide: nn.Module) -> dict[str, nn.Parameter]:
    return {**dict(model.named_parameters()), **dict(guide.named_parameters())}


def test_every_parameter_belongs_to_exactly_one_step(prior_kind: str, build_model: Any) -> None:
    model, guide = build_model(prior_kind)
    partition = partition_parameters(model, guide)
    assert not partition.elbo.keys() & partition.prior.keys()
    together = {**partition.elbo, **partition.prior}
    everything = named(model, guide)
    assert together.keys() == everything.keys()
    assert all(together[name] is everything[name] for name in everything)
    identities = [id(parameter) for parameter in together.values()]
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("inference", ["mle", "map", "map-dp"])
def test_the_prior_step_of_a_mixture_owns_what_is_named_prior(
    mixture_kind: str, inference: str, build_model: Any
) -> None:
    model, guide = build_model(mixture_kind, inference=inference)
    partition = partition_parameters(model, guide)
    centres = "loc" if mixture_kind == "gaussian-mixture" else "encoded_centres.pseudo_inputs.unconstrained"
    expected = {centres, "mixture_weights.stick_logits", "precisions.log_diagonal", "precisions.off_diagonal"}
    if inference == "map-dp":
        expected.add("mixture_weights.log_concentration")
    assert partition.prior.keys() == {f"prior.{name}" for name in expected}
    assert {name.split(".")[0] for name in partition.elbo} == {"encoder", "decoder", "likelihood"}


def test_a_vamp_prior_is_fitted_by_the_elbo(build_model: Any) -> None:
    partition = partition_parameters(*build_model("vamp-prior"))
    assert not partition.prior
    assert "prior.encoded_centres.pseudo_inputs.unconstrained" in partition.elbo


def test_a_standard_normal_has_nothing_to_fit(build_model: Any) -> None:
    partition = partition_parameters(*build_model("standard-normal"))
    assert not partition.prior
    assert not any(name.startswith("prior.") for name in partition.elbo)


def test_pyro_shows_the_same_parameters_under_the_same_names(
    prior_kind: str, build_model: Any, make_data: Any, empty_param_store: None
) -> None:
    model, guide = build_model(prior_kind)
    x = make_data(6)
    sites: dict[str, Any] = {}
    for call in (model, guide):
        trace = poutine.trace(call, param_only=False).get_trace(x)
        # Pyro writes ``$$$`` between a PyroModule's part and the names inside it.
        shown = {name.replace("$$$", "."): site for name, site in trace.nodes.items() if site["type"] == "param"}
        sites |= {name: site["value"] for name, site in shown.items()}
    partition = partition_parameters(model, guide)
    parameters = {**partition.elbo, **partition.prior}
    assert sites.keys() == parameters.keys()
    assert all(sites[name] is parameters[name] for name in sites)


class OwnsTheGuide(StandardNormal):
    """The mistake that ``EncodedCentres`` goes out of its way to avoid."""

    def __init__(self, latent_dim: int, guide: nn.Module, fitted_by: Any) -> None:
        super().__init__(latent_dim)
        self.guide = guide
        self.fitted_by = fitted_by


@pytest.mark.parametrize("fitted_by", ["elbo", "empirical-bayes"])
def test_a_prior_that_owns_the_guide_is_refused(fitted_by: str, build_model: Any) -> None:
    model, guide = build_model("standard-normal")
    model.prior = OwnsTheGuide(2, guide, fitted_by)
    with pytest.raises(UserError, match=r"owns parameters of the guide .*prior\.guide\.encoder"):
        partition_parameters(model, guide)


def test_parameters_of_a_prior_that_nothing_fits_are_refused(build_model: Any) -> None:
    model, guide = build_model("standard-normal")
    model.prior.scale = nn.Parameter(torch.ones(()))
    with pytest.raises(UserError, match=r"prior\.scale.*fitted_by = 'nothing'"):
        partition_parameters(model, guide)


def test_one_name_for_two_parameters_is_refused(build_model: Any) -> None:
    model, guide = build_model("gaussian-mixture")
    guide.decoder = nn.Linear(2, 2)
    model.decoder = nn.Linear(2, 5)
    with pytest.raises(UserError, match=r"both have a parameter named 'decoder\.weight'"):
        partition_parameters(model, guide)


def test_a_part_of_the_guide_under_the_priors_name_is_refused(build_model: Any) -> None:
    model, guide = build_model("gaussian-mixture")
    guide.prior = nn.Linear(2, 2)
    with pytest.raises(UserError, match=r"prior\.weight"):
        partition_parameters(model, guide)


def test_tied_weights_are_one_parameter(build_model: Any) -> None:
    model, guide = build_model("gaussian-mixture", smooth=True)
    model.decoder[0].bias = guide.encoder[0].bias
    partition = partition_parameters(model, guide)
    identities = [id(parameter) for parameter in partition.elbo.values()]
    assert identities.count(id(guide.encoder[0].bias)) == 1


def test_the_switch_leaves_frozen_parameters_frozen(build_model: Any) -> None:
    model, guide = build_model("gaussian-mixture")
    everything = named(model, guide)
    frozen = {"prior.loc", "encoder.layers.0.weight"}
    for name in frozen:
        everything[name].requires_grad_(False)
    switch = ParameterSwitch(partition_parameters(model, guide))
    for chosen in ("elbo", "prior"):
        switch.only(chosen)
        flowing = {name for name, parameter in everything.items() if parameter.requires_grad}
        mine = {name for name in everything if name.startswith("prior.") == (chosen == "prior")}
        assert flowing == mine - frozen
        switch.both()
        assert {name for name, parameter in everything.items() if not parameter.requires_grad} == frozen


def test_a_prior_of_ones_own_needs_no_registration(build_model: Any) -> None:
    class Shifted(Prior):
        fitted_by = "elbo"

        def __init__(self) -> None:
            super().__init__(2)
            self.shift = nn.Parameter(torch.zeros(2))

        def distribution(self) -> Any: ...
        def responsibilities(self, z: torch.Tensor) -> Any: ...
        @property
        def weights(self) -> Any: ...
        @property
        def centres(self) -> Any: ...
        @property
        def covariances(self) -> Any: ...

    model, guide = build_model("standard-normal")
    model.prior = Shifted()
    assert "prior.shift" in partition_parameters(model, guide).elbo
