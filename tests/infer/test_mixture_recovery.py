"""Gaussian mixtures fitted by empirical Bayes on fixed latents: EM, recovery of a known mixture, scikit-learn."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from torch import Tensor, nn

from pyro_vmm.clustering import merge_tree
from pyro_vmm.clustering.criteria import CRITERIA
from pyro_vmm.priors import GaussianMixture, PseudoInputs, StickBreaking, VampMixture
from pyro_vmm.priors.mixture import MixturePrior

F64 = torch.float64
TRUE_WEIGHTS = torch.tensor([0.3, 0.25, 0.2, 0.15, 0.1])


@dataclass
class KnownMixture:
    """Five Gaussians, their centres at least 1.5 apart, and what was drawn from them."""

    centres: Tensor
    shares: Tensor
    z: Tensor


def known_mixture(seed: int, dim: int, num_observations: int = 2000) -> KnownMixture:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.zeros(5, dim)
    while torch.pdist(centres).min() < 1.5:
        centres = 4.0 * torch.rand(5, dim, generator=generator) - 2.0
    axes, _ = torch.linalg.qr(torch.randn(5, dim, dim, generator=generator))
    factors = axes * (0.15 + 0.15 * torch.rand(5, 1, dim, generator=generator))
    labels = torch.multinomial(TRUE_WEIGHTS, num_observations, replacement=True, generator=generator)
    noise = torch.randn(num_observations, dim, 1, generator=generator)
    shares = torch.bincount(labels, minlength=5) / num_observations
    return KnownMixture(centres, shares, centres[labels] + (factors[labels] @ noise).squeeze(-1))


# ---- expectation-maximisation ----------------------------------------------------------------------------------------


def objective(prior: MixturePrior, z: Tensor) -> float:
    """``mean_n log sum_k exp(l_nk) + hyper_log_prob / M``: what the stopped gradient ascends."""
    with torch.no_grad():
        log_joint = prior.mixture_weights.log_weights() + prior.expected_component_log_prob(z)
        return float(log_joint.logsumexp(-1).mean() + prior.hyper_log_prob() / prior.prior_weight)


def start(z: Tensor, num_components: int, seed: int = 0, **options: Any) -> GaussianMixture:
    generator = torch.Generator().manual_seed(1000 + seed)
    rows = torch.randperm(len(z), generator=generator)[:num_components]
    return GaussianMixture(z.shape[1], num_components, centres=z[rows], **options).to(z.dtype)


def maximise(prior: GaussianMixture, z: Tensor) -> None:
    """The exact M-step of maximum likelihood at the present responsibilities."""
    with torch.no_grad():
        responsibilities = prior.responsibilities(z)
        members = responsibilities.sum(0)
        centres = responsibilities.T @ z / members.unsqueeze(-1)
        difference = z.unsqueeze(1) - centres
        scatter = torch.einsum("nk,nki,nkj->kij", responsibilities, difference, difference)
        prior.loc.copy_(centres)
        prior.precisions.set_cholesky(torch.linalg.cholesky(torch.linalg.inv(scatter / members[:, None, None])))
        prior.mixture_weights.set_weights(members / len(z))


@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
def test_exact_em_never_lowers_the_objective_and_rests_where_the_loss_does(weights: str) -> None:
    z = known_mixture(3, 2, 500).z.to(F64)
    prior = start(z, 6, inference="mle", weights=weights)
    values = [objective(prior, z)]
    for _ in range(1000):
        maximise(prior, z)
        values.append(objective(prior, z))
    assert np.diff(values).min() > -1e-10
    assert values[-1] - values[0] > 0.5
    assert abs(values[-1] - values[-2]) < 1e-12
    prior.empirical_bayes_loss(z).backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None
        assert float(parameter.grad.abs().max()) < 1e-6, name


@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
@pytest.mark.parametrize("inference", ["mle", "map", "map-dp"])
def test_small_steps_on_the_loss_never_lower_the_objective(inference: Any, weights: str) -> None:
    z = known_mixture(4, 2, 300).z.to(F64)
    prior = start(z, 8, inference=inference, weights=weights, prior_weight=100.0)
    optimizer = torch.optim.SGD(prior.parameters(), lr=0.02)
    values = [objective(prior, z)]
    for _ in range(200):
        optimizer.zero_grad()
        prior.empirical_bayes_loss(z).backward()
        optimizer.step()
        values.append(objective(prior, z))
    assert np.diff(values).min() > -1e-6
    assert values[-1] - values[0] > 0.2


# ---- recovery --------------------------------------------------------------------------------------------------------


class Loss(nn.Module):
    def __init__(self, prior: MixturePrior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, z: Tensor) -> Tensor:
        return self.prior.empirical_bayes_loss(z)


def fit_side_by_side(priors: list[GaussianMixture], zs: list[Tensor], *, steps: int, lr: float, batch: int) -> None:
    """Adam on every prior's own minibatches; one vectorised step for all (Adam is elementwise: they do not interact)."""
    losses = [Loss(prior) for prior in priors]
    stacked, buffers = torch.func.stack_module_state(losses)
    parameters = {name: value.detach().requires_grad_() for name, value in stacked.items()}
    one = losses[0]
    every = torch.func.vmap(lambda p, b, z: torch.func.functional_call(one, (p, b), (z,)))
    optimizer = torch.optim.Adam(list(parameters.values()), lr=lr, fused=True)
    generator, z = torch.Generator().manual_seed(5), torch.stack(zs)
    for _ in range(steps):
        rows = torch.randint(z.shape[1], (len(priors), batch), generator=generator)
        optimizer.zero_grad()
        every(parameters, buffers, z.gather(1, rows.unsqueeze(-1).expand(-1, -1, z.shape[2]))).sum().backward()
        optimizer.step()
    for index, loss in enumerate(losses):
        own = {**parameters, **buffers}
        loss.load_state_dict({name: value[index].detach() for name, value in own.items()})


def observed_shares(prior: GaussianMixture) -> Tensor:
    """The shares of the observations that the fitted weights answer to, ``[K]``.

    A Dirichlet with small parameters hardly bends them. The MAP of sticks under ``Beta(1, a)`` is biased: at rest
    ``v_k = n_k / (n_k + n_{k+1} + ... + (a - 1) / M)`` with ``n`` the shares, so that the first of large components fall
    short and the last gain what they lose.
    """
    if not isinstance(prior.mixture_weights, StickBreaking):
        return prior.weights
    surplus = (prior.mixture_weights.concentration - 1.0) / prior.prior_weight
    shares: list[Tensor] = []
    left = torch.ones(())
    for stick in prior.mixture_weights.sticks:
        shares.append(stick * (left + surplus))
        left = left - shares[-1]
    return torch.stack([*shares, left])


@pytest.mark.parametrize(
    ("weights", "dim", "bias"), [("dirichlet", 2, 0.04), ("dirichlet", 3, 0.04), ("stick-breaking", 3, 0.12)]
)
def test_a_known_mixture_is_recovered_from_fifty_components(weights: str, dim: int, bias: float) -> None:
    """Every seed of twenty, the hyper-prior weighed against 256.

    In two dimensions stick-breaking keeps 8 to 16 components, 5 to 9 after 2000 larger steps.
    """
    known = [known_mixture(seed, dim) for seed in range(20)]
    priors = [start(each.z, 50, seed, weights=weights, prior_weight=256.0) for seed, each in enumerate(known)]
    fit_side_by_side(priors, [each.z for each in known], steps=1000, lr=0.05, batch=100)
    table = [f"{weights}, D = {dim}: seed, components in use, largest errors of weights, observed shares, centres"]
    failures = []
    for seed, (truth, prior) in enumerate(zip(known, priors, strict=True)):
        with torch.no_grad():
            in_use = prior.responsibilities(truth.z).argmax(-1).unique()
            distances, nearest = torch.cdist(truth.centres, prior.centres[in_use]).min(1)
            weight_error, share_error = (
                float((values[in_use][nearest] - truth.shares).abs().max())
                for values in (prior.weights, observed_shares(prior))
            )
            centre_error = float(distances.max())
        table.append(f"{seed:4d} {len(in_use):4d} {weight_error:8.3f} {share_error:8.3f} {centre_error:8.3f}")
        found = len(in_use) == 5 and len(nearest.unique()) == 5
        if not found or weight_error > bias or share_error > 0.05 or centre_error > 0.25:
            failures.append(seed)
    print("", *table, sep="\n")
    assert not failures, "\n".join(table)


def test_joining_recovers_the_known_mixture_where_sticks_keep_too_many() -> None:
    """Every seed of twenty in two dimensions, where the MAP of the sticks keeps 22 to 38 components."""
    known = [known_mixture(seed, 2) for seed in range(20)]
    priors = [start(each.z, 50, seed, weights="stick-breaking") for seed, each in enumerate(known)]
    fit_side_by_side(priors, [each.z for each in known], steps=1000, lr=0.05, batch=100)
    for seed, (truth, prior) in enumerate(zip(known, priors, strict=True)):
        with torch.no_grad():
            responsibilities = prior.responsibilities(truth.z).double().numpy()
        nearest = torch.cdist(truth.z, truth.centres).argmin(1).numpy()
        for criterion in ("contact", "valleys", "evidence"):
            tree = merge_tree(responsibilities, criterion=criterion, latents=truth.z.numpy())
            assert len(tree.utilised) > 5, (criterion, seed)
            found = tree.joined_below(CRITERIA[criterion].joined_below)[responsibilities.argmax(1)]
            assert len(np.unique(found)) == 5, (criterion, seed)
            assert adjusted_rand_score(nearest, found) > 0.98, (criterion, seed)


# ---- scikit-learn ----------------------------------------------------------------------------------------------------


class GivenCentres:
    """An encoder whose posterior at the pseudo-inputs is all but a point."""

    def __init__(self, loc: Tensor, scale: float) -> None:
        self.loc, self.scale = loc, scale

    def location_and_scale_tril(self, x: Tensor, **covariates: Tensor) -> tuple[Tensor, Tensor]:
        identity = torch.eye(self.loc.shape[1], dtype=self.loc.dtype)
        return self.loc, self.scale * identity.expand(len(self.loc), -1, -1)


@pytest.mark.parametrize("weights", ["stick-breaking", "dirichlet"])
@pytest.mark.parametrize("kind", ["gaussian-mixture", "vamp-mixture"])
def test_point_centres_give_scikit_learns_density_and_responsibilities(kind: str, weights: str) -> None:
    rng = np.random.default_rng(0)
    components, dim = 6, 3
    reference = SklearnGaussianMixture(components, covariance_type="full")
    factors = rng.normal(size=(components, dim, dim)) + 2.0 * np.eye(dim)
    reference.covariances_ = factors @ factors.transpose(0, 2, 1)
    reference.means_ = rng.normal(size=(components, dim)) * 3.0
    reference.weights_ = rng.dirichlet(np.ones(components))
    precisions = np.linalg.inv(reference.covariances_)
    # scikit-learn's factor U is upper triangular with Lambda = U U^T.
    reference.precisions_cholesky_ = np.stack(
        [np.linalg.solve(np.linalg.cholesky(covariance), np.eye(dim)).T for covariance in reference.covariances_]
    )
    z = rng.normal(size=(200, dim)) * 4.0

    centres = torch.from_numpy(reference.means_)
    prior: MixturePrior = (
        GaussianMixture(dim, components, centres=centres, weights=weights)
        if kind == "gaussian-mixture"
        else VampMixture(dim, GivenCentres(centres, 1e-7), PseudoInputs(torch.zeros(components, 2)), weights=weights)
    ).to(F64)
    prior.precisions.set_cholesky(torch.linalg.cholesky(torch.from_numpy(precisions)))
    prior.mixture_weights.set_weights(torch.from_numpy(reference.weights_))
    np.testing.assert_allclose(prior.log_prob(torch.from_numpy(z)).detach(), reference.score_samples(z), rtol=1e-9)
    responsibilities = prior.responsibilities(torch.from_numpy(z)).detach().numpy()
    np.testing.assert_allclose(responsibilities, reference.predict_proba(z), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(prior.covariances.detach(), reference.covariances_, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(prior.weights.detach(), reference.weights_, rtol=1e-9)
