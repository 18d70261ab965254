"""Finite values, finite gradients and float32 as good as told, for every input in the ranges that the docstrings state."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro.infer import Trace_ELBO
from torch import Tensor

from pyro_vmm.clustering import merge_tree
from pyro_vmm.distributions import GaussianMixture as GaussianMixtureDistribution
from pyro_vmm.distributions import TriangularNormal
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.likelihoods import make_likelihood
from pyro_vmm.likelihoods.base import Likelihood
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks import MLPDecoder, MLPEncoder
from pyro_vmm.priors import GaussianMixture, PseudoInputs, VampMixture
from pyro_vmm.priors.precisions import Precisions, wishart_log_prob
from pyro_vmm.priors.weights import StickBreaking, SymmetricDirichlet

few = settings(max_examples=25, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**31 - 1)
# Adam reaches such parameters only after a hundred thousand steps of the default length.
anywhere = st.floats(-50.0, 50.0)


def uniform(seed: int, *shape: int, low: float = -1.0, high: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype)


def move(module: torch.nn.Module, seed: int, reach: float) -> None:
    """Put every parameter anywhere within ``reach`` of 0."""
    with torch.no_grad():
        for place, parameter in enumerate(module.parameters()):
            parameter.copy_(uniform(seed + place, *parameter.shape, low=-reach, high=reach))


def finite_with_gradients(value: Tensor, *inputs: Tensor) -> None:
    assert value.isfinite().all()
    for gradient in torch.autograd.grad(value.sum(), inputs, allow_unused=True):
        assert gradient is None or gradient.isfinite().all()


WEIGHTS = {"stick-breaking": StickBreaking, "dirichlet": SymmetricDirichlet}


@pytest.mark.parametrize("kind", WEIGHTS)
@few
@given(seed=seeds, num_components=st.integers(1, 60), reach=st.floats(0.0, 1e6))
def test_weights_are_weights_wherever_their_parameters_are(
    kind: str, seed: int, num_components: int, reach: float
) -> None:
    weights = WEIGHTS[kind](num_components)
    move(weights, seed, reach)
    log_weights = weights.log_weights()
    torch.testing.assert_close(log_weights.double().exp().sum(), torch.ones((), dtype=torch.float64), rtol=1e-5, atol=0)
    finite_with_gradients(log_weights, *weights.parameters())
    finite_with_gradients(weights.log_prob() + weights.concentration_log_prob(), *weights.parameters())


@few
@given(seed=seeds, dim=st.integers(1, 8), components=st.integers(1, 20), reach=st.floats(0.0, 1e3))
def test_precisions_are_positive_definite_wherever_their_parameters_are(
    seed: int, dim: int, components: int, reach: float
) -> None:
    precisions = Precisions(dim, components)
    move(precisions, seed, reach)
    factor = precisions.cholesky()
    assert (factor.diagonal(dim1=-2, dim2=-1) > 0.0).all()
    assert (factor.triu(1) == 0.0).all()
    finite_with_gradients(precisions.log_prob(), *precisions.parameters())


@few
@given(seed=seeds, dim=st.integers(1, 5))
def test_gradients_by_hand_are_those_of_differences(seed: int, dim: int) -> None:
    """In float64: the Wishart density, and the mixture with centres integrated out."""
    factor = (
        uniform(seed, 2, dim, dim).tril(-1) + torch.diag_embed(uniform(seed + 1, 2, dim, low=0.5, high=2.0))
    ).detach()
    factor.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda f: wishart_log_prob(f.tril(), dim + 2.0, 0.3), factor)
    loc, z = uniform(seed + 2, 2, dim).requires_grad_(True), uniform(seed + 3, 3, dim).requires_grad_(True)
    logits, scale = (
        uniform(seed + 4, 2).requires_grad_(True),
        (0.5 * uniform(seed + 5, 2, dim, dim)).requires_grad_(True),
    )

    def log_prob(logits: Tensor, loc: Tensor, factor: Tensor, scale: Tensor, z: Tensor) -> Tensor:
        return GaussianMixtureDistribution(
            logits.log_softmax(-1), loc, precision_cholesky=factor.tril(), extra_scale=scale.tril(), validate_args=False
        ).log_prob(z)

    assert torch.autograd.gradcheck(log_prob, (logits, loc, factor, scale, z))


@few
@given(seed=seeds, dim=st.integers(1, 6), spread=st.floats(0.01, 3.0))
def test_a_mixture_with_centres_integrated_out_is_torchs(seed: int, dim: int, spread: float) -> None:
    """Also its determinant: an identity matrix for a factor would hide a wrong sign."""
    factor = uniform(seed, 3, dim, dim).tril(-1) + torch.diag_embed(uniform(seed + 1, 3, dim, low=0.5, high=2.0))
    scale = spread * (uniform(seed + 5, 3, dim, dim).tril(-1) + torch.diag_embed(uniform(seed + 6, 3, dim, low=0.1)))
    log_weights, loc, z = uniform(seed + 2, 3).log_softmax(-1), uniform(seed + 3, 3, dim), uniform(seed + 4, 4, dim)
    mixture = GaussianMixtureDistribution(log_weights, loc, precision_cholesky=factor, extra_scale=scale)
    covariance = torch.linalg.inv(factor @ factor.mT) + scale @ scale.mT
    components = torch.distributions.MultivariateNormal(loc, covariance)
    torch.testing.assert_close(mixture.component_log_prob(z), components.log_prob(z.unsqueeze(-2)))


def priors_of(seed: int, dim: int, components: int, reach: float, weights: str) -> list[Any]:
    """A mixture with points for centres and those with uncertain ones, their parameters anywhere within ``reach``."""
    torch.manual_seed(seed)
    found: list[Any] = [GaussianMixture(dim, components, weights=weights)]
    for uncertainty in ("integrated", "expected"):
        guide = AmortizedNormal(MLPEncoder(4, (6,), num_outputs=AmortizedNormal.num_outputs(dim)))
        inputs = PseudoInputs(torch.randn(components, 4))
        found.append(VampMixture(dim, guide, inputs, centre_uncertainty=uncertainty, weights=weights))
    for prior in found:
        move(prior, seed, reach)
    return found


@pytest.mark.parametrize("weights", WEIGHTS)
@few
@given(
    seed=seeds, dim=st.integers(1, 6), components=st.integers(1, 12), reach=st.floats(0.0, 3.0), far=st.floats(0.0, 1e4)
)
def test_priors_have_finite_densities_and_gradients(
    weights: str, seed: int, dim: int, components: int, reach: float, far: float
) -> None:
    for prior in priors_of(seed, dim, components, reach, weights):
        z = uniform(seed, 5, dim, low=-far, high=far, dtype=torch.float32).requires_grad_(True)
        finite_with_gradients(prior.log_prob(z), z, *prior.parameters())
        finite_with_gradients(prior.empirical_bayes_loss(z.detach()), *prior.parameters())
        responsibilities = prior.responsibilities(z)
        torch.testing.assert_close(responsibilities.sum(-1), torch.ones(5), rtol=1e-5, atol=1e-5)


@few
@given(seed=seeds, dim=st.integers(1, 6), components=st.integers(1, 12), reach=st.floats(0.0, 1.0))
def test_priors_in_float32_are_those_in_float64(seed: int, dim: int, components: int, reach: float) -> None:
    """To 1e-3 nats and 1e-4 relative within five units of the centres: what an ELBO's noise leaves visible is far more."""
    for prior in priors_of(seed, dim, components, reach, "stick-breaking"):
        z = uniform(seed, 5, dim, low=-5.0, high=5.0, dtype=torch.float32)
        narrow, loss = prior.log_prob(z).double(), prior.empirical_bayes_loss(z).double()
        prior.double()
        if isinstance(prior, VampMixture):
            prior.encoded_centres.__dict__["guide"].double()
        torch.testing.assert_close(narrow, prior.log_prob(z.double()), rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(loss, prior.empirical_bayes_loss(z.double()), rtol=1e-4, atol=1e-3)


@few
@given(seed=seeds, dim=st.integers(1, 6), components=st.integers(1, 12), reach=st.floats(0.0, 1.0))
def test_centres_have_the_second_moment_of_their_encoding(seed: int, dim: int, components: int, reach: float) -> None:
    """``E[log Normal(mu; 0, I)]`` by hand: a wider ``q(mu)`` is less likely, not more."""
    *_, prior = priors_of(seed, dim, components, reach, "dirichlet")
    loc, scale = prior.centre_posterior()
    second = loc.double().square().sum(-1) + (scale.double() @ scale.double().mT).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(
        prior.centres_log_prob().double(), -0.5 * (dim * math.log(2 * math.pi) + second), rtol=1e-4, atol=1e-4
    )


DATA: dict[str, Callable[[int], Tensor]] = {
    "bernoulli": lambda seed: uniform(seed, 5, 4, low=0.0),
    "continuous-bernoulli": lambda seed: uniform(seed, 5, 4, low=0.0),
    "normal": lambda seed: uniform(seed, 5, 4, low=-1e6, high=1e6),
    "student-t": lambda seed: uniform(seed, 5, 4, low=-1e6, high=1e6),
    "poisson": lambda seed: (10.0 ** uniform(seed, 5, 4, low=-1.0, high=5.0)).floor(),
    "nb": lambda seed: (10.0 ** uniform(seed, 5, 4, low=-1.0, high=5.0)).floor(),
    "zinb": lambda seed: (10.0 ** uniform(seed, 5, 4, low=-1.0, high=5.0)).floor(),
}


def likelihood_of(name: str, seed: int, reach: float) -> Likelihood:
    likelihood = make_likelihood(name, num_features=4)
    move(likelihood, seed, reach)
    return likelihood


@pytest.mark.parametrize("name", DATA)
@few
@given(seed=seeds, reach=st.floats(0.0, 30.0))
def test_likelihoods_have_finite_values_and_gradients(name: str, seed: int, reach: float) -> None:
    likelihood = likelihood_of(name, seed, min(reach, 5.0))
    x = DATA[name](seed).float()
    outputs = uniform(seed + 9, 5, 4 * likelihood.outputs_per_feature, low=-reach, high=reach, dtype=torch.float32)
    outputs.requires_grad_(True)
    finite_with_gradients(likelihood(outputs).log_prob(x), outputs, *likelihood.parameters())
    if likelihood.whole_numbers:
        library = x.sum(-1) + 1.0
        finite_with_gradients(likelihood(outputs, library_size=library).log_prob(x), outputs, *likelihood.parameters())


@pytest.mark.parametrize("name", DATA)
@few
@given(seed=seeds, reach=st.floats(0.0, 10.0))
def test_likelihoods_in_float32_are_those_in_float64(name: str, seed: int, reach: float) -> None:
    """To 1e-4 relative, of decoder outputs up to 10: float32 keeps seven digits of an exponent's argument."""
    likelihood = likelihood_of(name, seed, min(reach, 2.0))
    x = DATA[name](seed).float()
    outputs = uniform(seed + 9, 5, 4 * likelihood.outputs_per_feature, low=-reach, high=reach, dtype=torch.float32)
    narrow = likelihood(outputs).log_prob(x).double()
    wide = likelihood.double()(outputs.double()).log_prob(x.double())
    torch.testing.assert_close(narrow, wide, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", ["vamp-mixture", "gaussian-mixture"])
@few
@given(seed=seeds, size=st.floats(1e-6, 1e6), covariance=st.sampled_from(["full", "diagonal"]))
def test_the_elbo_of_one_sample_is_finite_with_its_gradients(
    kind: str, seed: int, size: float, covariance: Any
) -> None:
    torch.manual_seed(seed)
    encoder = MLPEncoder(4, (6,), num_outputs=AmortizedNormal.num_outputs(2, covariance))
    guide = AmortizedNormal(encoder, covariance)
    x = uniform(seed, 6, 4, low=-size, high=size, dtype=torch.float32)
    prior = GaussianMixture(2, 5) if kind == "gaussian-mixture" else VampMixture(2, guide, PseudoInputs(x[:5]))
    model = LatentMixtureModel(prior, MLPDecoder(2, (6,), num_outputs=4), "normal")
    svi = EmpiricalBayesSVI(model, guide, optim=1e-3, loss=Trace_ELBO())
    loss = svi.elbo_loss(x)
    finite_with_gradients(loss, *svi.partition.elbo.values())
    losses = svi.step(x)
    assert all(map(math.isfinite, losses))


@few
@given(seed=seeds, number=st.integers(2, 40), components=st.integers(1, 8), size=st.floats(1e-6, 1e6))
def test_merge_trees_of_any_latents_have_finite_costs(seed: int, number: int, components: int, size: float) -> None:
    responsibilities = uniform(seed, number, components, low=-30.0, high=30.0).softmax(-1).numpy()
    latents = uniform(seed + 1, number, 3, low=-size, high=size).numpy()
    for options in (
        {"criterion": "overlap"},
        {"criterion": "misclassification"},
        {"criterion": "evidence", "latents": latents},
    ):
        tree = merge_tree(responsibilities, **options)  # type: ignore[arg-type]
        assert all(map(math.isfinite, tree.costs))
        assert len(tree.merges) == len(tree.utilised) - 1


def test_draws_of_the_triangular_normal_have_its_density() -> None:
    """Whitened by hand, its draws are standard normal in every coordinate and uncorrelated."""
    torch.manual_seed(0)
    factor = torch.tensor([[0.5, 0.0, 0.0], [3.0, 0.1, 0.0], [-1.0, 2.0, 1.5]], dtype=torch.float64)
    normal = TriangularNormal(torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64), scale_tril=factor)
    draws = normal.sample((4000,))
    white = torch.linalg.solve_triangular(factor, (draws - normal.loc).mT, upper=False).mT
    for column in white.numpy().T:
        assert scipy.stats.kstest(column, "norm").pvalue > 1e-3
    torch.testing.assert_close(torch.corrcoef(white.mT), torch.eye(3, dtype=torch.float64), rtol=0, atol=0.08)
    # The squared length of whitened draws is what their density says it is.
    squared = -2.0 * (normal.log_prob(draws.clone()) - normal.log_prob(normal.loc.clone()))
    assert scipy.stats.kstest(squared.numpy(), scipy.stats.chi2(3).cdf).pvalue > 1e-3
