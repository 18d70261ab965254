"""Collapse, information and guide: posteriors made to fail, and sound ones."""

import numpy as np
import pytest
import torch

from pyro_vmm.diagnosis.guide_quality import guide_quality
from pyro_vmm.diagnosis.lost_structure import information_in_embedding, reconstruction, reconstruction_gain
from pyro_vmm.diagnosis.pareto_k import pareto_k, reliable_up_to
from pyro_vmm.diagnosis.posterior_collapse import posterior_collapse
from pyro_vmm.diagnosis.posteriors import Posteriors
from pyro_vmm.evaluation import Evaluation

RNG = np.random.default_rng(0)


def posteriors(spread: list[float], scale: list[float], number: int = 500) -> Posteriors:
    """Means of standard deviation ``spread [D]``, posteriors of standard deviation ``scale [D]``."""
    loc = np.random.default_rng(1).normal(size=(number, len(spread))) * spread
    return Posteriors(loc, np.broadcast_to(np.diag(scale), (number, len(scale), len(scale))))


def test_dimensions_that_do_not_vary_are_counted_and_named() -> None:
    idle = posterior_collapse(posteriors([1.0, 0.01, 0.9, 0.01], [0.3, 1.0, 0.4, 1.0]), 500)
    assert idle.severity == "notice"
    assert "2 of 4 latent dimensions vary" in idle.sentence
    assert "idle: 1, 3." in idle.sentence
    assert idle.value == 0.5
    gone = posterior_collapse(posteriors([0.01, 0.02], [1.0, 1.0]), 500)
    assert gone.severity == "warning"
    assert posterior_collapse(posteriors([1.0, 0.5], [0.1, 0.8]), 500).severity == "fine"


def test_activity_does_not_depend_on_the_scale_of_the_latents() -> None:
    small = posterior_collapse(posteriors([1e-3, 1e-3], [1e-4, 1e-4]), 500)
    assert small.severity == "fine"
    large = posterior_collapse(posteriors([1.0, 1.0], [50.0, 50.0]), 500)
    assert large.severity == "warning"


def test_idle_directions_are_seen_where_they_are_oblique_to_the_axes() -> None:
    along = posteriors([1.0, 0.9, 0.01, 0.01, 0.01], [0.3, 0.4, 1.0, 1.0, 1.0])
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    factor = np.linalg.cholesky(turn @ along.scale_tril @ along.scale_tril.swapaxes(-1, -2) @ turn.T)
    turned = Posteriors(along.loc @ turn.T, factor)
    assert (turned.informed_share() > 0.01).all()
    np.testing.assert_allclose(turned.along_directions().informed_share(), np.sort(along.informed_share()), atol=0.01)
    found = posterior_collapse(turned, 500)
    assert found.severity == "notice"
    assert "2 of 5 latent dimensions vary" in found.sentence
    assert "oblique" in found.sentence
    assert found.value == pytest.approx(0.6)


def test_means_that_vary_and_tell_next_to_nothing_have_collapsed() -> None:
    hardly = posterior_collapse(posteriors([0.2, 0.2, 0.2], [1.0, 1.0, 1.0]), 500)
    assert "3 of 3 latent dimensions vary" in hardly.sentence
    assert hardly.severity == "warning"


def test_few_draws_are_asked_for_a_lower_k() -> None:
    assert reliable_up_to(100) == pytest.approx(0.5)
    assert reliable_up_to(10_000) == 0.7
    # The mean of weights 1 / u^0.6, u uniform: their tail is Pareto's of k = 0.6, too heavy for a hundred draws.
    ratios = -0.6 * np.log(np.random.default_rng(0).random((200, 100)))
    assert 0.5 < np.median(pareto_k(ratios)) < 0.7
    assert guide_quality(ratios, 200).severity == "notice"
    assert guide_quality(-0.6 * np.log(np.random.default_rng(0).random((50, 5000))), 50).severity == "fine"


def test_the_divergence_of_each_dimension_is_told_for_a_standard_normal_prior() -> None:
    exact = posteriors([1.0, 1e-9], [0.5, 1.0], 20_000)
    # E[m^2] = 1, s = 0.5: (1 + 0.25 - 1 + log 4) / 2.
    np.testing.assert_allclose(exact.standard_normal_kl(), [0.8181, 0.0], atol=0.02)
    assert "KL" in posterior_collapse(posteriors([1.0], [0.5]), 500, standard_normal=True).sentence
    assert "KL" not in posterior_collapse(posteriors([1.0], [0.5]), 500).sentence


def test_information_is_that_of_a_gaussian_channel() -> None:
    channel = posteriors([1.0, 2.0], [0.5, 1.0])
    # 0.5 log(1 + spread^2 / scale^2) in each dimension, and their sum as they are independent.
    each = 0.5 * np.log(1 + 4.0)
    np.testing.assert_allclose(channel.information_by_dimension(), each, atol=0.12)
    assert channel.information() == pytest.approx(2 * each, abs=0.2)


def test_information_follows_a_full_covariance() -> None:
    factor = np.array([[0.3, 0.0], [2.0, 0.4]])
    loc = RNG.normal(size=(500, 2))
    turned = Posteriors(loc @ factor.T, np.broadcast_to(factor, (500, 2, 2)))
    white = Posteriors(loc, np.broadcast_to(np.eye(2), (500, 2, 2)))
    assert turned.information() == pytest.approx(white.information(), abs=1e-6)


def test_an_embedding_that_knows_nothing_is_told() -> None:
    nothing = information_in_embedding(posteriors([0.1, 0.1], [1.0, 1.0]), [250, 250], 500)
    assert nothing.severity == "warning"
    sound = information_in_embedding(posteriors([1.0, 1.0], [0.2, 0.2]), [250, 250], 500)
    assert sound.severity == "fine"
    assert sound.value > 2
    # Twenty clusters of one size claim log 20, three nats; the latents tell less than one.
    claims = information_in_embedding(posteriors([1.0], [0.5]), np.full(20, 25), 500)
    assert claims.severity == "notice"
    assert "its cluster claims 3.00" in claims.sentence


def test_a_decoder_that_ignores_its_latents_gains_nothing(build_model, make_data) -> None:
    model, guide = build_model("vamp-mixture", seed=3)
    x = make_data(64)[torch.randperm(64, generator=torch.Generator().manual_seed(0))]
    with torch.no_grad():
        for name, parameter in model.decoder.named_parameters():
            if name.endswith("weight"):
                parameter.zero_()
    gain = reconstruction_gain(Evaluation(model, guide), x)
    assert gain == pytest.approx(0.0, abs=1e-5)
    assert reconstruction(gain, 64, 64).severity == "warning"


def test_another_observations_latent_is_the_neighbours_in_random_order(build_model, make_data) -> None:
    model, guide = build_model("vamp-mixture", seed=3)
    x = make_data(64)
    evaluation = Evaluation(model, guide)
    gain = reconstruction_gain(evaluation, x)
    with torch.no_grad(), evaluation.own_noise():
        z = guide.posterior(x).sample()
        by_hand = (model.log_likelihood(x, z) - model.log_likelihood(x, z.roll(1, 0))).mean()
    assert gain == pytest.approx(float(by_hand), rel=1e-4)
    assert reconstruction(3.0, 64, 64).severity == "fine"


def test_a_guide_with_light_tails_is_told() -> None:
    z = RNG.normal(size=(60, 100, 3))
    exact = guide_quality(np.zeros((60, 100)), 60)
    assert exact.severity == "fine"
    assert exact.value == 0.0

    def of_width(width: float) -> np.ndarray:
        """``log p - log q`` at draws from ``Normal(0, width^2 I)``, up to a constant, for a standard normal posterior."""
        return (-0.5 * (width * z) ** 2 + 0.5 * z**2).sum(-1)

    assert guide_quality(of_width(0.3), 60).severity == "notice"
    assert guide_quality(of_width(1.1), 60).severity == "fine"
