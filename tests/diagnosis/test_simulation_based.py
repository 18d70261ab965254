"""Simulation-based calibration on a model whose posterior is known exactly."""

import numpy as np
import pytest
import torch
from torch import nn

from pyro_vmm import UserError
from pyro_vmm.diagnosis import SimulationBasedCalibration, simulation_based_calibration
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.likelihoods import Normal
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.priors import StandardNormal


def linear_gaussian(
    width: float = 1.0, shift: float = 0.0, gain: float = 1.0
) -> tuple[LatentMixtureModel, AmortizedNormal]:
    """``z ~ N(0, I_2)``, ``x = W z + N(0, I_3)``: the posterior is ``N(V W^T x, V)``, ``V = (I + W^T W)^-1``.

    The guide's scale is ``width`` times the posterior's, its mean ``gain`` times the posterior's plus ``shift``.
    """
    weight = torch.tensor([[1.0, 0.5], [-1.0, 2.0], [0.3, 0.3]])
    covariance = torch.linalg.inv(torch.eye(2) + weight.T @ weight)
    factor = width * torch.linalg.cholesky(covariance)
    decoder, encoder = nn.Linear(2, 3), nn.Linear(3, 5)
    with torch.no_grad():
        decoder.weight.copy_(weight)
        decoder.bias.zero_()
        encoder.weight.zero_()
        encoder.weight[:2].copy_(gain * covariance @ weight.T)
        diagonal = torch.expm1(factor.diagonal() - 1e-4).log()
        encoder.bias.copy_(torch.cat((torch.full((2,), shift), diagonal, factor[1, :1])))
    model = LatentMixtureModel(StandardNormal(2), decoder, Normal(initial_scale=1.0))
    return model, AmortizedNormal(encoder, "full")


def calibration(*, num_simulations: int = 1000, num_draws: int = 31, **fault: float) -> SimulationBasedCalibration:
    model, guide = linear_gaussian(**fault)
    return simulation_based_calibration(model, guide, num_simulations=num_simulations, num_draws=num_draws, num_bins=16)


def test_the_exact_posterior_is_calibrated() -> None:
    found = calibration()
    assert found.calibrated
    assert found.p_values.min() > 0.01
    assert found.names == ("z[0]", "z[1]", "log p(x | z)")
    assert found.ranks.shape == (1000, 3)
    assert found.ranks.min() == 0
    assert found.ranks.max() == 31
    np.testing.assert_allclose(found.histograms().sum(1), 1000)
    assert "no sign of a fault" in str(found)


def test_p_values_of_the_exact_posterior_are_spread_over_the_unit_interval() -> None:
    found = calibration(num_simulations=4000)
    blocks = [found.ranks[start : start + 200, 0] * 16 // 32 for start in range(0, 4000, 200)]
    from scipy.stats import chisquare, kstest

    p_values = [chisquare(np.bincount(block, minlength=16)).pvalue for block in blocks]
    assert kstest(p_values, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"width": 0.6}, "too narrow"),
        ({"width": 1.6}, "too wide"),
        ({"shift": 0.3}, "too high"),
        ({"shift": -0.3}, "too low"),
    ],
)
def test_a_guide_that_is_wrong_is_found_and_said_how(options: dict[str, float], word: str) -> None:
    found = calibration(**options)
    assert not found.calibrated
    assert found.p_values[:2].max() < 1e-4
    assert f"z[0]: the guide is {word}" in str(found)
    assert f"z[1]: the guide is {word}" in str(found)


def test_a_guide_that_returns_the_prior_is_found_by_the_likelihood_alone() -> None:
    # The factor of the prior is the identity: width cannot give it, so the encoder is built by hand.
    model_found = calibration()
    encoder = nn.Linear(3, 4)
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.bias.copy_(torch.tensor([0.0, 0.0, 0.5413, 0.5413]))  # softplus(0.5413) = 1
    decoder = nn.Linear(2, 3)
    with torch.no_grad():
        decoder.weight.copy_(torch.tensor([[1.0, 0.5], [-1.0, 2.0], [0.3, 0.3]]))
    model = LatentMixtureModel(StandardNormal(2), decoder, Normal(initial_scale=1.0))
    found = simulation_based_calibration(model, AmortizedNormal(encoder, "diagonal"), num_draws=31)
    assert found.p_values[:2].min() > 0.01
    assert found.p_values[2] < 1e-6
    assert not found.calibrated
    assert model_found.calibrated


def test_the_callers_random_numbers_are_left_alone_and_the_seed_decides() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = calibration(num_simulations=80)
    # Building the model draws random weights, the calibration itself none.
    torch.set_rng_state(before)
    np.testing.assert_array_equal(calibration(num_simulations=80).ranks, first.ranks)
    torch.manual_seed(6)
    np.testing.assert_array_equal(calibration(num_simulations=80).ranks, first.ranks)


class Shifted(nn.Module):
    """A decoder, or an encoder of what it decodes, that adds or takes away a covariate."""

    def __init__(self, network: nn.Module, sign: float) -> None:
        super().__init__()
        self.network, self.sign, self.shift_by = network, sign, 0.0

    def forward(self, values: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        return self.network(values) + shift if self.sign > 0 else self.network(values - shift - self.shift_by)


def test_covariates_reach_model_and_guide_alike() -> None:
    model, guide = linear_gaussian()
    model.decoder = Shifted(model.decoder, 1.0)
    guide.encoder = Shifted(guide.encoder, -1.0)
    shift = 5.0 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    assert simulation_based_calibration(model, guide, {"shift": shift}).calibrated
    guide.encoder.shift_by = 0.5
    assert not simulation_based_calibration(model, guide, {"shift": shift}).calibrated
    with pytest.raises(UserError, match="differ in length: shift 40, other 3"):
        simulation_based_calibration(model, guide, {"shift": shift, "other": torch.ones(3)})


def test_mistakes() -> None:
    with pytest.raises(UserError, match="divide num_draws"):
        calibration(num_draws=30)
    with pytest.raises(UserError, match="at least 80"):
        calibration(num_simulations=79)
