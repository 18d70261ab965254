import pyro.distributions as dist
import pytest
import torch

from pyro_vmm import UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.networks import MLPEncoder
from pyro_vmm.priors import GaussianMixture, PseudoInputs, StickBreaking, SymmetricDirichlet, VampMixture

KINDS = [StickBreaking, SymmetricDirichlet]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def moved(weights):
    """Weights off their start."""
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.add_(torch.randn_like(parameter))
    return weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_components", [1, 2, 7, 100])
def test_weights_start_equal_and_sum_to_one_wherever_they_go(kind, num_components):
    weights = kind(num_components)
    torch.testing.assert_close(weights.log_weights().exp(), torch.full((num_components,), 1.0 / num_components))
    for scale in (1.0, 10.0, 1e3, 1e6):
        with torch.no_grad():
            for parameter in weights.parameters():
                parameter.copy_(scale * torch.randn_like(parameter))
        log_weights = weights.log_weights()
        assert log_weights.isfinite().all()
        torch.testing.assert_close(log_weights.logsumexp(-1), torch.zeros(()), atol=1e-5, rtol=0.0)
        assert weights.log_prob().isfinite()
        assert weights.concentration > 0.0


def test_stick_breaking_breaks_sticks():
    weights = moved(StickBreaking(4)).double()
    v = weights.sticks
    assert v.shape == (3,)
    expected = [v[0], v[1] * (1 - v[0]), v[2] * (1 - v[0]) * (1 - v[1]), (1 - v[0]) * (1 - v[1]) * (1 - v[2])]
    torch.testing.assert_close(weights.log_weights().exp(), torch.stack(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_set_weights_and_concentration_round_trip(kind):
    given = dist.Dirichlet(torch.full((30,), 0.5)).sample()
    weights = kind(30)
    weights.set_weights(given)
    weights.set_concentration(3.25)
    torch.testing.assert_close(weights.log_weights().exp(), given, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(weights.concentration.detach(), torch.tensor(3.25))
    torch.testing.assert_close(
        weights.concentration_log_prob().detach(), dist.Gamma(1.0, 1.0).log_prob(torch.tensor(3.25))
    )


@pytest.mark.parametrize("concentration", [0.2, 1.0, 40.0])
def test_stick_breaking_density_is_a_sum_of_betas(concentration):
    weights = moved(StickBreaking(6)).double()
    weights.set_concentration(concentration)
    betas = dist.Beta(torch.ones((), dtype=torch.float64), weights.concentration)
    torch.testing.assert_close(weights.log_prob(), betas.log_prob(weights.sticks).sum())


@pytest.mark.parametrize("concentration", [0.2, 1.0, 40.0])
def test_dirichlet_density(concentration):
    weights = moved(SymmetricDirichlet(6)).double()
    weights.set_concentration(concentration)
    shares = (1.0 / (6.0 * weights.concentration)).expand(6)
    torch.testing.assert_close(weights.log_prob(), dist.Dirichlet(shares).log_prob(weights.log_weights().exp()))


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_weights_have_the_mean_of_the_prior(kind):
    weights = kind(3)
    with torch.no_grad():
        drawn = torch.stack([weights.declare().exp() for _ in range(1500)])
    torch.testing.assert_close(drawn.sum(-1), torch.ones(1500))
    # E[v] = E[1 / (1 + a)] = e E1(1) = 0.596347 under a ~ Gamma(1, 1); a Dirichlet's weights have equal means.
    first = 0.596347 if kind is StickBreaking else 1.0 / 3.0
    error = drawn[:, 0].std() / 1500**0.5
    assert (drawn[:, 0].mean() - first).abs() < 4.0 * error


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_learned_concentration_is_a_parameter(kind):
    assert "log_concentration" in dict(kind(3).named_parameters())
    fixed = kind(3, learn_concentration=False)
    assert "log_concentration" not in dict(fixed.named_parameters())
    assert fixed.concentration == 1.0


def test_weights_may_be_given_as_an_object():
    weights = StickBreaking(4)
    assert GaussianMixture(2, 4, weights=weights).mixture_weights is weights
    with pytest.raises(UserError, match="weights has 4 components but the prior has 5"):
        GaussianMixture(2, 5, weights=weights)
    with pytest.raises(UserError, match="weights='flat' is not known"):
        GaussianMixture(2, 5, weights="flat")


@pytest.mark.parametrize(
    ("option", "value"),
    [("inference", "bayes"), ("responsibility_gradient", "no"), ("prior_weight", 0.0), ("prior_weight", float("nan"))],
)
def test_unknown_options_are_named(option, value):
    with pytest.raises(UserError, match=option.replace("_", "[_ ]")):
        GaussianMixture(2, 5, **{option: value})


def dying_mixture(kind, inference, weights):
    options = {"inference": inference, "weights": weights, "prior_weight": 16.0}
    if kind == "gaussian-mixture":
        return GaussianMixture(2, 30, **options)
    guide = AmortizedNormal(MLPEncoder(2, (), num_outputs=5)).requires_grad_(False)
    return VampMixture(2, guide, PseudoInputs(torch.randn(30, 2)), **options)


ALL = [
    (kind, weights, inference)
    for kind in ("gaussian-mixture", "vamp-mixture")
    for weights in ("stick-breaking", "dirichlet")
    for inference in ("mle", "map", "map-dp")
]


@pytest.mark.parametrize(
    ("kind", "weights", "inference", "num_steps", "learning_rate"),
    [
        # Adam travels num_steps * learning_rate at most: a tenth of the steps of ten times the length go as far.
        *((*case, 500, 0.5) for case in ALL),
        ("gaussian-mixture", "stick-breaking", "map-dp", 5000, 0.05),
        ("gaussian-mixture", "dirichlet", "map-dp", 5000, 0.05),
    ],
)
def test_thousands_of_steps_stay_finite_while_components_die(kind, weights, inference, num_steps, learning_rate):
    """Two clusters for thirty components: MAP would send the dying weights to zero and the densities to infinity."""
    prior = dying_mixture(kind, inference, weights)
    z = torch.cat([0.1 * torch.randn(32, 2) - 3.0, 0.1 * torch.randn(32, 2) + 3.0])
    optimiser = torch.optim.Adam(prior.parameters(), lr=learning_rate)
    losses = []
    for _ in range(num_steps):
        optimiser.zero_grad()
        loss = prior.empirical_bayes_loss(z)
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    losses = torch.stack(losses)
    assert losses.isfinite().all()
    assert losses[-100:].mean() < losses[:5].mean()
    for name, parameter in prior.named_parameters():
        assert parameter.isfinite().all(), name
        assert parameter.grad.isfinite().all(), name
    near_and_far = torch.cat([z, 100.0 * z])
    for found in (prior.responsibilities(near_and_far), prior.log_prob(near_and_far), prior.covariances, prior.weights):
        assert found.isfinite().all()
    assert prior.sample(100).isfinite().all()
    torch.testing.assert_close(prior.weights.sum(), torch.ones(()))
    if inference != "mle":
        assert (prior.weights > 0.01).sum() <= 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.25, 0.75], [1.0, 0.0, 0.0, 0.0]])
def test_a_component_can_be_given_no_weight(kind, given):
    weights = kind(4)
    weights.set_weights(torch.tensor(given))
    torch.testing.assert_close(weights.log_weights().exp(), torch.tensor(given), atol=2e-3, rtol=0)
    assert torch.isfinite(weights.log_weights()).all()
