import numpy as np
import pytest
import scipy.stats
import torch

from pyro_vmm.priors.precisions import Precisions, wishart_log_prob


def lower_factors(*batch_shape, dim):
    torch.manual_seed(dim)
    return torch.linalg.cholesky(
        torch.eye(dim, dtype=torch.float64) + (a := torch.randn(*batch_shape, dim, dim, dtype=torch.float64)) @ a.mT
    )


@pytest.mark.parametrize("dim", [1, 2, 5, 10])
@pytest.mark.parametrize(("extra_degrees", "scale"), [(0.5, 1.0), (2.0, 0.3), (20.0, 7.0)])
def test_density_is_scipys(dim, extra_degrees, scale):
    cholesky = lower_factors(3, 2, dim=dim)
    found = wishart_log_prob(cholesky, dim + extra_degrees, scale)
    assert found.shape == (3, 2)
    wishart = scipy.stats.wishart(df=dim + extra_degrees, scale=scale * np.eye(dim))
    expected = [[wishart.logpdf((each @ each.T).numpy()) for each in row] for row in cholesky]
    np.testing.assert_allclose(found.numpy(), np.array(expected, dtype=float).reshape(3, 2), rtol=1e-10)


@pytest.mark.parametrize(("dim", "components"), [(1, 4), (2, 9), (10, 100), (30, 100)])
def test_hyper_prior_gives_each_component_its_share_of_the_unit_ball(dim, components):
    precisions = Precisions(dim, components).double()
    mean = precisions.degrees_of_freedom * precisions.scale
    assert precisions.degrees_of_freedom == dim + 2
    # Balls whose squared radius is the inverse of the mean precision fill the unit ball: K (mean ** -0.5) ** D = 1.
    assert components * mean ** (-0.5 * dim) == pytest.approx(1.0)
    wishart = scipy.stats.wishart(df=dim + 2, scale=components ** (2 / dim) / (dim + 2) * np.eye(dim))
    np.testing.assert_allclose(wishart.mean(), components ** (2 / dim) * np.eye(dim))
    found = precisions.log_prob().detach().numpy()
    np.testing.assert_allclose(found, np.full(components, wishart.logpdf(np.eye(dim))), rtol=1e-9)


@pytest.mark.parametrize("diagonal", [False, True])
def test_cholesky_round_trips_and_is_a_factor(diagonal):
    cholesky = lower_factors(6, dim=4)
    if diagonal:
        cholesky = torch.diag_embed(cholesky.diagonal(dim1=-2, dim2=-1))
    precisions = Precisions(4, 6, diagonal=diagonal).double()
    precisions.set_cholesky(cholesky)
    torch.testing.assert_close(precisions.cholesky().detach(), cholesky)
    torch.testing.assert_close(precisions.site_values()["precisions"].detach(), cholesky @ cholesky.mT)
    names = set(dict(precisions.named_parameters()))
    assert names == ({"log_diagonal"} if diagonal else {"log_diagonal", "off_diagonal"})


def test_factor_stays_lower_triangular_and_finite_wherever_its_parameters_go():
    precisions = Precisions(3, 5)
    for scale in (1.0, 1e2, 1e6):
        with torch.no_grad():
            for parameter in precisions.parameters():
                parameter.copy_(scale * torch.randn_like(parameter))
        cholesky = precisions.cholesky()
        assert torch.equal(cholesky, cholesky.tril())
        diagonal = cholesky.diagonal(dim1=-2, dim2=-1)
        assert ((diagonal > 0.99e-4) & (diagonal < 1.01e4)).all()
