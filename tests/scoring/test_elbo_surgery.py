import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import distributions as dist

from pyro_vmm.errors import UserError
from pyro_vmm.scoring import elbo_surgery

NOISE = 0.5  # standard deviation of x given z


class StandardNormalPrior:
    def __init__(self, latent_dim):
        self.density = dist.Independent(dist.Normal(torch.zeros(latent_dim), torch.ones(latent_dim)), 1)

    def log_prob(self, z):
        return self.density.log_prob(z)


class LinearGaussianModel:
    """z ~ Normal(0, I), x given z ~ Normal(z + shift, NOISE^2 I)."""

    def __init__(self, latent_dim=1):
        self.prior = StandardNormalPrior(latent_dim)

    def log_likelihood(self, x, z, shift=None):
        loc = z if shift is None else z + shift
        return dist.Independent(dist.Normal(loc, NOISE), 1).log_prob(x)


class GaussianGuide:
    """q(z | x) = Normal(slope (x - shift), scale^2 I)."""

    def __init__(self, slope, scale, full=False):
        self.slope, self.scale, self.full = slope, scale, full

    def posterior(self, x, shift=None):
        loc = self.slope * (x if shift is None else x - shift)
        if self.full:
            identity = torch.eye(x.shape[-1], dtype=x.dtype).expand(len(x), -1, -1)
            return dist.MultivariateNormal(loc, scale_tril=self.scale * identity)
        return dist.Independent(dist.Normal(loc, torch.full_like(loc, self.scale)), 1)


def exact_guide(**options):
    return GaussianGuide(slope=1 / (1 + NOISE**2), scale=math.sqrt(NOISE**2 / (1 + NOISE**2)), **options)


def observations(num, latent_dim=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return math.sqrt(1 + NOISE**2) * torch.randn(num, latent_dim, generator=generator, dtype=torch.float64)


def normal_log_prob(x, loc, scale):
    return -0.5 * math.log(2 * math.pi) - np.log(scale) - 0.5 * ((x - loc) / scale) ** 2


def integrated_marginal_kl(loc, scale):
    """KL of the even mixture of Normal(loc_m, scale^2) from Normal(0, 1) by the trapezium rule."""
    z = np.linspace(-12.0, 12.0, 20_001)
    log_q = np.logaddexp.reduce(normal_log_prob(z[:, None], loc, scale), axis=1) - math.log(len(loc))
    return np.trapezoid(np.exp(log_q) * (log_q - normal_log_prob(z, 0.0, 1.0)), z)


def test_every_quantity_agrees_with_its_closed_form():
    x, num_samples, slope, scale = observations(40), 4000, 0.6, 0.3
    surgery = elbo_surgery(
        LinearGaussianModel(), GaussianGuide(slope, scale), x, num_samples=num_samples, batch_size=16, seed=1
    )
    x_n = x[:, 0].numpy()
    loc = slope * x_n
    average_kl = np.mean(0.5 * (loc**2 + scale**2 - 1.0) - math.log(scale))
    marginal_kl = integrated_marginal_kl(loc, scale)
    log_likelihood = np.mean(normal_log_prob(x_n, loc, NOISE) - 0.5 * (scale / NOISE) ** 2)
    reconstruction = np.mean(normal_log_prob(x_n, loc, math.sqrt(NOISE**2 + scale**2)))
    # 160,000 samples whose summands have standard deviations below 1.5: four standard errors are 0.015.
    assert surgery.average_kl == pytest.approx(average_kl, abs=0.015)
    assert surgery.marginal_kl == pytest.approx(marginal_kl, abs=0.015)
    assert surgery.mutual_information == pytest.approx(average_kl - marginal_kl, abs=0.015)
    assert surgery.expected_log_likelihood == pytest.approx(log_likelihood, abs=0.015)
    assert surgery.reconstruction_log_prob == pytest.approx(reconstruction, abs=0.015)
    assert (surgery.num_observations, surgery.num_samples) == (40, num_samples)


def test_under_the_exact_posterior_the_importance_weighted_bound_is_log_p_x_with_any_samples():
    x = observations(50, latent_dim=3)
    surgery = elbo_surgery(LinearGaussianModel(3), exact_guide(), x, num_samples=2)
    log_p_x = dist.Normal(0.0, math.sqrt(1 + NOISE**2)).log_prob(x).sum(dim=-1).mean()
    assert surgery.importance_weighted_log_prob == pytest.approx(float(log_p_x), abs=1e-6)
    # The bound is then tight: nothing is lost between the ELBO and log p(x).
    assert surgery.expected_log_likelihood - surgery.average_kl == pytest.approx(float(log_p_x), abs=1e-6)


def test_importance_weights_tighten_the_elbo_of_a_wrong_posterior_towards_log_p_x():
    x = observations(100)
    surgery = elbo_surgery(LinearGaussianModel(), GaussianGuide(0.5, 0.6), x, num_samples=2000)
    log_p_x = float(dist.Normal(0.0, math.sqrt(1 + NOISE**2)).log_prob(x).mean())
    assert surgery.expected_log_likelihood - surgery.average_kl < log_p_x - 0.05
    assert surgery.importance_weighted_log_prob == pytest.approx(log_p_x, abs=0.01)


def test_mutual_information_is_the_difference_of_the_two_divergences_in_the_estimates():
    surgery = elbo_surgery(LinearGaussianModel(2), GaussianGuide(0.7, 0.2), observations(60, 2), num_samples=5)
    assert surgery.mutual_information == pytest.approx(surgery.average_kl - surgery.marginal_kl, abs=1e-12)


def test_mutual_information_is_zero_for_a_blind_encoder_and_log_n_for_one_that_tells_all_apart():
    x = torch.arange(64.0, dtype=torch.float64)[:, None]
    blind = elbo_surgery(LinearGaussianModel(), GaussianGuide(0.0, 1.0), x, num_samples=3, batch_size=10)
    assert blind.mutual_information == pytest.approx(0.0, abs=1e-12)
    assert blind.average_kl == pytest.approx(0.0, abs=1e-12)
    sharp = elbo_surgery(LinearGaussianModel(), GaussianGuide(1.0, 1e-3), x, num_samples=3, batch_size=10)
    assert sharp.mutual_information == pytest.approx(math.log(64), abs=1e-12)


def test_a_full_covariance_posterior_is_the_same_as_its_diagonal_form():
    x = observations(30, latent_dim=2)
    model = LinearGaussianModel(2)
    diagonal = elbo_surgery(model, exact_guide(), x, num_samples=20, batch_size=7)
    full = elbo_surgery(model, exact_guide(full=True), x, num_samples=20, batch_size=7)
    for name, value in diagonal.as_dict().items():
        assert full.as_dict()[name] == pytest.approx(value, abs=1e-5), name


def test_covariates_follow_their_observations_through_batches_and_subset():
    x, shift = observations(50), torch.linspace(-100.0, 100.0, 50, dtype=torch.float64)[:, None]
    options = {"num_samples": 10, "batch_size": 7, "max_observations": 40, "seed": 3}
    plain = elbo_surgery(LinearGaussianModel(), exact_guide(), x, covariates={"shift": None}, **options)
    shifted = elbo_surgery(LinearGaussianModel(), exact_guide(), x + shift, covariates={"shift": shift}, **options)
    assert shifted.num_observations == 40
    for name, value in plain.as_dict().items():
        assert shifted.as_dict()[name] == pytest.approx(value, abs=1e-9), name


def test_the_seed_fixes_the_result_and_the_global_random_state_is_untouched():
    x = observations(50)

    def surgery(seed):
        return elbo_surgery(
            LinearGaussianModel(), GaussianGuide(0.5, 0.5), x, num_samples=4, max_observations=20, seed=seed
        )

    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = surgery(seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert surgery(seed=0) == first
    assert surgery(seed=1).average_kl != first.average_kl


def test_no_broadcast_grows_past_the_memory_limit():
    largest = {"posterior": 0, "likelihood": 0}

    class WatchedNormal(dist.Normal):
        def log_prob(self, value):
            log_density = super().log_prob(value)
            largest["posterior"] = max(largest["posterior"], log_density.numel())
            return log_density

    class WatchedGuide:
        def posterior(self, x):
            return dist.Independent(WatchedNormal(x[:, :4], 0.5), 1)

    class WideModel:
        prior = StandardNormalPrior(4)

        def log_likelihood(self, x, z):
            largest["likelihood"] = max(largest["likelihood"], z.shape[0] * x.numel())
            return -((x - z.mean(dim=-1, keepdim=True)[..., :1] * torch.ones(1)) ** 2).sum(dim=-1)

    # At once this would be 300 x 40 x 300 x 4 = 14 million numbers, and 40 x 300 x 700 = 8 million.
    x = torch.randn(300, 700, generator=torch.Generator().manual_seed(0))
    surgery = elbo_surgery(WideModel(), WatchedGuide(), x, num_samples=40)
    assert surgery.num_observations == 300
    assert 0 < largest["posterior"] <= 1_500_000
    assert 0 < largest["likelihood"] <= 1_500_000


def test_modules_are_evaluated_without_dropout_and_put_back_as_they_were():
    class DroppingModel(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.prior = StandardNormalPrior(1)
            self.dropout = torch.nn.Dropout(0.5)
            self.frozen = torch.nn.Dropout(0.5).eval()

        def log_likelihood(self, x, z):
            return LinearGaussianModel().log_likelihood(self.dropout(x), z)

    class DroppingGuide(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout = torch.nn.Dropout(0.5)

        def posterior(self, x):
            return exact_guide().posterior(self.dropout(x))

    x, model, guide = observations(20), DroppingModel(), DroppingGuide()
    surgery = elbo_surgery(model, guide, x, num_samples=3)
    assert surgery == elbo_surgery(LinearGaussianModel(), exact_guide(), x, num_samples=3)
    assert [module.training for module in (model, model.dropout, model.frozen, guide.dropout)] == [
        True,
        True,
        False,
        True,
    ]


def test_no_gradient_is_recorded_and_the_result_is_frozen():
    weight = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    seen = []

    class LearnableGuide:
        def posterior(self, x):
            seen.append(weight * x)
            return GaussianGuide(1.0, 0.5).posterior(seen[-1])

    surgery = elbo_surgery(LinearGaussianModel(), LearnableGuide(), observations(10), num_samples=2)
    assert not any(loc.requires_grad for loc in seen)
    with pytest.raises(dataclasses.FrozenInstanceError):
        surgery.average_kl = 0.0


@pytest.mark.parametrize("name", ["num_samples", "batch_size", "max_observations"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(UserError, match=name):
        elbo_surgery(LinearGaussianModel(), exact_guide(), observations(5), **{name: 0})


def test_empty_data_and_covariates_of_another_length_are_refused():
    with pytest.raises(UserError, match="at least one"):
        elbo_surgery(LinearGaussianModel(), exact_guide(), torch.zeros(0, 1))
    with pytest.raises(UserError, match="shift has 4 rows"):
        elbo_surgery(LinearGaussianModel(), exact_guide(), observations(5), covariates={"shift": torch.zeros(4, 1)})
