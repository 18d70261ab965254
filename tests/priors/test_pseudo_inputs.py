import pytest
import torch

from pyro_vmm import UserError
from pyro_vmm.priors import PseudoInputs


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("domain", "observations"),
    [
        ("free", 5.0 * torch.randn(6, 4)),
        ("positive", 0.5 + 100.0 * torch.rand(6, 4)),
        ((-1.0, 1.0), 1.8 * torch.rand(6, 4) - 0.9),
        ((0.0, 255.0), 10.0 + 230.0 * torch.rand(6, 4)),
    ],
)
def test_they_start_at_the_observations(domain, observations):
    inputs, covariates = PseudoInputs(observations, domain=domain)()
    torch.testing.assert_close(inputs.detach(), observations, rtol=1e-4, atol=1e-5)
    assert covariates == {}


@pytest.mark.parametrize(
    ("domain", "observations", "closest"),
    [((0.0, 1.0), torch.tensor([[0.0, 1.0]]), 0.021), ("positive", torch.tensor([[0.0, 3.0]]), 0.011)],
)
def test_observations_on_the_edge_start_just_inside_where_they_can_move(domain, observations, closest):
    pseudo_inputs = PseudoInputs(observations, domain=domain)
    inputs, _ = pseudo_inputs()
    assert ((inputs - observations).abs() < closest).all()
    (gradient,) = torch.autograd.grad(inputs.sum(), pseudo_inputs.unconstrained)
    assert (gradient > 0.009).all()


@pytest.mark.parametrize(("domain", "low", "high"), [("positive", 0.0, torch.inf), ((-2.0, 3.0), -2.0, 3.0)])
def test_they_stay_in_their_domain(domain, low, high):
    pseudo_inputs = PseudoInputs(torch.rand(6, 4), domain=domain)
    with torch.no_grad():
        pseudo_inputs.unconstrained.copy_(1e3 * torch.randn(6, 4))
    inputs, _ = pseudo_inputs()
    assert inputs.isfinite().all()
    assert ((inputs >= low) & (inputs <= high)).all()
    assert inputs.min() < low + 0.1


def test_covariates_start_uniform_and_stay_on_the_simplex():
    pseudo_inputs = PseudoInputs(torch.rand(6, 4), covariates={"batch": 3, "donor": 5})
    _, covariates = pseudo_inputs()
    assert set(covariates) == {"batch", "donor"}
    torch.testing.assert_close(covariates["batch"].detach(), torch.full((6, 3), 1.0 / 3.0))
    torch.testing.assert_close(covariates["donor"].detach(), torch.full((6, 5), 0.2))
    with torch.no_grad():
        for logits in pseudo_inputs.covariate_logits.values():
            logits.copy_(10.0 * torch.randn_like(logits))
    for simplex in pseudo_inputs()[1].values():
        assert (simplex >= 0.0).all()
        torch.testing.assert_close(simplex.sum(-1), torch.ones(6))


def test_they_are_a_copy_of_the_observations():
    observations = torch.rand(6, 4)
    before, pseudo_inputs = observations.clone(), PseudoInputs(observations)
    with torch.no_grad():
        pseudo_inputs.unconstrained.add_(1.0)
    assert torch.equal(observations, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("domain", ["free", "positive", (0.0, 1.0)])
def test_dtype_is_the_observations(dtype, domain):
    pseudo_inputs = PseudoInputs(torch.rand(2, 3, dtype=dtype), domain=domain, covariates={"batch": 2})
    inputs, covariates = pseudo_inputs()
    assert inputs.dtype == covariates["batch"].dtype == dtype


@pytest.mark.parametrize(
    ("initial", "domain", "message"),
    [
        (torch.tensor([[-1.0]]), "positive", "Pseudo-inputs start between -1 and -1, outside their domain 'positive'"),
        (torch.tensor([[0.5, 2.0]]), (0.0, 1.0), r"between 0.5 and 2, outside their domain \(0.0, 1.0\)"),
        (torch.rand(2, 3), "counts", "domain='counts' is not known"),
        (torch.rand(2, 3), (1.0, 0.0), r"domain=\(1.0, 0.0\) is not known"),
        (torch.rand(2, 3), (0.0, 0.5, 1.0), "is not known"),
    ],
)
def test_mistakes_are_named(initial, domain, message):
    with pytest.raises(UserError, match=message):
        PseudoInputs(initial, domain=domain)


def test_continuous_covariates_are_free_and_start_at_the_mean():
    pseudo_inputs = PseudoInputs(torch.rand(6, 4), covariates={"batch": 2}, continuous={"age": 3})
    _, covariates = pseudo_inputs()
    assert set(covariates) == {"batch", "age"}
    assert torch.equal(covariates["age"].detach(), torch.zeros(6, 3))
    covariates["age"].sum().backward()
    assert torch.equal(pseudo_inputs.continuous["age"].grad, torch.ones(6, 3))
