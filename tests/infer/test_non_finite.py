"""A step whose numbers are not finite names the tensor and leaves everything as it was before it."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pyro_vmm.infer import EmpiricalBayesSVI, NonFiniteError, NonFiniteLossError


def state(svi: EmpiricalBayesSVI) -> dict[str, Tensor]:
    """Parameters, buffers and optimisers' moments."""
    found = {
        f"{owner}.{name}": value.clone()
        for owner, module in (("model", svi.model), ("guide", svi.guide))
        for name, value in module.state_dict().items()
    }
    for name, optimizer in svi.optimizers.items():
        for index, moments in copy.deepcopy(optimizer.state_dict()["state"]).items():
            found |= {f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    return found


def changed(before: dict[str, Tensor], now: dict[str, Tensor]) -> list[str]:
    assert before.keys() == now.keys()
    return [name for name in before if not torch.equal(before[name], now[name])]


def spoil_gradient(svi: EmpiricalBayesSVI, name: str, value: float) -> Callable[[], None]:
    """Put ``value`` into one number of a gradient, the loss remaining what it is."""

    def spoilt(gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        gradient.view(-1)[-1] = value
        return gradient

    parameter = {**svi.partition.elbo, **svi.partition.prior}[name]
    return parameter.register_hook(spoilt).remove


@pytest.fixture
def svi(build_svi: Any, make_data: Any) -> EmpiricalBayesSVI:
    """After one step, so that optimisers have moments; batch normalisation in the encoder."""
    made: EmpiricalBayesSVI = build_svi("vamp-mixture", normalization="batch")
    made.step(make_data(16))
    return made


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30], ids=str)
def test_a_finite_loss_with_a_gradient_that_is_not(svi: EmpiricalBayesSVI, make_data: Any, value: float) -> None:
    x, name = make_data(16, seed=1), "decoder.layers.0.weight"
    before, mend = state(svi), spoil_gradient(svi, name, value)
    with pytest.raises(NonFiniteError, match=rf"gradient of {name} is not finite .* at step 1\b") as raised:
        svi.step(x)
    assert (raised.value.tensor, raised.value.step) == (f"gradient of {name}", 1)
    assert not isinstance(raised.value, NonFiniteLossError)
    assert changed(before, state(svi)) == []
    assert svi.steps_taken == 1
    parameters = [*svi.partition.elbo.values(), *svi.partition.prior.values()]
    assert all(parameter.grad is None for parameter in svi.partition.elbo.values())
    assert all(parameter.requires_grad for parameter in parameters)
    mend()
    assert math.isfinite(svi.step(x).elbo)
    assert changed(before, state(svi))


def test_a_gradient_of_the_prior_leaves_the_elbo_update(svi: EmpiricalBayesSVI, make_data: Any) -> None:
    x, before = make_data(16, seed=1), state(svi)
    name = next(iter(svi.partition.prior))
    spoil_gradient(svi, name, math.nan)
    with pytest.raises(NonFiniteError, match=f"gradient of {name}"):
        svi.step(x)
    moved = changed(before, state(svi))
    assert moved
    assert not [name for name in moved if name.startswith(("model.prior.", "prior."))]
    assert all(value.isfinite().all() for value in state(svi).values() if value.is_floating_point())


@pytest.mark.filterwarnings("ignore:Encountered NaN:UserWarning")
@pytest.mark.parametrize("where", ["one row", "everywhere"])
def test_nan_in_a_minibatch_does_not_spoil_running_statistics(
    svi: EmpiricalBayesSVI, make_data: Any, where: str
) -> None:
    before, x = state(svi), make_data(16, seed=1)
    x[3 if where == "one row" else slice(None), 2] = math.nan
    # With batch normalisation all posteriors are NaN, and the prior's Cholesky factorisation may see it first.
    with pytest.raises(NonFiniteError, match=r"The ELBO (is nan|cannot be computed \(.*\)) at step 1\b") as raised:
        svi.step(x)
    assert raised.value.tensor == "ELBO"
    assert changed(before, state(svi)) == []


def test_running_statistics_that_overflow_are_named(svi: EmpiricalBayesSVI, make_data: Any) -> None:
    # Batch normalisation divides such values by their own spread: loss and gradients stay finite.
    before, layer = state(svi), next(m for m in svi.guide.modules() if isinstance(m, nn.BatchNorm1d))
    layer.register_forward_pre_hook(lambda _, inputs: (inputs[0] * 1e19,))
    with pytest.raises(NonFiniteError, match=r"running_var is not finite") as raised:
        svi.elbo_step(make_data(16, seed=1))
    assert raised.value.tensor == "encoder.layers.1.running_var"
    assert changed(before, state(svi)) == []


def test_a_matrix_that_cannot_be_factorised(svi: EmpiricalBayesSVI, make_data: Any, monkeypatch: Any) -> None:
    before, whole = state(svi), svi.elbo_loss

    def failing(x: Tensor) -> Tensor:
        torch.linalg.cholesky(-torch.eye(3))
        return whole(x)

    monkeypatch.setattr(svi, "elbo_loss", failing)
    with pytest.raises(NonFiniteError, match=r"ELBO cannot be computed \(.*cholesky.*\) at step 1"):
        svi.step(make_data(16))
    assert changed(before, state(svi)) == []


def test_an_error_of_another_kind_passes_and_leaves_the_state(svi: EmpiricalBayesSVI, make_data: Any) -> None:
    before = state(svi)
    svi.model.decoder.register_forward_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        svi.step(make_data(16, seed=1))
    assert changed(before, state(svi)) == []


def test_an_encoder_whose_scales_are_no_numbers_is_named(build_svi: Any, make_data: Any) -> None:
    """As after an update at a learning rate far too high."""
    svi = build_svi("gaussian-mixture", covariance="diagonal")
    with torch.no_grad():
        next(svi.guide.parameters()).fill_(math.nan)
    with pytest.raises(
        NonFiniteError, match=r"scale of q\(z \| x\) is not a number at step 0.*Try a lower learning rate"
    ):
        svi.sample_latents(make_data(20))
