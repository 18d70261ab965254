"""The Student-t likelihood against torch's distribution."""

import pytest
import torch

from pyro_vmm import UserError
from pyro_vmm.likelihoods import StudentT


def test_density_is_that_of_torch():
    torch.manual_seed(0)
    outputs, x = torch.randn(4, 3), torch.randn(4, 3)
    likelihood = StudentT(initial_degrees_of_freedom=7.0, initial_scale=0.3)
    expected = torch.distributions.StudentT(7.0, outputs, 0.3).log_prob(x).sum(-1)
    torch.testing.assert_close(likelihood(outputs).log_prob(x).detach(), expected)


def test_degrees_of_freedom_stay_where_variance_is_finite_and_float32_exact():
    likelihood = StudentT()
    for pushed, least, most in ((-1e4, 2.0, 2.02), (1e4, 101.0, 103.0)):
        with torch.no_grad():
            likelihood.log_excess.fill_(pushed)
        assert least < float(likelihood.degrees_of_freedom.detach()) < most
        assert likelihood(torch.zeros(3)).variance.isfinite().all()
    with torch.no_grad():
        likelihood.log_scale.fill_(-1e4)
    torch.testing.assert_close(likelihood.scale.detach(), torch.tensor(1e-3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial_degrees_of_freedom": 2.0}, "initial_degrees_of_freedom is 2.0"),
        ({"initial_degrees_of_freedom": 1e3}, "between 2.01 and 102"),
        ({"initial_scale": 0.1, "minimum_scale": 0.2}, "initial_scale 0.1 and minimum_scale 0.2"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(UserError, match=message):
        StudentT(**options)
