"""The alternating loop: what a step may touch, which gradient it follows, what the ELBO equals where that is known."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor, nn

from pyro_vmm import UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.guides.amortized_normal import MINIMUM_SCALE
from pyro_vmm.infer import Constant, EmpiricalBayesSVI, LinearWarmup, NonFiniteLossError
from pyro_vmm.likelihoods import Normal
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.priors import GaussianMixture, StandardNormal

F64 = torch.float64


def parameters(svi: EmpiricalBayesSVI) -> dict[str, nn.Parameter]:
    return {**svi.partition.elbo, **svi.partition.prior}


def values(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in named.items()}


def unchanged(before: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> list[str]:
    return [name for name in before if torch.equal(before[name], now[name])]


def standing_still(params: Any) -> torch.optim.Optimizer:
    """An optimiser that lets one look at a step's gradient without taking it."""
    return torch.optim.SGD(params, lr=0.0)


# ---- what each step may touch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("latents", ["reused", "fresh"])
def test_each_step_moves_its_own_parameters_and_no_other_bit(
    mixture_kind: str, latents: str, build_svi: Any, make_data: Any
) -> None:
    svi, x = build_svi(mixture_kind, svi={"latents": latents}), make_data(32)
    for step, mine, others in (
        (svi.elbo_step, svi.partition.elbo, svi.partition.prior),
        (svi.empirical_bayes_step, svi.partition.prior, svi.partition.elbo),
    ):
        for marked in (False, True):
            for parameter in others.values():
                parameter.grad = torch.full_like(parameter, 0.125) if marked else None
            grads = {name: parameter.grad for name, parameter in others.items()}
            before, frozen = values(mine), values(others)
            step(x)
            assert unchanged(before, mine) == []
            assert unchanged(frozen, others) == list(others)
            assert all(others[name].grad is grad for name, grad in grads.items())
            assert not marked or all(bool((parameter.grad == 0.125).all()) for parameter in others.values())
            assert all(parameter.requires_grad for parameter in parameters(svi).values())


def test_without_an_empirical_bayes_prior_one_step_moves_everything(build_svi: Any, make_data: Any) -> None:
    for kind in ("standard-normal", "vamp-prior"):
        svi = build_svi(kind)
        before = values(parameters(svi))
        losses = svi.step(make_data(32))
        assert unchanged(before, parameters(svi)) == []
        assert math.isfinite(losses.elbo)
        assert math.isnan(losses.empirical_bayes)
        assert list(svi.optimizers) == ["elbo"]


@pytest.mark.parametrize("latents", ["reused", "fresh"])
def test_only_data_moves_the_encoders_running_statistics(latents: str, build_svi: Any, make_data: Any) -> None:
    svi = build_svi("vamp-mixture", normalization="batch", dropout=0.3, svi={"latents": latents})
    prior, x = svi.model.prior, make_data(32)
    twin = copy.deepcopy(svi.guide)
    statistics = dict(svi.guide.named_buffers())
    assert len(statistics) == 3

    before = values(statistics)
    prior.distribution().log_prob(torch.zeros(2))
    prior.empirical_bayes_loss(torch.zeros(4, 2))
    prior.responsibilities(torch.zeros(4, 2))
    assert unchanged(before, statistics) == list(statistics)

    svi.elbo_step(x)
    twin.encoder(x)
    assert unchanged(dict(twin.named_buffers()), statistics) == list(statistics)
    assert unchanged(before, statistics) == []

    before, frozen = values(statistics), values(svi.partition.elbo)
    svi.empirical_bayes_step(x)
    assert unchanged(before, statistics) == list(statistics)
    assert unchanged(frozen, svi.partition.elbo) == list(frozen)
    assert all(module.training for module in svi.guide.modules())


def test_pseudo_inputs_are_encoded_without_dropout(build_svi: Any) -> None:
    prior = build_svi("vamp-mixture", normalization="batch", dropout=0.9).model.prior
    z = torch.randn(5, 2)
    assert torch.equal(prior.log_prob(z), prior.log_prob(z))
    assert torch.equal(prior.empirical_bayes_loss(z), prior.empirical_bayes_loss(z))


# ---- gradients -------------------------------------------------------------------------------------------------------


def directional_derivative(objective: Callable[[], Tensor], parameter: nn.Parameter, direction: Tensor) -> float:
    """Central difference along ``direction``; the noise of each evaluation is the same."""
    ends = []
    with torch.no_grad():
        start = parameter.clone()
        for sign in (1.0, -1.0):
            parameter.copy_(start + sign * 1e-5 * direction)
            torch.manual_seed(3)
            ends.append(objective().item())
        parameter.copy_(start)
    return (ends[0] - ends[1]) / 2e-5


def assert_gradient_of(objective: Callable[[], Tensor], named: Mapping[str, nn.Parameter]) -> None:
    generator = torch.Generator().manual_seed(11)
    for name, parameter in named.items():
        assert parameter.grad is not None, name
        direction = torch.randn(parameter.shape, generator=generator, dtype=F64)
        expected = directional_derivative(objective, parameter, direction)
        assert float((parameter.grad * direction).sum()) == pytest.approx(expected, rel=1e-6, abs=1e-8), name


@pytest.mark.parametrize("loss", [Trace_ELBO, TraceMeanField_ELBO])
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_elbo_step_follows_the_elbos_gradient(
    prior_kind: str, covariance: str, loss: Any, build_svi: Any, make_data: Any
) -> None:
    options = {"optim": standing_still, "loss": loss()}
    svi = build_svi(prior_kind, dtype=F64, smooth=True, covariance=covariance, svi=options)
    x = make_data(7, dtype=F64)
    torch.manual_seed(3)
    svi.elbo_step(x)
    assert_gradient_of(lambda: svi.elbo_loss(x), svi.partition.elbo)


def log_joint(prior: Any, z: Tensor) -> Tensor:
    """``l_nk`` of section 4, with the expectation over the centres written out by definition."""
    loc, scale = prior.centre_posterior()
    factor = prior.precisions.cholesky()
    precision = factor @ factor.mT
    difference = z.unsqueeze(-2) - loc
    quadratic = torch.einsum("nki,kij,nkj->nk", difference, precision, difference)
    trace = 0.0 if scale is None else torch.einsum("kij,kjl,kil->k", precision, scale, scale)
    log_normal = 0.5 * (torch.logdet(precision) - prior.latent_dim * math.log(2.0 * math.pi) - quadratic - trace)
    return prior.mixture_weights.log_weights() + log_normal


@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
@pytest.mark.parametrize("responsibility_gradient", ["stopped", "differentiated"])
def test_empirical_bayes_step_follows_its_objectives_gradient(
    mixture_kind: str, responsibility_gradient: str, weights: str, build_svi: Any, make_data: Any
) -> None:
    svi = build_svi(
        mixture_kind,
        dtype=F64,
        smooth=True,
        weights=weights,
        responsibility_gradient=responsibility_gradient,
        prior_weight=20.0,
        svi={"optim": standing_still, "latents": "fresh"},
    )
    prior, x = svi.model.prior, make_data(9, dtype=F64)
    torch.manual_seed(2)
    z = svi.sample_latents(x)
    torch.manual_seed(2)
    loss = svi.empirical_bayes_step(x)
    responsibilities = log_joint(prior, z).softmax(-1).detach()

    def hyper() -> Tensor:
        return prior.hyper_log_prob() / 20.0

    def held_fixed() -> Tensor:
        return -(responsibilities * log_joint(prior, z)).sum(-1).mean() - hyper()

    def moving() -> Tensor:
        return -(log_joint(prior, z).softmax(-1) * log_joint(prior, z)).sum(-1).mean() - hyper()

    def marginal() -> Tensor:
        return -log_joint(prior, z).logsumexp(-1).mean() - hyper()

    assert loss == pytest.approx(moving().item(), rel=1e-12)
    if responsibility_gradient == "stopped":
        assert_gradient_of(held_fixed, svi.partition.prior)
        assert_gradient_of(marginal, svi.partition.prior)
    else:
        assert_gradient_of(moving, svi.partition.prior)
    wrong = moving if responsibility_gradient == "stopped" else held_fixed
    with pytest.raises(AssertionError):
        assert_gradient_of(wrong, svi.partition.prior)


# ---- a model whose evidence is known ---------------------------------------------------------------------------------


def linear_gaussian(kind: str) -> tuple[LatentMixtureModel, AmortizedNormal, Tensor]:
    torch.manual_seed(5)
    prior: Any = StandardNormal(2)
    if kind == "one-component":
        prior = GaussianMixture(2, 1, centres=torch.randn(1, 2))
        prior.precisions.set_cholesky(torch.tensor([[[1.3, 0.0], [-0.6, 0.8]]]))
    model = LatentMixtureModel(prior, nn.Linear(2, 4), Normal(initial_scale=0.7)).to(F64)
    guide = AmortizedNormal(nn.Linear(4, 5)).to(F64)
    return model, guide, torch.randn(6, 4, dtype=F64)


def closed_form_elbo(model: LatentMixtureModel, guide: AmortizedNormal, x: Tensor) -> Tensor:
    """``E_q[log p(x|z)] + E_q[log p(z)] + entropy`` of a linear decoder and one Gaussian, ``[B]``."""
    mean, scale = guide.location_and_scale_tril(x)
    covariance = scale @ scale.mT
    loading, intercept, deviation = model.decoder.weight, model.decoder.bias, model.likelihood.scale
    location, precision = model.prior.centres[0], torch.linalg.inv(model.prior.covariances[0])
    residual = (x - mean @ loading.T - intercept).square().sum(-1)
    spread = torch.einsum("fi,bij,fj->b", loading, covariance, loading)
    log_likelihood = -0.5 * x.shape[-1] * torch.log(2.0 * math.pi * deviation**2)
    log_likelihood = log_likelihood - 0.5 * (residual + spread) / deviation**2
    offset = mean - location
    quadratic = torch.einsum("bi,ij,bj->b", offset, precision, offset) + torch.einsum(
        "ij,bji->b", precision, covariance
    )
    log_prior = 0.5 * (torch.logdet(precision) - 2.0 * math.log(2.0 * math.pi) - quadratic)
    entropy = 1.0 + math.log(2.0 * math.pi) + scale.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return log_likelihood + log_prior + entropy


@pytest.mark.parametrize("kind", ["standard-normal", "one-component"])
def test_expected_gradient_of_the_elbo_is_the_closed_forms(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, guide, x = linear_gaussian(kind)
    svi = EmpiricalBayesSVI(model, guide, optim=standing_still)
    expected = dict.fromkeys(svi.partition.elbo, torch.zeros((), dtype=F64))
    # The gradient is quadratic in the noise: these four points integrate it exactly.
    points = math.sqrt(2.0) * torch.cat([torch.eye(2, dtype=F64), -torch.eye(2, dtype=F64)])
    losses = []
    for point in points:
        # The guide draws z = m(x) + S(x) e with e from torch.randn.
        monkeypatch.setattr(torch, "randn", lambda *size, point=point, **options: point.expand(len(x), 2))
        losses.append(svi.elbo_step(x))
        expected = {name: expected[name] + p.grad / len(points) for name, p in svi.partition.elbo.items()}
    assert max(losses) - min(losses) > 0.1
    loss = -closed_form_elbo(model, guide, x).mean()
    assert sum(losses) / len(losses) == pytest.approx(loss.item(), rel=1e-12)
    gradients = torch.autograd.grad(loss, list(svi.partition.elbo.values()))
    for (name, value), gradient in zip(expected.items(), gradients, strict=True):
        torch.testing.assert_close(
            value, gradient, rtol=1e-10, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize(
    ("kind", "loss"),
    # TraceMeanField_ELBO has no closed form for a mixture and falls back on the sample.
    [("standard-normal", Trace_ELBO), ("one-component", Trace_ELBO), ("one-component", TraceMeanField_ELBO)],
)
def test_with_the_exact_posterior_the_elbo_is_the_log_evidence(kind: str, loss: Any) -> None:
    model, guide, x = linear_gaussian(kind)
    loading, intercept, deviation = model.decoder.weight, model.decoder.bias, model.likelihood.scale
    location, prior_covariance = model.prior.centres[0], model.prior.covariances[0]
    precision = torch.linalg.inv(prior_covariance)
    with torch.no_grad():
        covariance = torch.linalg.inv(precision + loading.T @ loading / deviation**2)
        gain = covariance @ loading.T / deviation**2
        scale = torch.linalg.cholesky(covariance)
        guide.encoder.weight.zero_()
        guide.encoder.weight[:2] = gain
        guide.encoder.bias[:2] = covariance @ precision @ location - gain @ intercept
        guide.encoder.bias[2:4] = (scale.diagonal() - MINIMUM_SCALE).expm1().log()
        guide.encoder.bias[4] = scale[1, 0]
        evidence = dist.MultivariateNormal(
            loading @ location + intercept,
            loading @ prior_covariance @ loading.T + deviation**2 * torch.eye(4, dtype=F64),
        ).log_prob(x)
    svi = EmpiricalBayesSVI(model, guide, loss=loss())
    assert -svi.evaluate_loss(x) == pytest.approx(evidence.mean().item(), rel=1e-11)
    for seed in range(5):
        torch.manual_seed(seed)
        each = [-svi.elbo_loss(row.unsqueeze(0)).item() for row in x]
        torch.testing.assert_close(torch.tensor(each, dtype=F64), evidence, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_the_kl_to_a_standard_normal_has_no_noise(covariance: str, build_svi: Any, make_data: Any) -> None:
    x = make_data(6, dtype=F64)
    losses: dict[Any, list[float]] = {}
    for loss in (Trace_ELBO, TraceMeanField_ELBO):
        svi = build_svi("standard-normal", dtype=F64, covariance=covariance, svi={"loss": loss()})
        with torch.no_grad():
            for parameter in svi.model.decoder.parameters():
                parameter.zero_()
        losses[loss] = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            losses[loss].append(svi.elbo_loss(x).item())
    mean, scale = svi.guide.location_and_scale_tril(x)
    divergence = 0.5 * (mean.square().sum(-1) + scale.square().sum((-2, -1)) - 2.0)
    divergence = divergence - scale.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    expected = (divergence - svi.model.log_likelihood(x, mean)).mean().item()
    assert losses[TraceMeanField_ELBO] == pytest.approx([expected, expected], rel=1e-12)
    assert losses[TraceMeanField_ELBO][0] == losses[TraceMeanField_ELBO][1]
    assert abs(losses[Trace_ELBO][0] - losses[Trace_ELBO][1]) > 1e-3


# ---- two models in one process ---------------------------------------------------------------------------------------


def train(svi: EmpiricalBayesSVI, x: Tensor, stream: int, steps: range) -> dict[str, Tensor]:
    for step in steps:
        torch.manual_seed(1000 * stream + step)
        svi.step(x)
    return values(parameters(svi))


def test_two_models_share_nothing(prior_kind: str, build_svi: Any, make_data: Any, empty_param_store: None) -> None:
    x = make_data(20)
    alone = [train(build_svi(prior_kind, seed=seed), x, seed, range(4)) for seed in (0, 1)]
    pyro.clear_param_store()

    first, second = build_svi(prior_kind, seed=0), build_svi(prior_kind, seed=1)
    first_end = train(first, x, 0, range(4))
    second_end = train(second, x, 1, range(4))
    assert unchanged(alone[0], first_end) == list(first_end)
    assert unchanged(alone[1], second_end) == list(second_end)
    assert unchanged(first_end, parameters(first)) == list(first_end)
    assert unchanged(first_end, second_end) == []

    taking_turns = [build_svi(prior_kind, seed=seed) for seed in (0, 1)]
    for step in range(4):
        ends = [train(svi, x, seed, range(step, step + 1)) for seed, svi in enumerate(taking_turns)]
    assert unchanged(alone[0], ends[0]) == list(first_end)
    assert unchanged(alone[1], ends[1]) == list(second_end)


# ---- latents of the empirical-Bayes step -----------------------------------------------------------------------------


def test_reused_latents_are_those_of_the_elbo_step(mixture_kind: str, build_svi: Any, make_data: Any) -> None:
    svi, x = build_svi(mixture_kind, svi={"latents": "reused"}), make_data(16)
    torch.manual_seed(4)
    z = svi.guide(x).detach()
    torch.manual_seed(4)
    svi.elbo_step(x)
    stream = torch.get_rng_state()
    expected = svi.model.prior.empirical_bayes_loss(z).item()
    assert svi.empirical_bayes_step(x) == expected
    assert torch.equal(torch.get_rng_state(), stream)
    assert svi.empirical_bayes_step(x) != expected  # they are used once


def test_fresh_latents_come_from_the_updated_encoder_in_evaluation_mode(build_svi: Any, make_data: Any) -> None:
    svi = build_svi("vamp-mixture", normalization="batch", dropout=0.5, svi={"latents": "fresh"})
    x = make_data(16)
    svi.elbo_step(x)
    with evaluation_mode(svi.guide), torch.no_grad():
        torch.manual_seed(4)
        z = svi.guide.posterior(x).sample()
    expected = svi.model.prior.empirical_bayes_loss(z).item()
    torch.manual_seed(4)
    assert svi.empirical_bayes_step(x) == expected


@pytest.mark.parametrize(
    ("network", "reuses"),
    [({}, True), ({"normalization": "layer"}, True), ({"normalization": "batch"}, False), ({"dropout": 0.1}, False)],
    ids=str,
)
def test_auto_reuses_unless_training_mode_differs(network: Any, reuses: bool, build_svi: Any) -> None:
    assert build_svi("vamp-mixture", **network).reuses_latents is reuses


# ---- schedules -------------------------------------------------------------------------------------------------------


def test_the_learning_rate_schedule_counts_steps(mixture_kind: str, build_svi: Any, make_data: Any) -> None:
    options = {
        "optim": lambda params: torch.optim.SGD(params, lr=0.01),
        "prior_optim": lambda params: torch.optim.SGD(params, lr=0.002),
        "learning_rate_schedule": LinearWarmup(4, start=0.5),
    }
    svi, x = build_svi(mixture_kind, dtype=F64, svi=options), make_data(16, dtype=F64)
    for factor in (0.5, 0.625, 0.75, 0.875, 1.0, 1.0):
        before = values(parameters(svi))
        svi.step(x)
        for rate, named in ((0.01, svi.partition.elbo), (0.002, svi.partition.prior)):
            for name, parameter in named.items():
                assert parameter.grad is not None
                moved = before[name] - parameter.detach()
                torch.testing.assert_close(moved, rate * factor * parameter.grad, rtol=1e-9, atol=1e-14)
    assert svi.steps_taken == 6


@pytest.mark.parametrize("loss", [Trace_ELBO, TraceMeanField_ELBO])
def test_the_kl_schedule_scales_the_kl_alone(prior_kind: str, loss: Any, build_svi: Any, make_data: Any) -> None:
    x = make_data(16, dtype=F64)
    svi = build_svi(prior_kind, dtype=F64, svi={"loss": loss(), "kl_schedule": LinearWarmup(10)})
    torch.manual_seed(6)
    reconstruction = -svi.model.log_likelihood(x, svi.guide(x)).mean()
    svi.steps_taken = 10
    torch.manual_seed(6)
    divergence = svi.elbo_loss(x).item() - reconstruction.item()
    assert abs(divergence) > 0.1
    for step, factor in ((0, 0.0), (3, 0.3), (9, 0.9), (12, 1.0)):
        svi.steps_taken = step
        torch.manual_seed(6)
        assert svi.elbo_loss(x).item() == pytest.approx(reconstruction.item() + factor * divergence, rel=1e-12)
    svi.steps_taken = 0
    torch.manual_seed(6)
    named = {name: p for name, p in svi.partition.elbo.items() if not name.startswith("prior.")}
    scaled = torch.autograd.grad(svi.elbo_loss(x), list(named.values()), retain_graph=True)
    alone = torch.autograd.grad(reconstruction, list(named.values()))
    for value, expected in zip(scaled, alone, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-13)
    if prior_kind == "vamp-prior":
        svi.elbo_loss(x).backward()
        pseudo_inputs = svi.partition.elbo["prior.encoded_centres.pseudo_inputs.unconstrained"]
        assert pseudo_inputs.grad is not None
        assert not bool(pseudo_inputs.grad.any())


def test_evaluation_is_at_full_kl_weight_and_moves_nothing(prior_kind: str, build_svi: Any, make_data: Any) -> None:
    x = make_data(16)
    options = {"normalization": "batch", "dropout": 0.3}
    warming = build_svi(prior_kind, svi={"kl_schedule": Constant(0.0)}, **options)
    plain = build_svi(prior_kind, **options)
    state = [values(module.state_dict()) for module in (warming.model, warming.guide)]
    losses = []
    for svi in (warming, plain):
        torch.manual_seed(8)
        losses.append(svi.evaluate_loss(x))
    assert losses[0] == losses[1]
    for before, module in zip(state, (warming.model, warming.guide), strict=True):
        assert unchanged(before, module.state_dict()) == list(before)
        assert all(part.training for part in module.modules())


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_a_standard_normal_stands_in_for_the_prior_at_first(
    mixture_kind: str, covariance: str, build_svi: Any, make_data: Any
) -> None:
    x = make_data(16, dtype=F64)
    svi = build_svi(mixture_kind, dtype=F64, covariance=covariance, svi={"standard_normal_steps": 3})
    assert svi.settled_at == 3
    for step in range(5):
        torch.manual_seed(6)
        posterior = svi.guide.posterior(x)
        z = posterior.rsample()
        under = dist.Normal(torch.zeros_like(z), 1.0).to_event(1) if step < 3 else svi.model.prior
        expected = -(svi.model.log_likelihood(x, z) + under.log_prob(z) - posterior.log_prob(z)).mean().item()
        torch.manual_seed(6)
        assert svi.elbo_loss(x).item() == pytest.approx(expected, rel=1e-12)
        torch.manual_seed(7)
        evaluated = svi.evaluate_loss(x)
        svi.steps_taken, now = 3, step
        torch.manual_seed(7)
        assert svi.evaluate_loss(x) == evaluated  # always under the model's own
        svi.steps_taken = now
        own = values(svi.partition.prior)
        svi.step(x)
        assert unchanged(own, svi.partition.prior) == []  # fitted from the first step on


def test_the_prior_rests_at_first(mixture_kind: str, build_svi: Any, make_data: Any) -> None:
    x = make_data(16, dtype=F64)
    svi = build_svi(mixture_kind, dtype=F64, svi={"prior_rest_steps": 3})
    assert svi.settled_at == 3
    for step in range(5):
        prior, networks = values(svi.partition.prior), values(svi.partition.elbo)
        losses = svi.step(x)
        assert (unchanged(prior, svi.partition.prior) == list(prior)) == (step < 3)
        assert math.isnan(losses.empirical_bayes) == (step < 3)
        assert unchanged(networks, svi.partition.elbo) == []
    with pytest.raises(UserError, match="prior_rest_steps is -1"):
        build_svi(mixture_kind, svi={"prior_rest_steps": -1})


# ---- what cannot be ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Encountered NaN:UserWarning")
def test_nan_in_the_data_moves_no_parameter(prior_kind: str, build_svi: Any, make_data: Any) -> None:
    svi, x = build_svi(prior_kind), make_data(16)
    svi.step(x)
    before, spoilt = values(parameters(svi)), x.clone()
    spoilt[3, 2] = float("nan")
    with pytest.raises(NonFiniteLossError, match=r"ELBO is nan at step 1\b"):
        svi.step(spoilt)
    if svi.partition.prior:
        svi.reuses_latents = False
        with pytest.raises(NonFiniteLossError, match="empirical-Bayes objective is nan"):
            svi.empirical_bayes_step(spoilt)
    assert unchanged(before, parameters(svi)) == list(before)
    assert all(parameter.requires_grad for parameter in parameters(svi).values())
    assert svi.steps_taken == 1
    assert math.isfinite(svi.step(x).elbo)


def test_every_kind_of_optimiser_takes_the_same_step(build_svi: Any, make_data: Any) -> None:
    x, ends = make_data(16), []
    for optim in (
        lambda params: torch.optim.SGD(params, lr=0.01, momentum=0.5),
        pyro.optim.SGD({"lr": 0.01, "momentum": 0.5}),
    ):
        svi = build_svi("vamp-mixture", svi={"optim": optim})
        ends.append(train(svi, x, 0, range(3)))
        assert all(isinstance(optimizer, torch.optim.SGD) for optimizer in svi.optimizers.values())
    assert unchanged(*ends) == list(ends[0])
    ends = []
    for optim in (0.01, lambda params: torch.optim.Adam(params, lr=0.01), pyro.optim.Adam({"lr": 0.01})):
        ends.append(train(build_svi("vamp-mixture", svi={"optim": optim, "prior_optim": optim}), x, 0, range(3)))
    for other in ends[1:]:
        for name, value in ends[0].items():
            torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-6)


def test_prior_optim_defaults_to_a_share_of_optim(build_svi: Any) -> None:
    """A share of a learning rate; any other choice is taken as it is."""

    def rates(svi: EmpiricalBayesSVI) -> list[float]:
        return [svi.optimizers[name].param_groups[0]["lr"] for name in ("elbo", "prior")]

    assert rates(build_svi("vamp-mixture", svi={"optim": 0.02})) == pytest.approx([0.02, 0.006])
    assert rates(build_svi("vamp-mixture", svi={"optim": 0.02, "prior_optim": 0.2})) == [0.02, 0.2]
    assert rates(build_svi("vamp-mixture", svi={"optim": pyro.optim.Adam({"lr": 0.02})})) == [0.02, 0.02]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optim": 0.0}, "optim=0.0"),
        ({"optim": -1e-3}, "optim=-0.001"),
        ({"optim": float("nan")}, "optim=nan"),
        ({"optim": float("inf")}, "optim=inf"),
        ({"optim": "adam"}, "optim='adam'"),
        ({"optim": None}, "optim=None"),
        ({"optim": lambda params: 3}, "optim="),
        ({"optim": pyro.optim.Adam(lambda name: {"lr": 0.1})}, "pyro.optim"),
        ({"optim": pyro.optim.Adam({"lr": 0.1}, {"clip_norm": 1.0})}, "clip_args"),
        (
            {
                "optim": pyro.optim.ExponentialLR(
                    {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.1}, "gamma": 0.1}
                )
            },
            "scheduler",
        ),
        ({"prior_optim": -1.0}, "optim=-1.0"),
        ({"latents": "stale"}, "latents='stale'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_choices_that_cannot_be_are_refused(options: Any, message: str, build_svi: Any) -> None:
    with pytest.raises(UserError, match=message):
        build_svi("vamp-mixture", svi=options)


# ---- a rate of their own for the weights -----------------------------------------------------------------------------


def test_weights_take_longer_steps_and_nothing_else_does(mixture_kind: str, build_svi: Any, make_data: Any) -> None:
    x = make_data(32)
    moves = {}
    for rate in (1.0, 8.0):
        svi = build_svi(mixture_kind, svi={"optim": 1e-3, "weight_rate": rate})
        before = values(svi.partition.prior)
        torch.manual_seed(0)
        svi.empirical_bayes_step(x)
        moves[rate] = {name: svi.partition.prior[name].detach() - before[name] for name in before}
    assert set(moves[8.0]) == set(moves[1.0])
    for name, move in moves[1.0].items():
        # Adam's first step is the learning rate times the gradient's sign.
        factor = 8.0 if name.startswith("prior.mixture_weights.") else 1.0
        torch.testing.assert_close(moves[8.0][name], factor * move, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{"weight_rate": 0.0}, {"weight_rate": math.inf}, {"weight_rate": 2.0, "prior_optim": torch.optim.Adam}]
)
def test_weight_rates_that_cannot_be_are_refused(options: dict[str, Any], build_svi: Any) -> None:
    with pytest.raises(UserError, match="weight_rate="):
        build_svi("gaussian-mixture", svi=options)
