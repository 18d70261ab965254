"""Pareto k: against arviz where it is installed, and against what is known of the tails."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from pyro_vmm import UserError
from pyro_vmm.diagnosis import pareto_k
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.likelihoods import Normal
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.priors import StandardNormal


@pytest.mark.parametrize("draws", [25, 200, 1000])
def test_agrees_with_arviz(draws: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its next version when imported
        arviz = pytest.importorskip("arviz")
        ratios = np.random.default_rng(0).normal(size=(6, draws)) * np.array([0.1, 0.5, 1.0, 2.0, 4.0, 8.0])[:, None]
        _, expected = arviz.psislw(ratios.copy())
    np.testing.assert_allclose(pareto_k(ratios), expected, rtol=1e-9)


@pytest.mark.parametrize("k", [0.2, 0.5, 0.9])
def test_finds_the_shape_of_pareto_tails(k: float) -> None:
    # A ratio (1 - u)^-k has a Pareto tail of shape k.
    ratios = -k * np.log(np.random.default_rng(1).random((20, 20_000)))
    assert pareto_k(ratios).mean() == pytest.approx(k, abs=0.05)


def test_does_not_depend_on_the_constant_of_the_ratios_nor_on_their_order() -> None:
    ratios = np.random.default_rng(0).normal(size=(3, 100))
    np.testing.assert_allclose(pareto_k(ratios[:, ::-1] - 5000.0), pareto_k(ratios), rtol=1e-6)


def test_rounding_has_no_tail() -> None:
    np.testing.assert_array_equal(pareto_k(np.full((2, 50), -3.0)), 0.0)
    # The exact posterior in float32: a few distinct values, the largest some units in the last place above the others.
    rounded = -1000.0 + 6e-5 * np.random.default_rng(0).integers(-2, 3, size=(5, 100))
    np.testing.assert_array_equal(pareto_k(rounded), 0.0)


def _linear_model(width: float) -> Evaluation:
    """``z ~ N(0, I)``, ``x = (z, z) + N(0, I)``, so the posterior is ``N((x_1 + x_2) / 3, I / 3)``; a guide of this many widths."""
    decoder = nn.Linear(2, 4)
    encoder = nn.Linear(4, 4)
    with torch.no_grad():
        eye = torch.eye(2)
        decoder.weight.copy_(torch.cat((eye, eye)))
        encoder.weight.zero_()
        encoder.weight[:2].copy_(torch.cat((eye, eye), 1) / 3)
        decoder.bias.zero_()
        encoder.bias.zero_()
        encoder.bias[2:] = torch.expm1(torch.tensor(width / 3**0.5 - 1e-4)).log()  # before the softplus
    model = LatentMixtureModel(StandardNormal(2), decoder, Normal(initial_scale=1.0))
    return Evaluation(model, AmortizedNormal(encoder, "diagonal"))


def test_small_for_the_exact_posterior_and_large_for_a_guide_too_narrow() -> None:
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)) * 1.5
    exact, narrow = (pareto_k(_linear_model(width).log_ratios(x, num_samples=200)[0]) for width in (1.0, 0.3))
    assert exact.max() < 0.3
    assert np.median(narrow) > 0.7


def test_mistakes() -> None:
    with pytest.raises(UserError, match="25 draws"):
        pareto_k(np.zeros((3, 24)))
    with pytest.raises(UserError, match="25 draws"):
        pareto_k(np.zeros(100))
    with pytest.raises(UserError, match="no numbers"):
        pareto_k(np.full((1, 30), np.nan))
