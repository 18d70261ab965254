"""What every likelihood must do."""

import math

import pyro
import pytest
import torch
from torch import Tensor

from pyro_vmm.likelihoods import Likelihood
from pyro_vmm.testing.precision import default_dtype

NUM_DRAWS = 20_000
STANDARD_ERRORS = 5.0


class LikelihoodContract:
    """Tests that any :class:`~pyro_vmm.likelihoods.Likelihood` passes: inherit them in a class named ``Test...``."""

    num_features = 3
    """``F``; the density is also tested with one feature."""

    normalised = True
    """Whether ``log_prob`` is that of a density: ``False`` for a quasi-likelihood."""

    has_mean = True
    """Whether the distribution has a ``mean`` and draws whose variance is finite."""

    def make_likelihood(self, num_features: int) -> Likelihood:
        """Make a likelihood of ``num_features`` features."""
        raise NotImplementedError

    def covariates(self, num_observations: int) -> dict[str, Tensor]:
        """Covariates that the likelihood needs, by name, ``[num_observations, ...]`` each; none by default."""
        return {}

    def values(self) -> Tensor | None:
        """Every value that a discrete feature may take, up to negligible probability; ``None`` if continuous."""
        return None

    def _made(self, num_features: int, dtype: torch.dtype = torch.float64) -> Likelihood:
        pyro.set_rng_seed(0)
        with default_dtype(dtype):
            return self.make_likelihood(num_features).to(dtype)

    def _outputs(self, likelihood: Likelihood, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        *batch_shape, num_features = shape
        return torch.randn(*batch_shape, likelihood.outputs_per_feature * num_features, dtype=dtype)

    def _covariates(self, num_observations: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        with default_dtype(dtype):
            return self.covariates(num_observations)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("leading_shape", [(), (2,), (2, 5)])
    def test_shapes(self, leading_shape: tuple[int, ...], dtype: torch.dtype) -> None:
        likelihood, batch_shape = self._made(self.num_features, dtype), (*leading_shape, 4)
        outputs = self._outputs(likelihood, *batch_shape, self.num_features, dtype=dtype)
        distribution = likelihood(outputs, **self._covariates(4, dtype))
        assert distribution.batch_shape == batch_shape
        assert distribution.event_shape == (self.num_features,)
        samples = distribution.sample()
        assert samples.shape == (*batch_shape, self.num_features)
        assert samples.dtype == dtype
        one_of_each = samples.reshape(-1, 4, self.num_features)[0]
        log_prob = distribution.log_prob(one_of_each)
        assert log_prob.shape == batch_shape
        assert log_prob.dtype == dtype
        assert distribution.sample((6,)).shape == (6, *batch_shape, self.num_features)

    def test_each_row_of_outputs_speaks_for_itself(self) -> None:
        likelihood, covariates = self._made(self.num_features), self._covariates(4)
        outputs = self._outputs(likelihood, 4, self.num_features)
        whole = likelihood(outputs, **covariates)
        x = whole.sample()
        rows = [
            likelihood(outputs[i : i + 1], **{name: value[i : i + 1] for name, value in covariates.items()}).log_prob(
                x[i : i + 1]
            )
            for i in range(4)
        ]
        torch.testing.assert_close(whole.log_prob(x), torch.cat(rows))
        assert not torch.allclose(whole.log_prob(x), likelihood(outputs.flip(0), **covariates).log_prob(x))

    def test_samples_lie_in_the_data_range(self) -> None:
        likelihood = self._made(self.num_features)
        low, high = likelihood.data_range
        for size in (1.0, 30.0):
            outputs = size * self._outputs(likelihood, 20, self.num_features)
            samples = likelihood(outputs, **self._covariates(20)).sample((100,))
            assert samples.isfinite().all()
            assert (samples >= low).all()
            assert (samples <= high).all()
            values = self.values()
            if values is not None and size == 1.0:
                assert torch.isin(samples, values.to(samples)).all()

    def test_samples_have_the_mean(self) -> None:
        if not self.has_mean:
            pytest.skip("no mean")
        likelihood = self._made(self.num_features)
        with torch.no_grad():
            distribution = likelihood(self._outputs(likelihood, 4, self.num_features), **self._covariates(4))
            samples, mean = distribution.sample((NUM_DRAWS,)), distribution.mean
        assert mean.shape == (4, self.num_features)
        error = samples.std(0) / math.sqrt(NUM_DRAWS)
        assert ((samples.mean(0) - mean).abs() <= STANDARD_ERRORS * error + 1e-6).all()

    def test_density_of_one_feature_sums_to_one(self) -> None:
        if not self.normalised:
            pytest.skip("a quasi-likelihood")
        likelihood = self._made(1)
        outputs = self._outputs(likelihood, 5, 1)
        values = self.values()
        if values is not None:
            points, log_widths = values.to(torch.float64), torch.zeros(len(values), dtype=torch.float64)
        else:
            points, log_widths = _quadrature(*likelihood.data_range)
        with torch.no_grad():
            log_prob = likelihood(outputs, **self._covariates(5)).log_prob(points[:, None, None])
        assert log_prob.shape == (len(points), 5)
        total = torch.logsumexp(log_prob + log_widths[:, None], 0).exp()
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0.0, atol=1e-4)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_gradient_is_finite_at_extreme_outputs(self, dtype: torch.dtype) -> None:
        likelihood, covariates = self._made(self.num_features, dtype), self._covariates(4, dtype)
        x = likelihood(self._outputs(likelihood, 4, self.num_features, dtype=dtype), **covariates).sample()
        for size in (0.0, 30.0):
            signs = self._outputs(likelihood, 4, self.num_features, dtype=dtype).sign()
            outputs = (size * signs).requires_grad_()
            log_prob = likelihood(outputs, **covariates).log_prob(x)
            named = {"outputs": outputs, **dict(likelihood.named_parameters())}
            gradients = torch.autograd.grad(log_prob.sum(), list(named.values()))
            assert log_prob.isfinite().all()
            for name, gradient in zip(named, gradients, strict=True):
                assert gradient.isfinite().all(), f"gradient into {name} is not finite"

    def test_gradient_is_that_of_the_density(self) -> None:
        likelihood, covariates = self._made(self.num_features), self._covariates(2)
        outputs = self._outputs(likelihood, 2, self.num_features).requires_grad_()
        x = likelihood(outputs, **covariates).sample()
        assert torch.autograd.gradcheck(lambda given: likelihood(given, **covariates).log_prob(x), (outputs,))

    def test_two_likelihoods_share_nothing(self) -> None:
        first, second = self._made(self.num_features), self._made(self.num_features)
        shared = {p.data_ptr() for p in first.parameters()} & {p.data_ptr() for p in second.parameters()}
        assert not shared - {0}

    def test_state_dict_holds_the_whole_likelihood(self) -> None:
        source, target = self._made(self.num_features), self._made(self.num_features)
        with torch.no_grad():
            for parameter in source.parameters():
                parameter.add_(0.3)
        target.load_state_dict(source.state_dict())
        outputs, covariates = self._outputs(source, 4, self.num_features), self._covariates(4)
        x = source(outputs, **covariates).sample()
        assert torch.equal(source(outputs, **covariates).log_prob(x), target(outputs, **covariates).log_prob(x))


def _quadrature(low: float, high: float, num_points: int = 200_000) -> tuple[Tensor, Tensor]:
    """Points of an interval, perhaps infinite, and the logarithms of the lengths that they stand for."""
    u = (torch.arange(num_points, dtype=torch.float64) + 0.5) / num_points
    if math.isfinite(low) and math.isfinite(high):
        points, lengths = low + (high - low) * u, torch.full_like(u, high - low)
    elif math.isfinite(low):
        points, lengths = low + u / (1.0 - u), (1.0 - u).square().reciprocal()
    else:
        angle = math.pi * (u - 0.5)
        points, lengths = angle.tan(), math.pi / angle.cos().square()
    return points, lengths.log() - math.log(num_points)
