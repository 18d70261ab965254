"""What every amortised guide must do."""

import math
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor

from pyro_vmm.testing.precision import default_dtype

NUM_DRAWS = 20_000
STANDARD_ERRORS = 5.0


class GuideContract:
    """Tests that any guide with the calls of :class:`~pyro_vmm.guides.AmortizedNormal` passes: inherit them."""

    latent_dim = 3
    num_features = 5

    def make_guide(self) -> Any:
        """Make a guide from ``num_features`` features to ``latent_dim`` latent dimensions, deterministic given ``x``."""
        raise NotImplementedError

    def observations(self, num: int) -> Tensor:
        """Observations ``[num, F]``; uniform on [0, 1] by default."""
        return torch.rand(num, self.num_features)

    def covariates(self, num: int) -> dict[str, Tensor]:
        """Covariates that the encoder needs, by name, ``[num, ...]`` each; none by default."""
        return {}

    def _made(self, dtype: torch.dtype = torch.float64, num: int = 4) -> tuple[Any, Tensor, dict[str, Tensor]]:
        pyro.set_rng_seed(0)
        with default_dtype(dtype):
            return self.make_guide().to(dtype), self.observations(num), self.covariates(num)

    @pytest.mark.parametrize("num", [1, 4, 0])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_shapes(self, dtype: torch.dtype, num: int) -> None:
        guide, x, covariates = self._made(dtype, num)
        posterior = guide.posterior(x, **covariates)
        assert posterior.batch_shape == (num,)
        assert posterior.event_shape == (self.latent_dim,)
        loc, scale_tril = guide.location_and_scale_tril(x, **covariates)
        assert loc.shape == (num, self.latent_dim)
        assert scale_tril.shape == (num, self.latent_dim, self.latent_dim)
        assert loc.dtype == scale_tril.dtype == posterior.sample().dtype == dtype
        if num:  # Pyro has no plates of size zero.
            z = guide(x, **covariates)
            assert z.shape == (num, self.latent_dim)
            assert z.dtype == dtype

    def test_scale_is_lower_triangular_with_a_positive_diagonal(self) -> None:
        guide, x, covariates = self._made()
        _, scale_tril = guide.location_and_scale_tril(x, **covariates)
        assert torch.equal(scale_tril, scale_tril.tril())
        assert (scale_tril.diagonal(dim1=-2, dim2=-1) > 0.0).all()

    def test_location_and_scale_are_those_of_the_posterior(self) -> None:
        guide, x, covariates = self._made()
        with torch.no_grad():
            posterior = guide.posterior(x, **covariates)
            loc, scale_tril = guide.location_and_scale_tril(x, **covariates)
            samples = posterior.sample((NUM_DRAWS,))
        covariance = scale_tril @ scale_tril.mT
        torch.testing.assert_close(posterior.mean, loc)
        torch.testing.assert_close(posterior.variance, covariance.diagonal(dim1=-2, dim2=-1))
        centred = samples - loc
        products = centred.unsqueeze(-1) * centred.unsqueeze(-2)
        for draws, expected in ((samples, loc), (products, covariance)):
            error = draws.std(0) / math.sqrt(NUM_DRAWS)
            assert ((draws.mean(0) - expected).abs() <= STANDARD_ERRORS * error + 1e-6).all()

    def test_log_prob_is_the_gaussian_one(self) -> None:
        guide, x, covariates = self._made()
        posterior = guide.posterior(x, **covariates)
        z = posterior.sample((3,))
        loc, scale_tril = guide.location_and_scale_tril(x, **covariates)
        expected = torch.distributions.MultivariateNormal(loc, scale_tril=scale_tril).log_prob(z)
        torch.testing.assert_close(posterior.log_prob(z), expected)

    def test_call_samples_z_in_the_plate_observations(self) -> None:
        guide, x, covariates = self._made()
        trace = poutine.trace(guide).get_trace(x, **covariates)
        site = trace.nodes["z"]
        assert site["type"] == "sample"
        assert not site["is_observed"]
        assert [(frame.name, frame.dim, frame.size) for frame in site["cond_indep_stack"]] == [("observations", -1, 4)]
        assert site["value"] is trace.nodes["_RETURN"]["value"]
        assert site["value"].shape == (4, self.latent_dim)
        # Pyro writes encoder$$$layers.0.weight for a parameter of a plain module.
        params = {name.replace("$$$", ".") for name, node in trace.nodes.items() if node["type"] == "param"}
        assert params == {name for name, _ in guide.named_parameters()}

    def test_samples_are_differentiable_in_every_parameter(self) -> None:
        guide, x, covariates = self._made()
        posterior = guide.posterior(x, **covariates)
        assert posterior.has_rsample
        named = dict(guide.named_parameters())
        gradients = torch.autograd.grad(posterior.rsample().square().sum(), list(named.values()))
        for name, gradient in zip(named, gradients, strict=True):
            assert gradient.isfinite().all(), f"gradient into {name} is not finite"
            assert (gradient != 0.0).any(), f"gradient into {name} is zero"

    def test_each_observation_speaks_for_itself(self) -> None:
        guide, x, covariates = self._made()
        guide.eval()
        loc, scale_tril = guide.location_and_scale_tril(x, **covariates)
        first = {name: value[:1] for name, value in covariates.items()}
        loc_of_first, scale_of_first = guide.location_and_scale_tril(x[:1], **first)
        torch.testing.assert_close(loc_of_first, loc[:1])
        torch.testing.assert_close(scale_of_first, scale_tril[:1])

    def test_nothing_enters_pyros_global_store(self) -> None:
        pyro.clear_param_store()
        guide, x, covariates = self._made()
        guide(x, **covariates)
        guide.posterior(x, **covariates)
        guide.location_and_scale_tril(x, **covariates)
        assert not list(pyro.get_param_store().keys())

    def test_state_dict_holds_the_whole_guide(self) -> None:
        guide, x, covariates = self._made()
        pyro.set_rng_seed(1)
        with default_dtype(torch.float64):
            other = self.make_guide()
        other.load_state_dict(guide.state_dict())
        guide.eval()
        other.eval()
        mine, others = (each.location_and_scale_tril(x, **covariates) for each in (guide, other))
        assert torch.equal(mine[0], others[0])
        assert torch.equal(mine[1], others[1])
