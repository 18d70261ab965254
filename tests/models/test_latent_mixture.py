"""The generative story: its sites and plates, its densities, its draws, and what Pyro can do with it."""

from functools import partial

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from pyro import poutine
from pyro.infer import Predictive, Trace_ELBO, TraceEnum_ELBO
from pyro.infer.inspect import get_model_relations
from torch import nn

from pyro_vmm import UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.likelihoods import Bernoulli, Normal
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks import MLPDecoder, MLPEncoder
from pyro_vmm.priors import GaussianMixture, StandardNormal, VampMixture, VampPrior

DIM, COMPONENTS, FEATURES = 2, 7, 4
PRIORS = ["standard-normal", "vamp-prior", "gaussian-mixture", "vamp-mixture"]
MIXTURES = ["gaussian-mixture", "vamp-mixture"]


@pytest.fixture(autouse=True)
def _store_stays_empty():
    """Nothing that these tests do may leave a parameter in Pyro's global store."""
    pyro.set_rng_seed(0)
    yield
    assert not list(pyro.get_param_store().keys())


def make_pieces(kind, dtype=torch.float64, weights="stick-breaking", dim=DIM, components=COMPONENTS):
    guide = AmortizedNormal(MLPEncoder(FEATURES, (8,), num_outputs=AmortizedNormal.num_outputs(dim)))
    if kind == "standard-normal":
        prior = StandardNormal(dim)
    elif kind == "vamp-prior":
        prior = VampPrior(dim, guide, 2.0 * torch.randn(components, FEATURES))
    elif kind == "gaussian-mixture":
        prior = GaussianMixture(dim, components, weights=weights)
    else:
        prior = VampMixture(dim, guide, 2.0 * torch.randn(components, FEATURES), weights=weights)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    model = LatentMixtureModel(prior, MLPDecoder(dim, (8,), num_outputs=FEATURES), Normal(0.5))
    return model.to(dtype), guide.to(dtype)


def sites(trace):
    return {
        name: [frame.name for frame in node["cond_indep_stack"]]
        for name, node in trace.nodes.items()
        if node["type"] == "sample" and type(node["fn"]).__name__ != "_Subsample"
    }


def story(kind, weights, assignments):
    """The sites and their plates, as the documentation tells them."""
    of_prior = {"concentration": [], "centres": ["components"], "precisions": ["components"]}
    of_prior |= {"sticks": ["breaks"]} if weights == "stick-breaking" else {"weights": []}
    of_observations = {"z": ["observations"], "x": ["observations"]}
    if assignments == "sampled" and kind != "standard-normal":
        of_observations["assignment"] = ["observations"]
    return (of_prior if kind in MIXTURES else {}) | of_observations


@pytest.mark.parametrize("assignments", ["sampled", "summed"])
@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
@pytest.mark.parametrize("kind", PRIORS)
def test_sites_and_plates_are_those_of_the_story(kind, weights, assignments):
    model, _ = make_pieces(kind, weights=weights)
    trace = poutine.trace(model).get_trace(num_observations=5, assignments=assignments)
    assert sites(trace) == story(kind, weights, assignments)
    shapes = {
        "concentration": (),
        "sticks": (COMPONENTS - 1,),
        "weights": (COMPONENTS,),
        "centres": (COMPONENTS, DIM),
        "precisions": (COMPONENTS, DIM, DIM),
        "assignment": (5,),
        "z": (5, DIM),
        "x": (5, FEATURES),
    }
    for name in sites(trace):
        assert trace.nodes[name]["value"].shape == shapes[name], name
    assert trace.nodes["_RETURN"]["value"] is trace.nodes["x"]["value"]
    assert trace.log_prob_sum().isfinite()
    of_fitted = poutine.trace(model.fitted).get_trace(num_observations=5, assignments=assignments)
    assert sites(of_fitted) == {
        name: plates for name, plates in story(kind, weights, assignments).items() if plates == ["observations"]
    }


@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
@pytest.mark.parametrize("kind", MIXTURES)
def test_every_site_has_the_density_of_the_story(kind, weights):
    """Section 1, written out with torch's and scipy's own distributions."""
    model, _ = make_pieces(kind, weights=weights)
    trace = poutine.trace(model).get_trace(num_observations=5)
    trace.compute_log_prob()
    drawn = {name: trace.nodes[name]["value"] for name in sites(trace)}
    found = {name: trace.nodes[name]["log_prob"] for name in drawn}
    a, precisions, c = drawn["concentration"], drawn["precisions"], drawn["assignment"]
    torch.testing.assert_close(found["concentration"], -a)
    torch.testing.assert_close(found["centres"], dist.Normal(0.0, 1.0).log_prob(drawn["centres"]).sum(-1))
    scale = COMPONENTS ** (2 / DIM) / (DIM + 2) * np.eye(DIM)
    wishart = [scipy.stats.wishart(DIM + 2, scale).logpdf(precision.numpy()) for precision in precisions]
    torch.testing.assert_close(found["precisions"], torch.tensor(wishart, dtype=torch.float64))
    if weights == "stick-breaking":
        v = drawn["sticks"]
        torch.testing.assert_close(found["sticks"], dist.Beta(torch.ones_like(a), a).log_prob(v))
        left = torch.cat([torch.ones_like(v[:1]), (1.0 - v).cumprod(0)])
        pi = left * torch.cat([v, torch.ones_like(v[:1])])
    else:
        pi = drawn["weights"]
        shares = (1.0 / (COMPONENTS * a)).expand(COMPONENTS)
        torch.testing.assert_close(found["weights"], dist.Dirichlet(shares).log_prob(pi))
    torch.testing.assert_close(found["assignment"], pi.log()[c])
    component = dist.MultivariateNormal(drawn["centres"][c], precision_matrix=precisions[c])
    torch.testing.assert_close(found["z"], component.log_prob(drawn["z"]))
    likelihood = dist.Normal(model.decoder(drawn["z"]), model.likelihood.scale).to_event(1)
    torch.testing.assert_close(found["x"], likelihood.log_prob(drawn["x"]))


@pytest.mark.parametrize("kind", PRIORS)
def test_given_observations_are_observed(kind):
    model, _ = make_pieces(kind)
    x = torch.randn(6, FEATURES, dtype=torch.float64)
    for told in (model, model.fitted):
        trace = poutine.trace(told).get_trace(x)
        assert trace.nodes["x"]["is_observed"]
        assert trace.nodes["x"]["value"] is x
        assert trace.nodes["z"]["value"].shape == (6, DIM)
        assert not trace.nodes["z"]["is_observed"]


@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
@pytest.mark.parametrize("kind", PRIORS)
def test_conditioning_on_the_site_values_fixes_the_prior(kind, weights):
    model, _ = make_pieces(kind, weights=weights)
    values = model.prior.site_values()
    fixed = pyro.condition(model, data=values)
    trace = poutine.trace(fixed).get_trace(num_observations=5)
    assert {name for name in sites(trace) if trace.nodes[name]["is_observed"]} == set(values)
    for name, value in values.items():
        assert torch.equal(trace.nodes[name]["value"], value)
    if kind != "vamp-mixture":  # whose fitted density also has the spread of the centres
        z, x = trace.nodes["z"]["value"], trace.nodes["x"]["value"]
        given = {"z": z, "x": x}
        whole = poutine.trace(pyro.condition(fixed, data=given)).get_trace(num_observations=5, assignments="summed")
        of_fitted = poutine.trace(pyro.condition(model.fitted, data=given)).get_trace(num_observations=5)
        for each in (whole, of_fitted):
            each.compute_log_prob()
        torch.testing.assert_close(whole.nodes["z"]["log_prob"], of_fitted.nodes["z"]["log_prob"])
        torch.testing.assert_close(of_fitted.nodes["z"]["log_prob"], model.prior.log_prob(z))


@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
@pytest.mark.parametrize("kind", ["vamp-prior", *MIXTURES])
def test_summed_assignments_equal_enumerated_ones(kind, weights):
    """Loss and every gradient, to double precision, under the same noise."""
    model, guide = make_pieces(kind, weights=weights)
    x = torch.randn(6, FEATURES, dtype=torch.float64)
    modules = nn.ModuleList([model, guide])
    named = {name: p for name, p in modules.named_parameters() if not name.endswith("log_concentration")}
    found = []
    for assignments, elbo in (
        ("sampled", TraceEnum_ELBO(max_plate_nesting=1)),
        ("summed", TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False)),
        ("summed", Trace_ELBO()),
    ):
        pyro.set_rng_seed(1)
        loss = elbo.differentiable_loss(partial(model.fitted, assignments=assignments), guide, x)
        gradients = torch.autograd.grad(loss, list(named.values()))
        assert all(gradient.isfinite().all() for gradient in gradients)
        found.append((loss.detach(), dict(zip(named, gradients, strict=True))))
    for loss, gradients in found[1:]:
        torch.testing.assert_close(loss, found[0][0], rtol=1e-12, atol=1e-12)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, found[0][1][name], rtol=1e-8, atol=1e-10, msg=name)


EDGES = {
    "stick-breaking": {"concentration": [], "sticks": ["concentration"], "centres": [], "precisions": []},
    "dirichlet": {"concentration": [], "weights": ["concentration"], "centres": [], "precisions": []},
}
WEIGHTS_SITE = {"stick-breaking": "sticks", "dirichlet": "weights"}


@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
@pytest.mark.parametrize("kind", MIXTURES)
def test_sites_depend_on_each_other_as_in_the_story(kind, weights):
    model, _ = make_pieces(kind, weights=weights)
    site = WEIGHTS_SITE[weights]
    for assignments, expected in (
        ("sampled", {"assignment": {site}, "z": {"centres", "precisions", "assignment"}, "x": {"z"}}),
        ("summed", {"z": {"centres", "precisions", site}, "x": {"z"}}),
    ):
        kwargs = {"num_observations": 5, "assignments": assignments}
        found = get_model_relations(model, model_kwargs=kwargs)["sample_sample"]
        of_prior = {name: set(parents) for name, parents in EDGES[weights].items()}
        assert {name: set(parents) for name, parents in found.items()} == of_prior | expected


def test_rendered_graph():
    model, _ = make_pieces("vamp-mixture")
    source = pyro.render_model(model, model_kwargs={"num_observations": 5}).source
    lines = {line.strip() for line in source.splitlines()}
    edges = {line for line in lines if "->" in line}
    assert edges == {
        "concentration -> sticks",
        "sticks -> assignment",
        "centres -> z",
        "precisions -> z",
        "assignment -> z",
        "z -> x",
    }
    for plate in ("breaks", "components", "observations"):
        assert f"subgraph cluster_{plate} {{" in lines
    observed = pyro.render_model(model, model_args=(torch.randn(3, FEATURES, dtype=torch.float64),)).source
    (node,) = [line for line in observed.splitlines() if line.strip().startswith("x [")]
    assert "fillcolor=gray" in node
    of_fitted = pyro.render_model(model.fitted, model_kwargs={"num_observations": 5}).source
    assert {line.strip() for line in of_fitted.splitlines() if "->" in line} == {"z -> x"}


@pytest.mark.parametrize("kind", PRIORS)
def test_prior_predictive(kind):
    model, _ = make_pieces(kind)
    drawn = Predictive(model, num_samples=3)(num_observations=4)
    assert set(drawn) == set(story(kind, "stick-breaking", "sampled"))
    assert drawn["z"].shape == (3, 4, DIM)
    assert drawn["x"].shape == (3, 4, FEATURES)
    if kind in MIXTURES:
        assert drawn["precisions"].shape == (3, COMPONENTS, DIM, DIM)
        assert drawn["sticks"].shape == (3, COMPONENTS - 1)
        assert not torch.equal(drawn["centres"][0], drawn["centres"][1])


@pytest.mark.parametrize("kind", PRIORS)
def test_predictive_with_the_guide(kind):
    model, guide = make_pieces(kind)
    x = torch.randn(5, FEATURES, dtype=torch.float64)
    with torch.no_grad():
        drawn = Predictive(model.fitted, guide=guide, num_samples=300)(x)
        assert torch.equal(drawn["x"][0], x)
        z = Predictive(guide, num_samples=300)(x)["z"]
        fresh = Predictive(model.fitted, posterior_samples={"z": z})(num_observations=5)["x"]
        posterior = guide.posterior(x)
    assert z.shape == (300, 5, DIM)
    assert fresh.shape == (300, 5, FEATURES)
    assert_mean(z, posterior.mean)
    assert_mean((z - posterior.mean).square(), posterior.variance)
    assert_mean(fresh - model.decoder(z).detach(), torch.zeros(()))
    of_story = Predictive(model, guide=guide, num_samples=3)(x)
    assert set(of_story) >= set(story(kind, "stick-breaking", "sampled")) - {"z"}


def assert_mean(draws, expected):
    """Means over the first axis, elementwise, within five standard errors."""
    draws = draws.detach()
    assert ((draws.mean(0) - expected).abs() < 5.0 * draws.std(0) / len(draws) ** 0.5).all()


def moments(prior):
    weights, centres = prior.weights.detach(), prior.centres.detach()
    second = prior.covariances.detach() + centres.unsqueeze(-1) * centres.unsqueeze(-2)
    return weights @ centres, (weights[:, None, None] * second).sum(0)


@pytest.mark.parametrize("assignments", ["sampled", "summed"])
@pytest.mark.parametrize("kind", PRIORS)
def test_fitted_draws_from_the_fitted_prior_and_likelihood(kind, assignments):
    """Both ways of treating assignments draw the same ``z``, that of the prior's density, and ``x`` from it."""
    model, _ = make_pieces(kind)
    with torch.no_grad():
        trace = poutine.trace(model.fitted).get_trace(num_observations=20_000, assignments=assignments)
    z, x = trace.nodes["z"]["value"], trace.nodes["x"]["value"]
    mean, second = moments(model.prior)
    assert_mean(z, mean)
    assert_mean(z.unsqueeze(-1) * z.unsqueeze(-2), second)
    with torch.no_grad():
        residual = x - model.decoder(z)
        assert_mean(model.prior.log_prob(z), model.prior.log_prob(model.prior.sample(200_000)).mean())
    assert_mean(residual, torch.zeros(()))
    assert_mean(residual.square(), model.likelihood.scale.detach().square())
    if "assignment" in trace.nodes:
        assignment = trace.nodes["assignment"]["value"]
        assert_mean(nn.functional.one_hot(assignment, COMPONENTS).double(), model.prior.weights.detach())
        for k in assignment.unique():
            of_component = z[assignment == k]
            if len(of_component) > 100:
                assert_mean(of_component, model.prior.centres[k].detach())


@pytest.mark.parametrize("parallel", [False, True])
def test_predictive_of_fitted(parallel):
    model, _ = make_pieces("vamp-mixture")
    with torch.no_grad():
        drawn = Predictive(model.fitted, num_samples=300, parallel=parallel)(num_observations=40)
    assert {name: value.shape for name, value in drawn.items()} == {"z": (300, 40, DIM), "x": (300, 40, FEATURES)}
    mean, second = moments(model.prior)
    z = drawn["z"].reshape(-1, DIM)
    assert_mean(z, mean)
    assert_mean(z.unsqueeze(-1) * z.unsqueeze(-2), second)


@pytest.mark.parametrize("kind", PRIORS)
def test_without_observations_the_story_makes_them_up(kind):
    model, _ = make_pieces(kind)
    for told in (model, model.fitted):
        assert told().shape == (1, FEATURES)
        x = told(num_observations=9)
        assert x.shape == (9, FEATURES)
        assert x.dtype == torch.float64
        assert len(x.unique(dim=0)) == 9


@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
@pytest.mark.parametrize("dim", [1, 10, 30])
def test_the_story_of_the_papers_sizes_in_single_precision(dim, weights):
    """No warning and nothing that is not finite, with K = 100 and as many dimensions as the paper has."""
    model, _ = make_pieces("gaussian-mixture", torch.float32, weights, dim, 100)
    for _ in range(5):
        trace = poutine.trace(model).get_trace(num_observations=3)
        assert trace.nodes["x"]["value"].isfinite().all()
        assert trace.log_prob_sum().isfinite()


class OwnEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(FEATURES + 2, AmortizedNormal.num_outputs(DIM, "diagonal"))

    def forward(self, x, *, batch):
        return self.layer(torch.cat([x, batch], -1))


class OwnDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(DIM + 2, FEATURES)

    def forward(self, z, *, batch):
        return self.layer(torch.cat([z, batch.expand(*z.shape[:-1], 2)], -1))


def test_ones_own_modules_with_a_covariate():
    guide = AmortizedNormal(OwnEncoder(), "diagonal")
    model = LatentMixtureModel(GaussianMixture(DIM, COMPONENTS), OwnDecoder(), Bernoulli())
    x, batch = torch.rand(6, FEATURES).round(), torch.eye(2)[torch.arange(6) % 2]
    parameters = [*guide.parameters(), *model.decoder.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=0.05)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = Trace_ELBO().differentiable_loss(model.fitted, guide, x, batch=batch)
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    losses = torch.stack(losses)
    assert losses[-30:].mean() < losses[:30].mean()
    drawn = Predictive(model, num_samples=2)(num_observations=6, batch=batch)
    assert drawn["x"].shape == (2, 6, FEATURES)
    assert model.log_likelihood(x, torch.randn(3, 6, DIM), batch=batch).shape == (3, 6)


def test_log_likelihood():
    model, _ = make_pieces("standard-normal")
    x, z = torch.randn(6, FEATURES, dtype=torch.float64), torch.randn(3, 6, DIM, dtype=torch.float64)
    found = model.log_likelihood(x, z)
    assert found.shape == (3, 6)
    expected = dist.Normal(model.decoder(z), model.likelihood.scale).to_event(1).log_prob(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(model.log_likelihood(x, z[0]), expected[0])


def test_fitted_density_is_likelihood_plus_prior():
    model, guide = make_pieces("vamp-mixture")
    x = torch.randn(6, FEATURES, dtype=torch.float64)
    z = guide(x)
    trace = poutine.trace(pyro.condition(model.fitted, data={"z": z})).get_trace(x)
    expected = model.log_likelihood(x, z).sum() + model.prior.log_prob(z).sum()
    torch.testing.assert_close(trace.log_prob_sum(), expected)
    elbo = expected - guide.posterior(x).log_prob(z).sum()
    replayed = poutine.trace(poutine.condition(guide, data={"z": z})).get_trace(x)
    torch.testing.assert_close(trace.log_prob_sum() - replayed.log_prob_sum(), elbo)


def test_two_models_of_one_process_share_nothing():
    first, first_guide = make_pieces("vamp-mixture")
    second, second_guide = make_pieces("vamp-mixture")
    x = torch.randn(6, FEATURES, dtype=torch.float64)

    def loss(model, guide):
        pyro.set_rng_seed(2)
        return Trace_ELBO().loss(model.fitted, guide, x)

    before = loss(first, first_guide)
    assert loss(second, second_guide) != before
    assert loss(first, first_guide) == before


def test_an_unknown_treatment_of_assignments_is_named():
    model, _ = make_pieces("gaussian-mixture")
    for told in (model, model.fitted):
        with pytest.raises(UserError, match="assignments='marginal' is not known"):
            told(assignments="marginal")
