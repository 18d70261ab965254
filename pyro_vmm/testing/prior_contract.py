"""What every prior must do."""

import copy
import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import Tensor

from pyro_vmm.errors import UserError
from pyro_vmm.priors import Prior
from pyro_vmm.testing.precision import default_dtype

NUM_DRAWS = 20_000
STANDARD_ERRORS = 5.0
"""A Monte Carlo mean further than this from the truth is an error (once in two million times by chance)."""


class PriorContract:
    """Tests that any :class:`~pyro_vmm.priors.Prior` passes: inherit them in a class whose name begins with ``Test``.

    The prior's components must have means and covariances. Use a few latent dimensions (up to about 4): the density is
    integrated by Monte Carlo.
    """

    def make_prior(self) -> Prior:
        """Make a prior, with the same numbers after the same seed; called with either default dtype."""
        raise NotImplementedError

    def _prior(self, dtype: torch.dtype = torch.float64) -> Prior:
        """The prior with its parameters moved off their start, where symmetry could hide a mistake."""
        pyro.set_rng_seed(0)
        with default_dtype(dtype):
            prior = self.make_prior().to(dtype)
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        return prior

    def _points(self, prior: Prior, num: int = 50) -> Tensor:
        return 1.5 * torch.randn(num, prior.latent_dim, dtype=prior.centres.dtype)

    def _mean_and_covariance(self, prior: Prior) -> tuple[Tensor, Tensor]:
        """Of the whole prior, ``[D]`` and ``[D, D]``, from its components."""
        weights, centres = prior.weights.detach(), prior.centres.detach()
        second_moments = prior.covariances.detach() + centres.unsqueeze(-1) * centres.unsqueeze(-2)
        mean = weights @ centres
        return mean, (weights[:, None, None] * second_moments).sum(0) - mean.outer(mean)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("batch_shape", [(), (4,), (3, 4)])
    def test_density_and_responsibilities_of_any_batch(self, batch_shape: tuple[int, ...], dtype: torch.dtype) -> None:
        prior = self._prior(dtype)
        z = torch.randn(*batch_shape, prior.latent_dim, dtype=dtype)
        log_prob, responsibilities = prior.log_prob(z), prior.responsibilities(z)
        assert log_prob.shape == batch_shape
        assert responsibilities.shape == (*batch_shape, prior.num_components)
        assert log_prob.dtype == responsibilities.dtype == dtype
        assert ((responsibilities >= 0.0) & (responsibilities <= 1.0 + 1e-6)).all()
        torch.testing.assert_close(responsibilities.sum(-1), torch.ones(batch_shape, dtype=dtype))
        last = z.reshape(-1, prior.latent_dim)[-1]
        torch.testing.assert_close(log_prob.reshape(-1)[-1], prior.log_prob(last))
        flat = responsibilities.reshape(-1, prior.num_components)
        torch.testing.assert_close(flat[-1], prior.responsibilities(last))

    def test_distribution_has_the_density(self) -> None:
        prior = self._prior()
        distribution, z = prior.distribution(), self._points(prior)
        assert distribution.batch_shape == ()
        assert distribution.event_shape == (prior.latent_dim,)
        torch.testing.assert_close(distribution.log_prob(z), prior.log_prob(z))
        torch.testing.assert_close(distribution.expand([50]).log_prob(z), prior.log_prob(z))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_weights_centres_and_covariances(self, dtype: torch.dtype) -> None:
        prior = self._prior(dtype)
        components, dim = prior.num_components, prior.latent_dim
        weights, centres, covariances = prior.weights, prior.centres, prior.covariances
        assert weights.shape == (components,)
        assert centres.shape == (components, dim)
        assert covariances.shape == (components, dim, dim)
        assert weights.dtype == centres.dtype == covariances.dtype == dtype
        assert (weights >= 0.0).all()
        torch.testing.assert_close(weights.sum(), torch.ones((), dtype=dtype))
        torch.testing.assert_close(covariances, covariances.mT)
        assert (torch.linalg.eigvalsh(covariances.double()) > 0.0).all()

    def test_density_integrates_to_one_and_is_that_of_the_samples(self) -> None:
        """Expectations by importance sampling of the density and by the prior's own samples."""
        prior = self._prior()
        proposal = self._proposal(prior)
        points, samples = proposal.sample((5 * NUM_DRAWS,)), prior.sample(NUM_DRAWS)
        with torch.no_grad():
            importance = (prior.log_prob(points) - proposal.log_prob(points)).exp()
            _assert_mean(importance, torch.ones(()), "the density's integral", at_most=0.02)
            of_points, of_samples = self._statistics(prior, points), self._statistics(prior, samples)
        for name, statistic in of_points.items():
            integrand = importance * statistic
            error = integrand.std() / math.sqrt(len(integrand))
            _assert_mean(of_samples[name], integrand.mean(), name, more_error=error)

    def _proposal(self, prior: Prior) -> dist.MixtureSameFamily:
        """Student's t around each component and around the whole: wider than the prior, so that weights are bounded."""
        mean, covariance = self._mean_and_covariance(prior)
        centres = torch.cat([prior.centres.detach(), mean.unsqueeze(0)])
        covariances = torch.cat([prior.covariances.detach(), covariance.unsqueeze(0)])
        weights = torch.cat([prior.weights.detach(), torch.ones_like(prior.weights[:1])])
        degrees = torch.tensor(3.0, dtype=mean.dtype)
        components = dist.MultivariateStudentT(degrees, centres, torch.linalg.cholesky(covariances))
        return dist.MixtureSameFamily(dist.Categorical(weights), components)

    def _statistics(self, prior: Prior, z: Tensor) -> dict[str, Tensor]:
        mean, covariance = self._mean_and_covariance(prior)
        scaled = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (z - mean).mT, upper=False).mT
        directions = torch.randn(prior.latent_dim, 3, generator=torch.Generator().manual_seed(1), dtype=z.dtype)
        projected = scaled @ (directions / directions.norm(dim=0))
        found = {"log_prob": prior.log_prob(z), "near the mean": (scaled.norm(dim=-1) < 1.0).to(z.dtype)}
        for i in range(3):
            for threshold in (-1.0, 0.0, 1.0):
                found[f"projection {i} below {threshold}"] = (projected[:, i] < threshold).to(z.dtype)
        found |= {f"responsibility {k}": r for k, r in enumerate(prior.responsibilities(z).unbind(-1)[:5])}
        return found

    def test_samples_have_the_mean_and_covariance(self) -> None:
        prior = self._prior()
        mean, covariance = self._mean_and_covariance(prior)
        pyro.set_rng_seed(1)
        _assert_moments(prior.sample(NUM_DRAWS), mean, covariance)

    def test_samples_of_a_component(self) -> None:
        prior = self._prior()
        for component in sorted({0, prior.num_components // 2, prior.num_components - 1}):
            samples = prior.sample(NUM_DRAWS, component=component)
            assert samples.shape == (NUM_DRAWS, prior.latent_dim)
            assert samples.dtype == torch.float64
            assert not samples.requires_grad
            _assert_moments(samples, prior.centres[component].detach(), prior.covariances[component].detach())

    def test_components_make_up_the_whole(self) -> None:
        """Draws of every component, each as often as its weight says, are draws of the prior, tails included."""
        prior = self._prior()
        counts = torch.multinomial(prior.weights.detach(), NUM_DRAWS, replacement=True).bincount(
            minlength=prior.num_components
        )
        drawn = torch.cat([prior.sample(int(count), component=k) for k, count in enumerate(counts) if count])
        with torch.no_grad():
            of_whole = self._statistics(prior, prior.sample(NUM_DRAWS))
            of_components = self._statistics(prior, drawn)
        for name, statistic in of_whole.items():
            error = statistic.std() / math.sqrt(NUM_DRAWS)
            _assert_mean(of_components[name], statistic.mean(), name, more_error=error)

    def test_a_component_that_does_not_exist(self) -> None:
        prior = self._prior()
        for component in (-1, prior.num_components):
            with pytest.raises(UserError, match=f"component {component} does not exist"):
                prior.sample(2, component=component)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_samples_keep_their_dtype_and_number(self, dtype: torch.dtype) -> None:
        prior = self._prior(dtype)
        for num in (0, 1, 3):
            samples = prior.sample(num)
            assert samples.shape == (num, prior.latent_dim)
            assert samples.dtype == dtype
            assert not samples.requires_grad

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_gradient_is_finite_far_away_and_right_near(self, dtype: torch.dtype) -> None:
        prior = self._prior(dtype)
        direction = torch.nn.functional.normalize(torch.randn(20, prior.latent_dim, dtype=dtype), dim=-1)
        for distance in (0.0, 1.0, 1e3):
            z = (distance * direction).requires_grad_()
            log_prob = prior.log_prob(z)
            (gradient,) = torch.autograd.grad(log_prob.sum(), z)
            assert log_prob.isfinite().all()
            assert gradient.isfinite().all()
            assert prior.responsibilities(z).isfinite().all()
        if dtype == torch.float64:
            near = direction[:2].clone().requires_grad_()
            assert torch.autograd.gradcheck(prior.log_prob, (near,))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_empirical_bayes_loss(self, dtype: torch.dtype) -> None:
        prior = self._prior(dtype)
        z = self._points(prior)
        if prior.fitted_by != "empirical-bayes":
            with pytest.raises(NotImplementedError, match=type(prior).__name__):
                prior.empirical_bayes_loss(z)
            return
        loss = prior.empirical_bayes_loss(z)
        assert loss.shape == ()
        assert loss.dtype == dtype
        assert loss.isfinite()
        named = dict(prior.named_parameters())
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        for name, gradient in zip(named, gradients, strict=True):
            assert gradient is not None, f"no gradient into {name}"
            assert gradient.isfinite().all(), f"gradient into {name} is not finite"
            assert (gradient != 0.0).any(), f"gradient into {name} is zero"

    def test_density_has_a_gradient_into_what_the_elbo_fits(self) -> None:
        prior = self._prior()
        named = dict(prior.named_parameters())
        if prior.fitted_by == "nothing":
            assert not named
        if prior.fitted_by != "elbo":
            return
        loss = prior.log_prob(self._points(prior)).sum()
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        for name, gradient in zip(named, gradients, strict=True):
            assert gradient is not None, f"no gradient into {name}"
            assert gradient.isfinite().all(), f"gradient into {name} is not finite"

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_conditioning_on_the_site_values_fixes_every_site(self, dtype: torch.dtype) -> None:
        prior = self._prior(dtype)
        values = prior.site_values()
        drawn = poutine.trace(prior.declare).get_trace()
        fixed = poutine.trace(poutine.condition(prior.declare, data=values)).get_trace()
        assert set(_sample_sites(drawn)) == set(_sample_sites(fixed)) == set(values)
        for name, value in values.items():
            assert not value.requires_grad
            assert value.dtype == drawn.nodes[name]["value"].dtype == dtype
            assert value.shape == drawn.nodes[name]["value"].shape
            torch.testing.assert_close(fixed.nodes[name]["value"], value, rtol=0.0, atol=0.0)
            assert fixed.nodes[name]["is_observed"]
        for trace in (drawn, fixed):
            assert torch.as_tensor(trace.log_prob_sum()).isfinite()
            returned = trace.nodes["_RETURN"]["value"]
            assert returned.event_shape == (prior.latent_dim,)
            assert returned.log_prob(self._points(prior)).isfinite().all()

    def test_two_priors_share_nothing(self) -> None:
        first, second = self._prior(), self._prior()
        shared = {p.data_ptr() for p in first.parameters()} & {p.data_ptr() for p in second.parameters()}
        assert not shared - {0}

    def test_state_dict_holds_the_whole_prior(self) -> None:
        source, target = self._prior(), self._prior()
        with torch.no_grad():
            for parameter in source.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
        z = self._points(source)
        if any(True for _ in source.parameters()):
            assert not torch.equal(source.log_prob(z), target.log_prob(z))
        target.load_state_dict(source.state_dict())
        assert torch.equal(source.log_prob(z), target.log_prob(z))
        assert torch.equal(source.responsibilities(z), target.responsibilities(z))

    def test_a_deep_copy_is_independent(self) -> None:
        prior = self._prior()
        z = self._points(prior)
        duplicate, before = copy.deepcopy(prior), prior.log_prob(z)
        assert torch.equal(duplicate.log_prob(z), before)
        with torch.no_grad():
            for parameter in duplicate.parameters():
                parameter.add_(1.0)
        assert torch.equal(prior.log_prob(z), before)
        if any(True for _ in prior.parameters()):
            assert not torch.equal(duplicate.log_prob(z), before)

    def test_latents_of_another_size_are_refused(self) -> None:
        prior = self._prior()
        for wrong in (prior.latent_dim + 1, prior.latent_dim + 2):
            with pytest.raises((RuntimeError, ValueError)):
                prior.log_prob(torch.zeros(3, wrong, dtype=torch.float64))


def _sample_sites(trace: Any) -> list[str]:
    return [
        name
        for name, node in trace.nodes.items()
        if node["type"] == "sample" and type(node["fn"]).__name__ != "_Subsample"
    ]


def _assert_mean(
    draws: Tensor, expected: Tensor, name: str, *, more_error: Tensor | float = 0.0, at_most: float = math.inf
) -> None:
    """The mean of ``draws [N]`` is ``expected`` within Monte Carlo error, itself no larger than ``at_most``."""
    error = float(torch.hypot(draws.std() / math.sqrt(len(draws)), torch.as_tensor(more_error).to(draws)))
    assert error < at_most, f"{name}: a standard error of {error:.3g} shows nothing"
    distance = abs(float(draws.mean() - expected))
    # One draw in N: what happens so rarely that no draw shows it has a standard error that is found to be zero.
    assert distance <= STANDARD_ERRORS * (error + 1.0 / len(draws)), (
        f"{name}: {float(draws.mean()):.5g} is not {float(expected):.5g} +- {error:.2g}"
    )


def _assert_moments(samples: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Means, and covariances of all pairs, of ``samples [N, D]``."""
    centred = samples - mean
    for i in range(len(mean)):
        _assert_mean(samples[:, i], mean[i], f"mean {i}")
        for j in range(i + 1):
            _assert_mean(centred[:, i] * centred[:, j], covariance[i, j], f"covariance {i}, {j}")
