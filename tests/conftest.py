"""Small models, guides and inference objects of every kind, for any test file to ask for as fixtures."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pyro
import pytest
import shape_checks  # noqa: F401 - before anything that it checks
import torch
from torch import Tensor, nn

from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.likelihoods import Normal
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks import MLPDecoder, MLPEncoder
from pyro_vmm.priors import GaussianMixture, Prior, StandardNormal, VampMixture, VampPrior

# A test must not depend on how many cores there are, and several test processes must not fight over them.
torch.set_num_threads(1)

LATENT_DIM, NUM_FEATURES, NUM_COMPONENTS = 2, 5, 4
PRIOR_KINDS = ("standard-normal", "vamp-prior", "gaussian-mixture", "vamp-mixture")


class BuildModel(Protocol):
    def __call__(
        self,
        kind: str,
        *,
        seed: int = ...,
        dtype: torch.dtype = ...,
        covariance: Any = ...,
        normalization: Any = ...,
        dropout: float = ...,
        smooth: bool = ...,
        **mixture: Any,
    ) -> tuple[LatentMixtureModel, AmortizedNormal]: ...


def _data(num_observations: int, seed: int, dtype: torch.dtype) -> Tensor:
    """Three clusters in ``NUM_FEATURES`` dimensions, ``[N, F]``."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2.0 * torch.randn(3, NUM_FEATURES, generator=torch.Generator().manual_seed(100), dtype=dtype)
    labels = torch.randint(3, (num_observations,), generator=generator)
    return centres[labels] + 0.3 * torch.randn(num_observations, NUM_FEATURES, generator=generator, dtype=dtype)


def _prior(kind: str, guide: AmortizedNormal, mixture: dict[str, Any]) -> Prior:
    if kind == "standard-normal":
        return StandardNormal(LATENT_DIM)
    if kind == "gaussian-mixture":
        return GaussianMixture(LATENT_DIM, NUM_COMPONENTS, **mixture)
    pseudo_inputs = _data(NUM_COMPONENTS, 7, torch.get_default_dtype())
    if kind == "vamp-prior":
        return VampPrior(LATENT_DIM, guide, pseudo_inputs)
    if kind == "vamp-mixture":
        return VampMixture(LATENT_DIM, guide, pseudo_inputs, **mixture)
    raise ValueError(kind)


def _smooth_network(num_inputs: int, num_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(num_inputs, 6), nn.Tanh(), nn.Linear(6, num_outputs))


def _build_model(
    kind: str,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    covariance: Any = "full",
    normalization: Any = "none",
    dropout: float = 0.0,
    smooth: bool = False,
    **mixture: Any,
) -> tuple[LatentMixtureModel, AmortizedNormal]:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        num_outputs = AmortizedNormal.num_outputs(LATENT_DIM, covariance)
        if smooth:
            encoder, decoder = _smooth_network(NUM_FEATURES, num_outputs), _smooth_network(LATENT_DIM, NUM_FEATURES)
        else:
            encoder = MLPEncoder(
                NUM_FEATURES, (16,), num_outputs=num_outputs, normalization=normalization, dropout=dropout
            )
            decoder = MLPDecoder(LATENT_DIM, (16,), num_outputs=NUM_FEATURES)
        guide = AmortizedNormal(encoder, covariance)
        model = LatentMixtureModel(_prior(kind, guide, mixture), decoder, Normal())
    return model.to(dtype), guide.to(dtype)


@pytest.fixture(params=PRIOR_KINDS)
def prior_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of prior in turn."""
    return request.param


@pytest.fixture(params=("gaussian-mixture", "vamp-mixture"))
def mixture_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of prior that is fitted by empirical Bayes."""
    return request.param


@pytest.fixture
def make_data() -> Callable[..., Tensor]:
    """``make_data(num_observations, seed=0, dtype=torch.float32)``: three clusters in five dimensions, ``[N, 5]``."""

    def make(num_observations: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        return _data(num_observations, seed, dtype)

    return make


@pytest.fixture
def build_model() -> BuildModel:
    """``build_model(kind, seed=..., ...)``: a small model and its guide; the same numbers for the same arguments.

    ``smooth`` networks are twice differentiable everywhere; the others are the library's own, with ``normalization``
    and ``dropout`` in the encoder. Further options go to the mixture prior.
    """
    return _build_model


@pytest.fixture
def build_svi() -> Callable[..., EmpiricalBayesSVI]:
    """``build_svi(kind, svi={...}, **options of build_model)``: the alternating loop around a small model."""

    def build(kind: str, *, svi: dict[str, Any] | None = None, **options: Any) -> EmpiricalBayesSVI:
        return EmpiricalBayesSVI(*_build_model(kind, **options), **{"optim": 1e-2, **(svi or {})})

    return build


@pytest.fixture(autouse=True)
def _no_parameters_left_by_another_test() -> Iterator[None]:
    """Pyro's parameter store is global: what a test puts there must not depend on which tests ran before it."""
    pyro.clear_param_store()
    yield
    pyro.clear_param_store()


@pytest.fixture
def empty_param_store() -> Iterator[None]:
    """Insist that the test leaves the global parameter store empty."""
    yield
    assert not list(pyro.get_param_store().keys())


@pytest.fixture(autouse=True)
def any_processor_multiplies_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sees must not depend on the processor; those of the warning put in numbers of their own."""
    monkeypatch.setattr("pyro_vmm.networks.low_precision.slowdown", lambda device: 0.5)
