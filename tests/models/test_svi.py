"""Pyro's own ``SVI`` trains the modules as they are: each its own parameters, and none in the global store."""

import copy
import io
import pickle

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    SVI,
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)

from pyro_vmm import UserError
from pyro_vmm.infer import partition_parameters

pytestmark = pytest.mark.usefixtures("empty_param_store")


def adam(rate=1e-2):
    return pyro.optim.Adam({"lr": rate})


def values(*modules):
    return {name: p.detach().clone() for module in modules for name, p in module.named_parameters()}


def moved(before, *modules):
    return {name for name, value in values(*modules).items() if not torch.equal(value, before[name])}


def trained(model, guide):
    """All parameters but the concentration, which no density of ``z`` depends on."""
    return values(model, guide).keys() - {"prior.mixture_weights.log_concentration"}


LOSSES = {
    "trace": Trace_ELBO,
    "particles": lambda: Trace_ELBO(num_particles=3),
    "vectorised": lambda: Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1),
    "mean field": TraceMeanField_ELBO,
    "graph": TraceGraph_ELBO,
    "renyi": lambda: RenyiELBO(num_particles=2),
    "wake-sleep": lambda: ReweightedWakeSleep(num_particles=2),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_every_parameter_is_trained(prior_kind, loss, build_model, make_data):
    model, guide = build_model(prior_kind)
    before, x = values(model, guide), make_data(16)
    svi = SVI(model.fitted, guide, adam(), loss())
    losses = [svi.step(x) for _ in range(3)]
    assert torch.tensor(losses).isfinite().all()
    assert moved(before, model, guide) == trained(model, guide)


def test_the_loss_falls(build_model, make_data):
    model, guide = build_model("vamp-mixture")
    svi, x = SVI(model.fitted, guide, adam(), Trace_ELBO()), make_data(64)
    losses = [svi.step(x) for _ in range(60)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_handlers_around_model_and_guide(build_model, make_data):
    x = make_data(16)
    for handle in (
        lambda story: poutine.scale(story, 1.0 / len(x)),
        lambda story: pyro.condition(story, data={"x": x}),
        lambda story: poutine.mask(story, mask=torch.arange(16) < 8),
    ):
        model, guide = build_model("vamp-mixture")
        before = values(model, guide)
        svi = SVI(handle(model.fitted), handle(guide), adam(), Trace_ELBO())
        for _ in range(2):
            svi.step(x)
        assert moved(before, model, guide) == trained(model, guide)


def test_blocking_the_prior_leaves_it_alone(build_model, make_data):
    model, guide = build_model("vamp-mixture")
    before = values(model, guide)
    story = poutine.block(
        model.fitted, hide_fn=lambda site: site["type"] == "param" and site["name"].startswith("prior")
    )
    SVI(story, guide, adam(), Trace_ELBO()).step(make_data(16))
    assert moved(before, model, guide) == partition_parameters(model, guide).elbo.keys()


def test_two_pairs_share_nothing(build_model, make_data):
    """Trained in turns, each becomes what it becomes alone."""
    x = make_data(16)

    def pair(seed):
        model, guide = build_model("vamp-mixture", seed=seed)
        return model, guide, SVI(model.fitted, guide, adam(), Trace_ELBO())

    def step(svi, number):
        torch.manual_seed(number)
        svi.step(x)

    alone = []
    for seed in (0, 1):
        model, guide, svi = pair(seed)
        for number in range(3):
            step(svi, number)
        alone.append(values(model, guide))
    together = [pair(0), pair(1)]
    for number in range(3):
        for _, _, svi in together:
            step(svi, number)
    for (model, guide, _), expected in zip(together, alone, strict=True):
        assert not moved(expected, model, guide)


def test_options_of_the_optimiser_may_depend_on_the_name(build_model, make_data):
    model, guide = build_model("gaussian-mixture")
    before, names = values(model, guide), set()

    def options(name):
        names.add(name)
        return {"lr": 0.0 if name.startswith("prior.") else 0.01}

    svi = SVI(model.fitted, guide, pyro.optim.Adam(options), Trace_ELBO())
    svi.step(make_data(16))
    assert names == before.keys()
    assert moved(before, model, guide) == partition_parameters(model, guide).elbo.keys()
    other = SVI(*((again := build_model("gaussian-mixture", seed=1))[0].fitted, again[1]), adam(), Trace_ELBO())
    other.step(make_data(16))
    assert svi.optim.get_state().keys() == before.keys()


def test_a_guide_in_the_global_store_keeps_its_place(build_model, make_data):
    """A guide of Pyro's own kind stands beside a model of ours."""
    model, _ = build_model("gaussian-mixture")
    x = make_data(8)

    def guide(x):
        loc = pyro.param("loc", torch.zeros(len(x), 2))
        with pyro.plate("observations", len(x)):
            pyro.sample("z", pyro.distributions.Normal(loc, 1.0).to_event(1))

    svi = SVI(model.fitted, guide, pyro.optim.Adam(lambda name: {"lr": 0.1}), Trace_ELBO())
    for _ in range(2):
        svi.step(x)
    assert list(pyro.get_param_store().keys()) == ["loc"]
    assert pyro.param("loc").abs().min() > 0.0
    assert "loc" in svi.optim.get_state()
    pyro.clear_param_store()


def test_trained_modules_can_be_copied_and_stored(build_model, make_data):
    pair = build_model("vamp-mixture")
    SVI(pair[0].fitted, pair[1], adam(), Trace_ELBO()).step(make_data(16))
    stream = io.BytesIO()
    torch.save(pair, stream)
    stream.seek(0)
    for model, guide in (copy.deepcopy(pair), pickle.loads(pickle.dumps(pair)), torch.load(stream, weights_only=False)):
        before = values(model, guide)
        assert not moved(values(*pair), model, guide)
        SVI(model.fitted, guide, adam(), Trace_ELBO()).step(make_data(16))
        assert moved(before, model, guide) == trained(model, guide)


def test_parameters_of_a_trace_are_found_as_pyro_documents_it(build_model, make_data):
    model, guide = build_model("vamp-mixture")
    x = make_data(6)
    found = {}
    for story in (model.fitted, guide):
        trace = poutine.trace(story).get_trace(x)
        found |= {name.replace("$$$", "."): trace.nodes[name]["value"].unconstrained() for name in trace.param_nodes}
    named = {**dict(model.named_parameters()), **dict(guide.named_parameters())}
    assert found.keys() == named.keys()
    assert all(found[name] is named[name] for name in named)


@pytest.mark.parametrize("kind", ["vamp-prior", "vamp-mixture"])
def test_a_guide_copied_without_the_model_is_refused(kind, build_model, make_data):
    model, guide = build_model(kind)
    for pair in ((copy.deepcopy(model), copy.deepcopy(guide)), (model, copy.deepcopy(guide))):
        svi = SVI(pair[0].fitted, pair[1], adam(), Trace_ELBO())
        with pytest.raises(UserError, match="encoded by another guide"):
            svi.step(make_data(6))
    assert not pyro.poutine.runtime._PYRO_STACK
