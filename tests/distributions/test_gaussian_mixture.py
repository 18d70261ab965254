import pyro
import pytest
import torch
from pyro import poutine
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from pyro_vmm.distributions import GaussianMixture

COMPONENTS, DIM = 4, 3


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def parameters(dtype=torch.float64, components=COMPONENTS, dim=DIM):
    logits = torch.randn(components, dtype=dtype)
    loc = 2.0 * torch.randn(components, dim, dtype=dtype)
    factor = (0.5 * torch.randn(components, dim, dim, dtype=dtype)).tril(-1)
    return logits, loc, factor + torch.diag_embed(0.3 + torch.rand(components, dim, dtype=dtype))


def make(parameterisation, logits, loc, factor, **options):
    return GaussianMixture(logits.log_softmax(-1), loc, **{parameterisation: factor}, **options)


def make_torchs(parameterisation, logits, loc, factor):
    if parameterisation == "scale_tril":
        components = MultivariateNormal(loc, scale_tril=factor)
    else:
        components = MultivariateNormal(loc, precision_matrix=factor @ factor.mT)
    return MixtureSameFamily(Categorical(logits=logits), components)


both = pytest.mark.parametrize("parameterisation", ["scale_tril", "precision_cholesky"])


@both
@pytest.mark.parametrize("batch_shape", [(), (7,), (2, 7)])
@pytest.mark.parametrize(("components", "dim"), [(COMPONENTS, DIM), (1, 1), (3, 1), (1, 5)])
def test_values_and_gradients_are_those_of_torch(parameterisation, batch_shape, components, dim):
    given = [p.requires_grad_() for p in parameters(components=components, dim=dim)]
    z = (2.0 * torch.randn(*batch_shape, dim, dtype=torch.float64)).requires_grad_()
    ours, torchs = make(parameterisation, *given), make_torchs(parameterisation, *given)
    log_prob, expected = ours.log_prob(z), torchs.log_prob(z)
    assert log_prob.shape == batch_shape
    torch.testing.assert_close(log_prob, expected)
    cotangent = torch.randn(batch_shape, dtype=torch.float64)
    gradients = torch.autograd.grad((log_prob * cotangent).sum(), [*given, z])
    for found, other in zip(gradients, torch.autograd.grad((expected * cotangent).sum(), [*given, z]), strict=True):
        # Only the lower triangle is the distribution's: torch's formulae may leave something above.
        torch.testing.assert_close(
            found.tril() if found.ndim == 3 else found, other.tril() if other.ndim == 3 else other
        )
    by_component = torchs.component_distribution.log_prob(z.unsqueeze(-2))
    torch.testing.assert_close(ours.component_log_prob(z), by_component)
    posterior = (torchs.mixture_distribution.logits + by_component).softmax(-1)
    torch.testing.assert_close(ours.responsibilities(z), posterior)


@both
def test_no_observations(parameterisation):
    mixture = make(parameterisation, *parameters(), validate_args=False)
    z = torch.zeros(0, DIM, dtype=torch.float64)
    assert mixture.log_prob(z).shape == (0,)
    assert mixture.responsibilities(z).shape == (0, COMPONENTS)
    assert mixture.sample((0,)).shape == (0, DIM)


@both
def test_moments_of_components_and_mixture(parameterisation):
    given = parameters()
    ours, torchs = make(parameterisation, *given), make_torchs(parameterisation, *given)
    torch.testing.assert_close(ours.covariance_matrix, torchs.component_distribution.covariance_matrix)
    torch.testing.assert_close(ours.scale_tril, torchs.component_distribution.scale_tril)
    torch.testing.assert_close(ours.mean, torchs.mean)
    assert ours.expand([2, 5]).mean.shape == (2, 5, DIM)


@both
def test_samples_are_of_the_density(parameterisation):
    num = 40_000
    given = parameters()
    ours, torchs = make(parameterisation, *given), make_torchs(parameterisation, *given)
    samples = ours.sample((num,))
    assert samples.shape == (num, DIM)
    assert samples.dtype == torch.float64
    weights, loc, covariances = torchs.mixture_distribution.probs, given[1], ours.covariance_matrix
    second = (weights[:, None, None] * (covariances + loc.unsqueeze(-1) * loc.unsqueeze(-2))).sum(0)
    for draws, expected in (
        (samples, ours.mean),
        (samples.unsqueeze(-1) * samples.unsqueeze(-2), second),
        (ours.responsibilities(samples), weights),  # E_p[p(k | z)] = pi_k
    ):
        assert ((draws.mean(0) - expected).abs() < 5.0 * draws.std(0) / num**0.5).all()
    # The probability integral transform along directions: a mixture's projection is a mixture of normals.
    for direction in torch.nn.functional.normalize(torch.randn(4, DIM, dtype=torch.float64), dim=-1):
        scale = torch.einsum("i,kij,j->k", direction, covariances, direction).sqrt()
        cdf = torch.distributions.Normal(loc @ direction, scale).cdf((samples @ direction).unsqueeze(-1)) @ weights
        distance = (cdf.sort().values - (torch.arange(num) + 0.5) / num).abs().max()
        assert distance < 1.95 / num**0.5  # Kolmogorov and Smirnov, one in a thousand


@both
def test_samples_of_given_components(parameterisation):
    mixture = make(parameterisation, *parameters())
    component = torch.tensor([2, 0]).repeat(20_000, 1)
    samples = mixture.sample_given(component)
    assert samples.shape == (20_000, 2, DIM)
    for column, k in enumerate((2, 0)):
        centred = samples[:, column] - mixture.loc[k]
        products = centred.unsqueeze(-1) * centred.unsqueeze(-2)
        for draws, expected in ((centred, torch.zeros(())), (products, mixture.covariance_matrix[k])):
            assert ((draws.mean(0) - expected).abs() < 5.0 * draws.std(0) / 20_000**0.5).all()


@both
def test_expand(parameterisation):
    mixture = make(parameterisation, *parameters())
    z = torch.randn(5, DIM, dtype=torch.float64)
    for expanded in (mixture.expand([5]), mixture.expand([5]).expand([2, 5]), mixture.expand([2, 1]).expand([2, 5])):
        assert expanded.event_shape == (DIM,)
        assert expanded.sample().shape == (*expanded.batch_shape, DIM)
        assert expanded.sample((6,)).shape == (6, *expanded.batch_shape, DIM)
        torch.testing.assert_close(expanded.log_prob(z), mixture.log_prob(z).expand(expanded.batch_shape))
    assert mixture.expand([0]).sample().shape == (0, DIM)
    assert mixture.expand([3, 1]).log_prob(z).shape == (3, 5)


@both
def test_in_a_plate(parameterisation):
    mixture = make(parameterisation, *parameters())

    def model(z=None):
        with pyro.plate("observations", 6):
            return pyro.sample("z", mixture, obs=z)

    drawn = model()
    assert drawn.shape == (6, DIM)
    assert len(drawn.unique(dim=0)) == 6
    trace = poutine.trace(model).get_trace(drawn)
    trace.compute_log_prob()
    torch.testing.assert_close(trace.nodes["z"]["log_prob"], mixture.log_prob(drawn))
    torch.testing.assert_close(trace.log_prob_sum(), mixture.log_prob(drawn).sum())


@pytest.mark.parametrize("distance", [1e3, 1e6])
def test_float32_is_finite_far_away_with_the_gradient_of_the_nearest_component(distance):
    mixture = make("scale_tril", *parameters(torch.float32))
    z = torch.full((2, DIM), distance, requires_grad=True)
    log_prob = mixture.log_prob(z)
    (gradient,) = torch.autograd.grad(log_prob.sum(), z)
    assert log_prob.isfinite().all()
    assert gradient.isfinite().all()
    torch.testing.assert_close(mixture.responsibilities(z).sum(-1), torch.ones(2))


@pytest.mark.parametrize("narrowness", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("far_away", [0.0, 1000.0])
def test_float32_of_narrow_components_is_as_good_as_told(narrowness, far_away):
    logits, loc, factor = (p.float() for p in parameters(components=50, dim=10))
    loc, factor = loc + far_away, factor * narrowness
    noise = torch.randn(50, 10, 1, dtype=torch.float64)
    z = (loc.double() + torch.linalg.solve(factor.double().mT, noise).squeeze(-1)).float()
    truth = make("precision_cholesky", logits.double(), loc.double(), factor.double()).log_prob(z.double())
    found = make("precision_cholesky", logits, loc, factor).log_prob(z)
    torch.testing.assert_close(found.double(), truth, rtol=1e-6, atol=1e-5 * narrowness)


def test_validation():
    logits, loc, factor = parameters()
    for wrong in ({}, {"scale_tril": factor, "precision_cholesky": factor}):
        with pytest.raises(ValueError, match="exactly one of scale_tril and precision_cholesky"):
            GaussianMixture(logits.log_softmax(-1), loc, **wrong)
    mixture = make("scale_tril", logits, loc, factor, validate_args=True)
    with pytest.raises(ValueError, match=r"within the support|value argument"):
        mixture.log_prob(torch.full((2, DIM), float("nan"), dtype=torch.float64))
    with pytest.raises(ValueError, match="event_shape"):
        mixture.log_prob(torch.zeros(2, DIM + 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="loc"):
        make("scale_tril", logits, loc * float("nan"), factor, validate_args=True)


def test_components_too_far_to_count_change_neither_density_nor_gradient() -> None:
    torch.manual_seed(0)
    loc = 200.0 * torch.randn(30, 3, dtype=torch.float64)
    z = (loc[:5] + 0.1 * torch.randn(5, 3, dtype=torch.float64)).requires_grad_()
    log_weights = torch.randn(30, dtype=torch.float64).log_softmax(-1)
    mixture = GaussianMixture(log_weights, loc, scale_tril=torch.eye(3, dtype=torch.float64).expand(30, 3, 3))
    assert (mixture.component_log_prob(z).min(-1).values < -700.0).all()
    log_prob = mixture.log_prob(z)
    wanted = torch.logsumexp(log_weights + mixture.component_log_prob(z), -1)
    torch.testing.assert_close(log_prob, wanted, rtol=1e-14, atol=0.0)
    found, truth = (torch.autograd.grad(value.sum(), z, retain_graph=True)[0] for value in (log_prob, wanted))
    torch.testing.assert_close(found, truth, rtol=1e-13, atol=1e-13)
