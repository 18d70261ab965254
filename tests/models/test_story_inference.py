"""Pyro's own inference on the whole story: AutoGuides, NUTS, batches of stories, and centres that the encoder gives."""

from functools import partial

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, TraceEnum_ELBO
from pyro.infer.autoguide import AutoDelta, AutoMultivariateNormal, AutoNormal

from pyro_vmm import UserError
from pyro_vmm.likelihoods import Normal
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.priors import GaussianMixture

F64 = torch.float64
SITES = {"concentration", "sticks", "centres", "precisions"}


def sample_sites(story, **given):
    trace = poutine.trace(story).get_trace(**given)
    trace.compute_log_prob()
    nodes = {name: trace.nodes[name] for name in trace.stochastic_nodes + trace.observation_nodes}
    return {name: node for name, node in nodes.items() if type(node["fn"]).__name__ != "_Subsample"}


def adam():
    return pyro.optim.Adam({"lr": 0.02})


def stories(build_model, kind="vamp-mixture", **options):
    model, _ = build_model(kind, dtype=F64, **options)
    return model, [partial(model, assignments="summed", centres=centres) for centres in ("drawn", "encoded")]


@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("auto", [AutoNormal, AutoDelta, AutoMultivariateNormal])
def test_autoguides(auto, diagonal, weights, build_model, make_data):
    x = make_data(10, dtype=F64)
    for kind in ("gaussian-mixture", "vamp-mixture"):
        _, both = stories(build_model, kind, weights=weights, diagonal=diagonal)
        for story in both:
            guide = auto(story)
            svi = SVI(story, guide, adam(), Trace_ELBO())
            svi.step(x)
            before = {name: p.detach().clone() for name, p in guide.named_parameters()}
            losses = [svi.step(x) for _ in range(2)]
            assert torch.tensor(losses).isfinite().all()
            assert not any(torch.equal(p, before[name]) for name, p in guide.named_parameters())
            median = guide.median(x)
            assert median["precisions"].shape == (4, 2, 2)
            assert (torch.linalg.eigvalsh(median["precisions"]) > 0.0).all()
            pyro.clear_param_store()


def test_vectorised_particles(build_model, make_data):
    x = make_data(10, dtype=F64)
    for story in stories(build_model)[1]:
        guide = AutoNormal(story)
        elbo = Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
        assert torch.isfinite(torch.tensor(SVI(story, guide, adam(), elbo).step(x)))
        pyro.clear_param_store()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_nuts_runs_on_the_whole_story(build_model, make_data):
    x = make_data(6, dtype=F64)
    for story in stories(build_model)[1]:
        pyro.set_rng_seed(0)
        mcmc = MCMC(NUTS(story, max_tree_depth=3), num_samples=4, warmup_steps=6, disable_progbar=True)
        mcmc.run(x)
        samples = mcmc.get_samples()
        assert samples.keys() >= {"concentration", "sticks", "precisions", "z"}
        for name, values in samples.items():
            assert values.isfinite().all(), name
            assert len(values.unique(dim=0)) > 1, name
        drawn = Predictive(story, posterior_samples=samples, parallel=True)(num_observations=6)
        assert drawn["x"].shape == (4, 6, 5)


def test_nuts_finds_a_posterior_that_is_known():
    """Two components in one dimension, all fixed but the stick: its posterior is integrated on a grid."""
    pyro.set_rng_seed(0)
    prior = GaussianMixture(1, 2).to(F64)
    model = LatentMixtureModel(prior, torch.nn.Linear(1, 1).to(F64), Normal(0.5))
    z = torch.tensor([[-1.2], [-0.8], [-1.0], [0.4], [1.1]], dtype=F64)
    fixed = {
        "concentration": torch.tensor(1.5, dtype=F64),
        "centres": torch.tensor([[-1.0], [1.0]], dtype=F64),
        "precisions": torch.tensor([[[2.0]], [[3.0]]], dtype=F64),
        "z": z,
        "x": torch.zeros(5, 1, dtype=F64),
    }
    story = pyro.condition(partial(model, num_observations=5, assignments="summed"), data=fixed)
    kernel = NUTS(story, step_size=0.8, adapt_step_size=False, adapt_mass_matrix=False, max_tree_depth=3)
    mcmc = MCMC(kernel, num_samples=250, warmup_steps=0, disable_progbar=True)
    mcmc.run()
    sticks = mcmc.get_samples()["sticks"][:, 0]
    grid = torch.linspace(0.0005, 0.9995, 1000, dtype=F64)
    normal = [torch.distributions.Normal(c, p**-0.5).log_prob(z) for c, p in ((-1.0, 2.0), (1.0, 3.0))]
    log_density = (grid * normal[0].exp() + (1.0 - grid) * normal[1].exp()).log().sum(0) + 0.5 * (1.0 - grid).log()
    density = (log_density - log_density.max()).exp()
    mean = (grid * density).sum() / density.sum()
    deviation = ((grid - mean).square() * density).sum().div(density.sum()).sqrt()
    effective = float(mcmc.diagnostics()["sticks"]["n_eff"])
    assert abs(sticks.mean() - mean) < 5.0 * deviation / effective**0.5
    assert abs(sticks.std() / deviation - 1.0) < 0.35


def of_draw(site, number, plates_of_its_own):
    """What draw ``number`` of a batch would be alone."""
    value = site["value"][number]
    return value if plates_of_its_own else value.squeeze(0)


@pytest.mark.parametrize("assignments", ["sampled", "summed"])
@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
@pytest.mark.parametrize("centres", ["drawn", "encoded"])
def test_a_plate_around_the_story(centres, weights, assignments, build_model):
    """Every draw of a batch of stories has the densities that it has in a story of its own."""
    model, _ = build_model("vamp-mixture", dtype=F64, weights=weights, diagonal=weights == "dirichlet")
    tell = partial(model, num_observations=6, assignments=assignments, centres=centres)

    def batch():
        with pyro.plate("stories", 3, dim=-2):
            return tell()

    together = sample_sites(batch)
    assert together["z"]["value"].shape == (3, 6, 2)
    assert together["z"]["log_prob"].shape == (3, 6)
    assert together["x"]["value"].shape == (3, 6, 5)
    own = {name: name not in ("concentration", "weights") for name in together}
    for number in range(3):
        data = {
            name: of_draw(site, number, own[name])
            for name, site in together.items()
            if name != "centres" or centres == "drawn"
        }
        alone = sample_sites(pyro.condition(tell, data=data))
        assert alone.keys() == together.keys()
        for name in set(alone) - {"centres"}:
            found = together[name]["log_prob"][number]
            torch.testing.assert_close(found if own[name] else found.squeeze(0), alone[name]["log_prob"])


@pytest.mark.parametrize("assignments", ["sampled", "summed"])
@pytest.mark.parametrize("kind", ["gaussian-mixture", "vamp-mixture"])
def test_parallel_predictive(kind, assignments, build_model):
    model, _ = build_model(kind, dtype=F64)
    pyro.set_rng_seed(0)
    story = partial(model, num_observations=3, assignments=assignments)
    parallel = Predictive(story, num_samples=4000, parallel=True)()
    one_by_one = Predictive(story, num_samples=150)()
    assert parallel.keys() == one_by_one.keys()
    for name, values in parallel.items():
        assert values.shape[0] == 4000
        squeezed = values.reshape(4000, *one_by_one[name].shape[1:])
        if name in ("sticks", "centres", "z"):
            few = one_by_one[name]
            error = (few.var(0) / 150 + squeezed.var(0) / 4000).sqrt()
            assert ((squeezed.mean(0) - few.mean(0)).abs() < 5.0 * error).all(), name


def test_enumerated_assignments_in_a_batch_are_the_summed_ones(build_model, make_data):
    model, guide = build_model("vamp-mixture", dtype=F64)
    x, values = make_data(6, dtype=F64), None
    losses = []
    for assignments, elbo in (
        ("sampled", TraceEnum_ELBO(num_particles=2, vectorize_particles=True, max_plate_nesting=1)),
        ("summed", Trace_ELBO(num_particles=2, vectorize_particles=True, max_plate_nesting=1)),
    ):
        values = model.prior.site_values()
        story = pyro.condition(partial(model, assignments=assignments), data=values)
        pyro.set_rng_seed(1)
        losses.append(elbo.loss(story, guide, x))
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)


def test_a_story_of_one_component_has_no_sticks(make_data):
    model = LatentMixtureModel(GaussianMixture(2, 1), torch.nn.Linear(2, 5), Normal(0.5))
    x, story = make_data(6), partial(model, assignments="summed")
    assert torch.isfinite(torch.tensor(SVI(story, AutoNormal(story), adam(), Trace_ELBO()).step(x)))
    pyro.clear_param_store()
    drawn = Predictive(model, num_samples=3, parallel=True)(num_observations=5)
    assert drawn["x"].shape == (3, 5, 5)
    assert "sticks" not in drawn
    fixed = sample_sites(pyro.condition(story, data=model.prior.site_values()), x=x)
    torch.testing.assert_close(fixed["z"]["log_prob"], model.prior.log_prob(fixed["z"]["value"]))


# ---- centres that the encoder gives ----------------------------------------------------------------------------------


def test_encoded_centres_stand_in_for_the_drawn_ones(build_model):
    model, _ = build_model("vamp-mixture", dtype=F64)
    found = sample_sites(model, num_observations=5, assignments="summed", centres="encoded")
    assert found.keys() == SITES | {"z", "x"}
    assert torch.equal(found["centres"]["value"], model.prior.centres)
    assert found["centres"]["is_observed"]
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(model.prior.centres).sum(-1)
    torch.testing.assert_close(found["centres"]["log_prob"], normal)
    values = model.prior.site_values()
    data = {name: values[name] for name in ("concentration", "sticks", "precisions")}
    fixed = pyro.condition(model, data=data | {"z": found["z"]["value"]})
    again = sample_sites(fixed, num_observations=5, assignments="summed", centres="encoded")
    torch.testing.assert_close(again["z"]["log_prob"], model.prior.log_prob(found["z"]["value"]))


def test_uncertain_centres_are_integrated_out(build_model):
    model, _ = build_model("vamp-mixture", dtype=F64, centre_uncertainty="integrated")
    values = model.prior.site_values()
    z = torch.randn(5, 2, dtype=F64)
    data = {name: values[name] for name in ("concentration", "sticks", "precisions")} | {"z": z}
    found = sample_sites(pyro.condition(model, data=data), num_observations=5, assignments="summed", centres="encoded")
    torch.testing.assert_close(found["z"]["log_prob"], model.prior.log_prob(z))


def test_a_posterior_of_weights_and_precisions_with_the_amortised_guide(build_model, make_data):
    """Everything is trained at once: encoder, decoder and pseudo-inputs by gradients, the rest by an AutoGuide."""
    model, guide = build_model("vamp-mixture", dtype=F64)
    x = make_data(32, dtype=F64)
    story = partial(model, assignments="summed", centres="encoded")
    of_prior = AutoNormal(poutine.block(story, hide=["z", "x"]))

    def both(x):
        of_prior(x)
        return guide(x)

    before = {name: p.detach().clone() for part in (model, guide) for name, p in part.named_parameters()}
    svi = SVI(story, both, adam(), Trace_ELBO())
    losses = [svi.step(x) for _ in range(30)]
    assert sum(losses[-5:]) < sum(losses[:5])
    moved = {n for part in (model, guide) for n, p in part.named_parameters() if not torch.equal(p, before[n])}
    unmoved = before.keys() - moved
    assert unmoved
    assert all(n.startswith(("prior.mixture_weights.", "prior.precisions.")) for n in unmoved)
    drawn = Predictive(story, guide=of_prior, num_samples=4, parallel=True)(num_observations=7)
    assert drawn["x"].shape == (4, 7, 5)
    pyro.clear_param_store()


def test_the_rendered_graph_shows_encoded_centres_as_observed(build_model):
    model, _ = build_model("vamp-mixture")
    kwargs = {"num_observations": 5, "assignments": "summed", "centres": "encoded"}
    lines = {line.strip() for line in pyro.render_model(model, model_kwargs=kwargs).source.splitlines()}
    edges = {line for line in lines if "->" in line}
    assert {"concentration -> sticks", "sticks -> z", "precisions -> z", "z -> x"} <= edges
    (node,) = [line for line in lines if line.startswith("centres [")]
    assert "fillcolor=gray" in node


@pytest.mark.parametrize("kind", ["standard-normal", "vamp-prior"])
def test_priors_without_drawn_centres_say_so(kind, build_model):
    model, _ = build_model(kind)
    with pytest.raises(UserError, match="centres='encoded' needs a prior whose story draws centres"):
        model(centres="encoded")
    with pytest.raises(UserError, match="centres='fixed' is not known"):
        model(centres="fixed")


# ---- diagonal precisions ---------------------------------------------------------------------------------------------


def test_diagonal_precisions_are_declared_diagonal(build_model):
    model, _ = build_model("gaussian-mixture", dtype=F64, diagonal=True)
    found = sample_sites(model, num_observations=5, assignments="summed")["precisions"]
    drawn = found["value"]
    assert drawn.shape == (4, 2, 2)
    assert torch.equal(drawn, torch.diag_embed(drawn.diagonal(dim1=-2, dim2=-1)))
    # The Wishart's density at diagonal matrices, up to the constant that normalises it there.
    precisions = model.prior.precisions
    precisions.set_cholesky(drawn.sqrt())
    offset = found["log_prob"] - precisions.log_prob().detach()
    torch.testing.assert_close(offset, offset[:1].expand(4))
    gamma = torch.distributions.Gamma(1.5, 0.5 / torch.tensor(precisions.scale, dtype=F64))
    torch.testing.assert_close(found["log_prob"], gamma.log_prob(drawn.diagonal(dim1=-2, dim2=-1)).sum(-1))
