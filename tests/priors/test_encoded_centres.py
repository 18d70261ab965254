"""The centres follow the guide that they were made with, and no other is taken for it."""

import copy
import io

import pytest
import torch
from torch import nn

from pyro_vmm import UserError
from pyro_vmm.diagnosis import simulation_based_calibration
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.ppc.observing import observe
from pyro_vmm.priors import VampMixture
from pyro_vmm.priors.encoded_centres import check_guide
from pyro_vmm.scoring.elbo_surgery import elbo_surgery

ENCODED = ["vamp-prior", "vamp-mixture"]
REFUSED = r"encoded by another guide .* copy\.deepcopy\(\(model, guide\)\)"


def stored_apart(thing):
    stream = io.BytesIO()
    torch.save(thing, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=False)


@pytest.fixture(params=[copy.deepcopy, stored_apart], ids=["copied", "stored"])
def duplicate(request):
    return request.param


@pytest.mark.parametrize("kind", ENCODED)
def test_a_guide_copied_without_the_model_is_refused(kind, duplicate, build_model, make_data):
    model, guide = build_model(kind)
    apart, x = (duplicate(model), duplicate(guide)), make_data(6)
    for pair in (apart, (model, apart[1]), (apart[0], guide)):
        for use in (
            EmpiricalBayesSVI,
            Evaluation,
            simulation_based_calibration,
            lambda model, guide: elbo_surgery(model, guide, x),
            lambda model, guide: observe(model, x.numpy(), guide=guide),
        ):
            with pytest.raises(UserError, match=REFUSED):
                use(*pair)


@pytest.mark.parametrize("kind", ENCODED)
def test_copied_together_the_centres_follow_the_copy(kind, duplicate, build_model, make_data):
    original = build_model(kind)
    centres = original[0].prior.centres.detach().clone()
    model, guide = duplicate(original)
    svi = EmpiricalBayesSVI(model, guide, optim=0.01)
    for _ in range(3):
        svi.step(make_data(16))
    inputs, _ = model.prior.encoded_centres.pseudo_inputs()
    assert torch.equal(model.prior.centres, guide.location_and_scale_tril(inputs)[0])
    assert not torch.equal(model.prior.centres, centres)
    assert torch.equal(original[0].prior.centres, centres)


def test_another_guide_altogether_is_refused(build_model):
    model, _ = build_model("vamp-mixture")
    _, other = build_model("vamp-mixture", covariance="diagonal")
    with pytest.raises(UserError, match=REFUSED):
        EmpiricalBayesSVI(model, other)


class Around(nn.Module):
    def __init__(self, guide):
        super().__init__()
        self.inner = guide


def test_a_guide_that_trains_the_same_parameters_is_taken(build_model):
    model, guide = build_model("vamp-mixture")
    for same in (guide, Around(guide), AmortizedNormal(guide.encoder)):
        check_guide(model.prior, same)


def test_an_encoder_of_ones_own_without_parameters_is_taken(build_model):
    class Fixed:
        def location_and_scale_tril(self, x, **covariates):
            return x[:, :2], torch.eye(2).expand(len(x), 2, 2)

    _, guide = build_model("gaussian-mixture")
    check_guide(VampMixture(2, Fixed(), torch.randn(4, 5)), guide)


@pytest.mark.parametrize("kind", ["standard-normal", "gaussian-mixture"])
def test_priors_without_encoded_centres_take_any_guide(kind, duplicate, build_model):
    model, guide = build_model(kind)
    EmpiricalBayesSVI(duplicate(model), duplicate(guide))
