"""Pyro's objectives in the alternating loop: those that work follow their own gradient, the others are refused."""

import warnings

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    SVI,
    EnergyDistance,
    JitTrace_ELBO,
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceTailAdaptive_ELBO,
)

from pyro_vmm import UserError
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.models import LatentMixtureModel

pytestmark = pytest.mark.usefixtures("empty_param_store")
F64 = torch.float64

OBJECTIVES = {
    "renyi": lambda: RenyiELBO(alpha=0.3, num_particles=4),
    "renyi vectorised": lambda: RenyiELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1),
    "graph": TraceGraph_ELBO,
    "enumerated": lambda: TraceEnum_ELBO(max_plate_nesting=1),
    "particles": lambda: Trace_ELBO(num_particles=3),
    "vectorised": lambda: Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1),
}


def still(params):
    return torch.optim.SGD(params, lr=0.0)


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_the_elbo_step_follows_the_objectives_own_gradient(objective, mixture_kind, build_model, make_data):
    """That which Pyro's own loss_and_grads leaves at the same noise, divided by the size of the minibatch."""
    x = make_data(7, dtype=F64)
    model, guide = build_model(mixture_kind, dtype=F64)
    svi = EmpiricalBayesSVI(model, guide, optim=still, loss=objective())
    torch.manual_seed(1)
    value = svi.elbo_step(x)
    found = {name: p.grad.clone() for name, p in svi.partition.elbo.items()}
    for parameter in [*model.parameters(), *guide.parameters()]:
        parameter.grad = None
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = objective().loss_and_grads(svi._story(), guide, x)
    assert value == pytest.approx(expected / 7, rel=1e-9)
    for name, parameter in svi.partition.elbo.items():
        torch.testing.assert_close(found[name], parameter.grad / 7)


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_steps_and_evaluation(objective, mixture_kind, build_model, make_data):
    svi = EmpiricalBayesSVI(*build_model(mixture_kind), optim=1e-2, loss=objective())
    x = make_data(16)
    for parameter in svi.partition.prior.values():
        parameter.grad = torch.full_like(parameter, 0.25)
    svi.elbo_step(x)
    assert all(bool((parameter.grad == 0.25).all()) for parameter in svi.partition.prior.values())
    before = {name: p.detach().clone() for name, p in (svi.partition.elbo | svi.partition.prior).items()}
    losses = svi.step(x)
    assert torch.tensor(losses).isfinite().all()
    assert not any(torch.equal(p, before[name]) for name, p in (svi.partition.elbo | svi.partition.prior).items())
    assert torch.tensor(svi.evaluate_loss(x)).isfinite()


def test_as_many_particles_as_observations(build_model, make_data):
    """The latents of vectorised particles are not taken for those of the minibatch."""
    loss = Trace_ELBO(num_particles=8, vectorize_particles=True, max_plate_nesting=1)
    svi = EmpiricalBayesSVI(*build_model("vamp-mixture"), optim=1e-2, loss=loss)
    x, seen = make_data(8), []
    svi.model.prior.empirical_bayes_loss, own = (
        lambda z: seen.append(z.shape) or own(z),
        svi.model.prior.empirical_bayes_loss,
    )
    svi.step(x)
    assert seen == [(8, 2)]


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (JitTrace_ELBO(), r"loss=JitTrace_ELBO\(\) reads parameters from Pyro's global store"),
        (ReweightedWakeSleep(), r"loss=ReweightedWakeSleep\(\) .* choose Trace_ELBO"),
        (TraceTailAdaptive_ELBO(num_particles=2, vectorize_particles=True), r"loss=TraceTailAdaptive_ELBO\(\)"),
        (EnergyDistance(), "loss is a EnergyDistance, no objective"),
        (Trace_ELBO, "give an object, such as"),
        ("Trace_ELBO", "loss is 'Trace_ELBO', no objective"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_other_objectives_are_refused(loss, message, build_model):
    with pytest.raises(UserError, match=message):
        EmpiricalBayesSVI(*build_model("vamp-mixture"), loss=loss)


def test_a_story_or_a_handler_is_refused_and_svi_takes_it(build_model, make_data):
    model, guide = build_model("vamp-mixture")
    x = make_data(8)
    for story in (model.fitted, pyro.condition(model.fitted, data={"x": x}), poutine.scale(model, 0.1)):
        with pytest.raises(UserError, match=r"model is a .*: give the LatentMixtureModel itself"):
            EmpiricalBayesSVI(story, guide)
    with pytest.raises(UserError, match=r"guide is a .*: give the AmortizedNormal itself"):
        EmpiricalBayesSVI(model, poutine.scale(guide, 0.1))
    svi = SVI(pyro.condition(model.fitted, data={"x": x}), guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
    assert torch.tensor(svi.step(x)).isfinite()


def test_the_partition_is_shown_by_name(build_model):
    svi = EmpiricalBayesSVI(*build_model("vamp-mixture"))
    shown = [" ".join(line.split()) for line in repr(svi).splitlines()]
    assert shown[0] == "EmpiricalBayesSVI(Trace_ELBO, 0 steps taken)"
    second = shown.index("Empirical-Bayes step: 48 numbers")
    assert shown[1].startswith("ELBO step:")
    assert {line.split()[0] for line in shown[2:second]} == svi.partition.elbo.keys()
    assert {line.split()[0] for line in shown[second + 1 :]} == svi.partition.prior.keys()
    assert "encoder.layers.0.weight 16 5" in shown
    assert "prior.precisions.off_diagonal 4 2 2" in shown


def test_the_loop_of_the_docstring_is_that_of_the_class(build_model, make_data):
    """In plain Pyro, as the docstring writes it; with the same noise it ends at the same numbers."""
    x, rate = make_data(16, dtype=F64), 0.01
    model, guide = build_model("vamp-mixture", dtype=F64)
    story = poutine.block(model.fitted, hide_fn=lambda site: site["name"].startswith("prior"))
    svi = SVI(story, guide, pyro.optim.Adam({"lr": rate}), Trace_ELBO())
    prior_optimizer = torch.optim.Adam(model.prior.parameters(), lr=0.3 * rate)
    torch.manual_seed(0)
    for _ in range(3):
        svi.step(x)
        with torch.no_grad():
            z = guide.posterior(x).sample()
        prior_optimizer.zero_grad()
        model.prior.empirical_bayes_loss(z).backward(inputs=list(model.prior.parameters()))
        prior_optimizer.step()
    twins: tuple[LatentMixtureModel, torch.nn.Module] = build_model("vamp-mixture", dtype=F64)
    ours = EmpiricalBayesSVI(*twins, optim=rate, latents="fresh")
    torch.manual_seed(0)
    for _ in range(3):
        ours.step(x)
    theirs = {**dict(model.named_parameters()), **dict(guide.named_parameters())}
    for name, parameter in (ours.partition.elbo | ours.partition.prior).items():
        torch.testing.assert_close(parameter, theirs[name], rtol=1e-4, atol=1e-6, msg=name)
