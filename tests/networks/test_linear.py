"""Linear maps by oneDNN: as exact as torch's own, as often differentiable, and only where nothing else is asked for."""

import pytest
import torch
from torch import Tensor, nn

from pyro_vmm.networks import Linear, MLPEncoder
from pyro_vmm.networks import linear as module

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch was built without oneDNN"
)
needs_avx512 = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512", reason="this processor has no AVX-512"
)


@pytest.fixture
def by_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the processor, if only torch has oneDNN."""
    monkeypatch.setattr(module, "_goes_by_onednn", lambda *factors: True)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes of the factors that oneDNN was given."""
    given: list[torch.Size] = []
    apply = module._Affine.apply

    def noted(a: Tensor, b: Tensor, c: Tensor | None) -> Tensor:
        given.append(a.shape)
        result: Tensor = apply(a, b, c)
        return result

    monkeypatch.setattr(module._Affine, "apply", noted)
    return given


def in_double(layer: nn.Linear) -> nn.Linear:
    bias = layer.bias is not None
    exact = nn.Linear(layer.in_features, layer.out_features, bias=bias).double()
    exact.load_state_dict(layer.state_dict())
    return exact


def first_and_second_derivatives(layer: nn.Linear, x: Tensor) -> list[Tensor]:
    parameters = list(layer.parameters())
    value = layer(x).tanh().square().sum()
    first = torch.autograd.grad(value, [x, *parameters], create_graph=True)
    second = torch.autograd.grad(first[0].square().sum() + first[1].square().sum(), [x, *parameters])
    return [*first, *second]


@needs_onednn
@pytest.mark.parametrize("shape", [(1, 70), (33, 70), (3, 5, 70), (70,)])
@pytest.mark.parametrize("bias", [True, False])
def test_results_and_their_derivatives_are_exact_to_rounding(
    shape: tuple[int, ...], bias: bool, by_onednn: None, calls: list[torch.Size]
) -> None:
    torch.manual_seed(0)
    layer = Linear(70, 90, bias=bias)
    exact = in_double(layer)
    x = torch.randn(shape, requires_grad=True)
    torch.testing.assert_close(layer(x).double(), exact(x.double()), rtol=1e-5, atol=1e-6)
    assert len(calls) == 1
    found = first_and_second_derivatives(layer, x)
    wanted = first_and_second_derivatives(exact, x.detach().double().requires_grad_())
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).norm() < 3e-6 * other.norm()


@needs_onednn
def test_only_the_gradients_that_are_wanted_are_computed(by_onednn: None, calls: list[torch.Size]) -> None:
    layer = Linear(70, 90)
    layer(torch.randn(8, 70)).sum().backward()
    assert calls == [(8, 70), (90, 8)]  # forward and the gradient of the weight, none of the data


@needs_onednn
def test_factors_need_not_be_contiguous(by_onednn: None) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(70, 90).T, torch.randn(70, 12).T
    torch.testing.assert_close(module.linear(x.requires_grad_(), weight), x @ weight.T, rtol=1e-5, atol=1e-5)


@needs_onednn
@needs_avx512
def test_wide_layers_in_float32_go_by_onednn(calls: list[torch.Size]) -> None:
    Linear(70, 90)(torch.randn(16, 70))
    assert calls == [(16, 70)]


@needs_onednn
def test_where_nothing_is_trained_onednn_is_given_whole_rows(by_onednn: None, calls: list[torch.Size]) -> None:
    """A process that predicts for any number of rows would have it compile, and keep, any number of products."""
    layer = Linear(70, 90)
    x = torch.randn(40, 70)
    with torch.no_grad():
        for rows in range(1, 41):
            torch.testing.assert_close(layer(x[:rows]), nn.functional.linear(x[:rows], layer.weight, layer.bias))
    assert set(calls) == {(16, 70), (32, 70)}
    layer.requires_grad_(False)(torch.randn(2, 24, 70))
    assert calls[-1] == (48, 70)


@pytest.mark.parametrize(("num_inputs", "num_outputs"), [(63, 200), (200, 63)])
def test_narrow_layers_are_left_to_torch(num_inputs: int, num_outputs: int, calls: list[torch.Size]) -> None:
    Linear(num_inputs, num_outputs)(torch.randn(8, num_inputs))
    assert not calls


def test_what_torch_is_asked_for_otherwise_stays_torchs(
    calls: list[torch.Size], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = Linear(70, 90), torch.randn(16, 70)
    assert Linear(70, 90).double()(x.double()).dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert Linear(70, 90)(torch.empty(0, 70)).shape == (0, 90)
    with monkeypatch.context() as context:
        context.setattr(torch.backends.mkldnn, "enabled", False)
        layer(x)
    with monkeypatch.context() as context:
        context.setattr(module, "HAS_ONEDNNS_PRODUCT", False)
        layer(x)
    rows = torch.func.vmap(lambda row: torch.func.functional_call(layer, dict(layer.named_parameters()), (row,)))(x)
    torch.testing.assert_close(rows, layer.double()(x.double()).float(), rtol=1e-5, atol=1e-6)
    assert not calls


@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")  # torch, on Python 3.13.0
def test_a_compiled_layer_is_the_compilers(calls: list[torch.Size]) -> None:
    assert torch.compile(Linear(70, 90), backend="eager", fullgraph=True)(torch.randn(16, 70)).shape == (16, 90)
    assert not calls


def test_a_wrong_width_is_told_as_torch_tells_it(by_onednn: None) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Linear(70, 90)(torch.randn(8, 71))


def test_networks_start_with_the_weights_they_would_have_had() -> None:
    torch.manual_seed(0)
    encoder = MLPEncoder(70, (80,), num_outputs=4)
    assert [type(layer) for layer in encoder.modules() if isinstance(layer, nn.Linear)] == [Linear, Linear]
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(70, 80), nn.Linear(80, 4))
    for layer in plain:
        assert isinstance(layer, nn.Linear)
        nn.init.xavier_uniform_(layer.weight)
    weights = [layer.weight for layer in encoder.modules() if isinstance(layer, nn.Linear)]
    assert all(torch.equal(ours, theirs.weight) for ours, theirs in zip(weights, plain, strict=True))
