"""The story with an inferred library size: one more site, in model and guide alike."""

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

from pyro_vmm import UserError
from pyro_vmm.guides import AmortizedCounts
from pyro_vmm.likelihoods import NegativeBinomial
from pyro_vmm.models import CountMixtureModel
from pyro_vmm.networks import Log1pInput, MLPDecoder, MLPEncoder
from pyro_vmm.priors import PseudoInputs, VampMixture

GENES, DIM = 6, 2


@pytest.fixture
def pieces():
    pyro.set_rng_seed(0)
    widths = {"batch": 2}
    encoder = Log1pInput(MLPEncoder(GENES, (8,), num_outputs=2 * DIM, covariates=widths))
    library = Log1pInput(MLPEncoder(GENES, (8,), num_outputs=2, covariates=widths))
    guide = AmortizedCounts(encoder, library)
    x = torch.poisson(torch.full((10, GENES), 3.0))
    prior = VampMixture(DIM, guide, PseudoInputs(x[:4], domain="positive", covariates=widths))
    model = CountMixtureModel(
        prior,
        MLPDecoder(DIM, (8,), num_outputs=GENES, covariates=widths),
        NegativeBinomial(GENES),
        torch.tensor([2.0, 5.0]),
        torch.tensor([0.1, 0.2]),
    )
    return model, guide, x, torch.eye(2)[torch.arange(10) % 2]


def test_the_library_size_is_a_site_of_model_and_guide(pieces):
    model, guide, x, batch = pieces
    for function in (model.fitted, guide):
        trace = poutine.trace(function).get_trace(x, batch=batch)
        site = trace.nodes["library_size"]
        assert [frame.name for frame in site["cond_indep_stack"]] == ["observations"]
        assert site["value"].shape == (10,)
        assert (site["value"] > 0).all()


def test_each_batch_has_its_own_prior(pieces):
    model, _, _, batch = pieces
    prior = model.library_prior(batch)
    torch.testing.assert_close(prior.base_dist.mean[:2], torch.tensor([2.0, 5.0]))
    torch.testing.assert_close(prior.base_dist.stddev[:2], torch.tensor([0.1, 0.2]))
    drawn = poutine.trace(model).get_trace(num_observations=10, batch=batch).nodes["library_size"]["value"].log()
    assert (drawn[0::2] < 3.5).all()
    assert (drawn[1::2] > 3.5).all()


def test_the_guide_starts_from_total_counts(pieces):
    _, guide, x, batch = pieces
    with torch.no_grad():
        guide.library_encoder.network.layers[-1].weight.zero_()
        posterior = guide.library_posterior(x, batch=batch)
    torch.testing.assert_close(posterior.base_dist.mean, x.sum(-1).log())


def test_closed_and_sampled_elbos_agree_and_every_parameter_has_a_gradient(pieces):
    model, guide, x, batch = pieces
    pyro.set_rng_seed(1)
    closed = TraceMeanField_ELBO(num_particles=400, vectorize_particles=False)
    sampled = Trace_ELBO(num_particles=400)
    with torch.no_grad():
        values = [float(elbo.differentiable_loss(model.fitted, guide, x, batch=batch)) for elbo in (closed, sampled)]
    assert values[0] == pytest.approx(values[1], rel=0.02)
    loss = Trace_ELBO().differentiable_loss(model.fitted, guide, x, batch=batch)
    loss.backward()
    for name, parameter in guide.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()


def test_misuse_is_told(pieces):
    model, guide, x, batch = pieces
    with pytest.raises(UserError, match="The model has 2 batches"):
        model.library_prior()
    with pytest.raises(UserError, match="must both be"):
        CountMixtureModel(model.prior, model.decoder, model.likelihood, torch.zeros(2), torch.ones(3))
    guide.library_encoder = MLPEncoder(GENES, (8,), num_outputs=3, covariates={"batch": 2})
    with pytest.raises(UserError, match="gives 3 numbers a cell"):
        guide.library_posterior(x, batch=batch)
