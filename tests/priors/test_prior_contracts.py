"""Every prior of the library, and one of a user's own, keeps the contract."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from pyro_vmm import UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.networks import MLPEncoder
from pyro_vmm.priors import GaussianMixture, Prior, PseudoInputs, StandardNormal, VampMixture, VampPrior
from pyro_vmm.testing import PriorContract

DIM, COMPONENTS, FEATURES = 3, 5, 6


def guide(covariance="full"):
    outputs = AmortizedNormal.num_outputs(DIM, covariance)
    return AmortizedNormal(MLPEncoder(FEATURES, (8,), num_outputs=outputs), covariance)


def spread_pseudo_inputs():
    return PseudoInputs(3.0 * torch.randn(COMPONENTS, FEATURES))


class TestStandardNormal(PriorContract):
    def make_prior(self):
        return StandardNormal(DIM)

    def test_density_is_the_normal_one(self):
        z = torch.randn(10, DIM)
        expected = dist.Normal(0.0, 1.0).expand([DIM]).to_event(1).log_prob(z)
        torch.testing.assert_close(StandardNormal(DIM).log_prob(z), expected)


class TestVampPrior(PriorContract):
    def make_prior(self):
        return VampPrior(DIM, guide(), spread_pseudo_inputs())


class TestVampPriorWithADiagonalGuide(PriorContract):
    def make_prior(self):
        return VampPrior(DIM, guide("diagonal"), torch.randn(COMPONENTS, FEATURES))


class MixtureContract(PriorContract):
    """The contract for all weights, kinds of inference, shapes of precisions and gradients."""

    @pytest.fixture(autouse=True, params=["stick-breaking", "dirichlet"])
    def _weights(self, request):
        self.options = {"weights": request.param}

    @pytest.fixture(
        autouse=True,
        params=[
            {"inference": "mle"},
            {"inference": "map", "diagonal": True, "responsibility_gradient": "differentiated"},
            {"inference": "map-dp"},
        ],
        ids=lambda options: options["inference"],
    )
    def _options(self, request, _weights):
        self.options |= request.param

    def test_conditioned_story_has_the_priors_own_weights_and_precisions(self):
        prior = self._prior()
        story = conditioned(prior)
        torch.testing.assert_close(story.log_weights.exp(), prior.weights.detach())
        torch.testing.assert_close(story.loc, prior.centres.detach())
        cholesky = prior.precisions.cholesky().detach()
        torch.testing.assert_close(torch.linalg.inv(story.covariance_matrix), cholesky @ cholesky.mT)


def conditioned(prior):
    """``p(z)`` as the whole story tells it, its random parameters fixed at the prior's present ones."""
    return pyro.condition(prior.declare, data=prior.site_values())()


class TestGaussianMixture(MixtureContract):
    def make_prior(self):
        return GaussianMixture(DIM, COMPONENTS, **self.options)

    def test_conditioned_story_has_the_priors_own_density(self):
        prior = self._prior()
        z = self._points(prior)
        torch.testing.assert_close(conditioned(prior).log_prob(z), prior.log_prob(z).detach())


class TestVampMixture(MixtureContract):
    def make_prior(self):
        return VampMixture(DIM, guide(), spread_pseudo_inputs(), **self.options)


class TestVampMixtureWithUncertainCentres(MixtureContract):
    @pytest.fixture(autouse=True, params=["integrated", "expected"])
    def _centre_uncertainty(self, request, _options):
        self.options["centre_uncertainty"] = request.param

    def make_prior(self):
        return VampMixture(DIM, guide(), spread_pseudo_inputs(), **self.options)


class TestOneComponentInOneDimension(PriorContract):
    def make_prior(self):
        return GaussianMixture(1, 2, diagonal=True)


class Laplace(Prior):
    """A user's own prior, fitted by the ELBO: independent Laplace coordinates of learned scales."""

    fitted_by = "elbo"

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.log_scale = nn.Parameter(torch.zeros(latent_dim))

    def distribution(self):
        return dist.Laplace(torch.zeros_like(self.log_scale), self.log_scale.exp()).to_event(1)

    def responsibilities(self, z: Tensor) -> Tensor:
        return torch.ones_like(z[..., :1])

    @property
    def weights(self) -> Tensor:
        return torch.ones_like(self.log_scale[:1])

    @property
    def centres(self) -> Tensor:
        return torch.zeros_like(self.log_scale).unsqueeze(0)

    @property
    def covariances(self) -> Tensor:
        return (2.0 * (2.0 * self.log_scale).exp()).diag().unsqueeze(0)


class TestAUsersLaplace(PriorContract):
    def make_prior(self):
        return Laplace(2)


class StudentMixture(Prior):
    """A user's own mixture, with heavy tails: ``p(z) = sum_k pi_k t(z; 5, mu_k, I)``."""

    fitted_by = "elbo"

    def __init__(self, latent_dim: int = DIM, num_components: int = COMPONENTS) -> None:
        super().__init__(latent_dim, num_components)
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.loc = nn.Parameter(4.0 * torch.randn(num_components, latent_dim))

    def mixture(self):
        degrees, identity = torch.tensor(5.0).to(self.loc), torch.eye(self.latent_dim).to(self.loc)
        components = dist.MultivariateStudentT(degrees, self.loc, identity.expand(self.num_components, -1, -1))
        return dist.MixtureSameFamily(dist.Categorical(logits=self.logits), components)

    def distribution(self):
        return self.mixture()

    def responsibilities(self, z: Tensor) -> Tensor:
        whole = self.mixture()
        joint = whole.mixture_distribution.logits + whole.component_distribution.log_prob(z.unsqueeze(-2))
        return joint.softmax(-1)

    @property
    def weights(self) -> Tensor:
        return self.logits.softmax(-1)

    @property
    def centres(self) -> Tensor:
        return self.loc

    @property
    def covariances(self) -> Tensor:
        return 5.0 / 3.0 * torch.eye(self.latent_dim).to(self.loc).expand(self.num_components, -1, -1)


class TestAUsersStudentMixture(PriorContract):
    def make_prior(self):
        return StudentMixture()


class OpaqueStudentMixture(StudentMixture):
    """The same, behind a distribution that the base class knows nothing of."""

    def distribution(self):
        return dist.MaskedDistribution(self.mixture(), True)


class WrittenStudentMixture(OpaqueStudentMixture):
    def sample_component(self, num_samples, component):
        return self.mixture().component_distribution.sample((num_samples,))[:, component]


@pytest.mark.parametrize("test", ["test_samples_of_a_component", "test_components_make_up_the_whole"])
def test_a_mixture_that_draws_its_own_components(test):
    class Contract(PriorContract):
        def make_prior(self):
            return WrittenStudentMixture()

    getattr(Contract(), test)()


def test_draws_that_there_are_not_are_refused():
    prior = GaussianMixture(2, 3)
    for component in (1.5, True, "1"):
        with pytest.raises(UserError, match=f"component {component!r} does not exist"):
            prior.sample(4, component=component)
    for number in (-2, 2.5):
        with pytest.raises(UserError, match=f"num_samples is {number}"):
            prior.sample(number)
    assert len(prior.sample(0, component=torch.tensor(1))) == 0


def test_draws_of_a_component_that_cannot_be_known_are_refused():
    prior = OpaqueStudentMixture()
    assert prior.sample(3).shape == (3, DIM)
    with pytest.raises(
        UserError, match=r"OpaqueStudentMixture .* write the method sample_component\(num_samples, comp"
    ):
        prior.sample(3, component=1)


class GaussianDraws(StudentMixture):
    """What the base class drew of any prior: a Gaussian of the component's mean and covariance."""

    def sample_component(self, num_samples, component):
        return dist.MultivariateNormal(self.loc[component], self.covariances[component]).sample((num_samples,))


def test_the_contract_sees_gaussian_draws_of_a_student_mixture():
    class Contract(PriorContract):
        def make_prior(self):
            return GaussianDraws()

    with pytest.raises(AssertionError):
        Contract().test_components_make_up_the_whole()


class Unnormalised(Laplace):
    def log_prob(self, z):
        return super().log_prob(z) + math.log(1.1)


class WrongScale(Laplace):
    def sample(self, num_samples, component=None):
        return 1.1 * super().sample(num_samples, component)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Unnormalised, "test_density_integrates_to_one_and_is_that_of_the_samples"),
        (WrongScale, "test_density_integrates_to_one_and_is_that_of_the_samples"),
        (WrongScale, "test_samples_have_the_mean_and_covariance"),
        (WrongScale, "test_samples_of_a_component"),
    ],
)
def test_the_contract_sees_a_broken_prior(broken, test):
    class Contract(PriorContract):
        def make_prior(self):
            return broken(2)

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()
