"""Networks that multiply in bfloat16 in their wide layers."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from pyro_vmm.networks.linear import Linear
from pyro_vmm.networks.low_precision import (
    LowPrecisionConv2d,
    LowPrecisionConvTranspose2d,
    LowPrecisionLinear,
    lower_precision,
    slowdown,
)
from pyro_vmm.single_cell import simulate_cells


def kinds(network: nn.Module) -> list[type[nn.Module]]:
    return [type(layer) for layer in network.modules() if hasattr(layer, "weight")]


def relative_error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).detach().norm() / wanted.detach().norm())


def test_wide_layers_are_lowered_and_narrow_ones_and_an_encoders_last_are_not() -> None:
    encoder = MLPEncoder(100, (80, 30, 80), num_outputs=90)
    lower_precision(encoder, spare_the_last=True)
    assert kinds(encoder) == [LowPrecisionLinear, Linear, Linear, Linear]
    decoder = MLPDecoder(10, (80,), num_outputs=200)
    lower_precision(decoder)
    assert kinds(decoder) == [Linear, LowPrecisionLinear]


def test_a_layer_of_ones_own_class_is_left_alone() -> None:
    class Own(nn.Linear):
        pass

    network = nn.Sequential(Own(100, 100), nn.Linear(100, 100))
    lower_precision(network)
    assert kinds(network) == [Own, LowPrecisionLinear]


@pytest.mark.parametrize("bias", [True, False])
def test_results_and_gradients_come_close_and_are_rounded(bias: bool) -> None:
    torch.manual_seed(0)
    full = nn.Sequential(nn.Linear(128, 256, bias=bias), nn.Tanh(), nn.Linear(256, 100, bias=bias))
    low = copy.deepcopy(full)
    lower_precision(low)
    assert list(low.state_dict()) == list(full.state_dict())
    x = torch.randn(64, 128)
    assert low(x).dtype == torch.float32
    assert 1e-5 < relative_error(low(x), full(x)) < 0.01
    for network in (low, full):
        network(x).square().sum().backward()
    for found, wanted in zip(low.parameters(), full.parameters(), strict=True):
        assert found.grad is not None
        assert wanted.grad is not None
        assert found.grad.dtype == torch.float32
        assert relative_error(found.grad, wanted.grad) < 0.02
    torch.testing.assert_close(copy.deepcopy(low)(x), low(x))


def test_a_large_bias_is_not_rounded() -> None:
    layer = nn.Linear(64, 64)
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, -9.87654)
    lower_precision(layer)
    torch.testing.assert_close(layer(torch.randn(3, 64)), layer.bias.expand(3, -1), rtol=0.0, atol=0.0)


def test_convolutions() -> None:
    torch.manual_seed(0)
    encoder, decoder = ConvEncoder((28, 28), num_outputs=20), ConvDecoder(10, (28, 28))
    images, latents = torch.rand(8, 784), torch.randn(8, 10)
    wanted = encoder(images), decoder(latents)
    lower_precision(encoder, spare_the_last=True)
    lower_precision(decoder)
    assert LowPrecisionConv2d in kinds(encoder)
    assert LowPrecisionConvTranspose2d in kinds(decoder)
    for found, full in zip((encoder(images), decoder(latents)), wanted, strict=True):
        assert found.dtype == torch.float32
        assert 1e-6 < relative_error(found, full) < 0.03


def test_cells_train_as_well_and_their_embedding_is_not_rounded(tmp_path) -> None:
    adata = simulate_cells(400, 120, num_groups=3, seed=0)
    SingleCellVMM.setup_anndata(adata)
    elbos, models = [], []
    for low_precision in (False, True):
        model = SingleCellVMM(adata, num_components=10, low_precision=low_precision)
        model.train(max_epochs=15, batch_size=64, accelerator="cpu")
        elbos.append(model.history["elbo_validation"].iloc[-1, 0])
        models.append(model)
    assert elbos[1] == pytest.approx(elbos[0], rel=0.005)
    assert elbos[1] != elbos[0]
    latents = torch.from_numpy(models[1].get_latent_representation())
    assert (latents != latents.bfloat16().float()).float().mean() > 0.9
    models[1].save(tmp_path / "model")
    loaded = SingleCellVMM.load(tmp_path / "model", adata)
    assert kinds(loaded.guide.encoder) == kinds(models[1].guide.encoder)
    assert LowPrecisionLinear in kinds(loaded.guide.encoder)
    torch.testing.assert_close(torch.from_numpy(loaded.get_latent_representation()), latents)


def test_a_processor_without_bfloat16_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_vmm.networks.low_precision.slowdown", lambda device: {"cpu": 7.6}[device.type])
    adata = simulate_cells(60, 20, num_groups=2, seed=0)
    SingleCellVMM.setup_anndata(adata)
    x, told = torch.rand(60, 4).numpy(), "takes 8 times as long .* Leave it out"
    for low_precision in (False, True):
        expected = pytest.warns(UserWarning, match=told) if low_precision else nullcontext([])
        table = VMM(num_components=3, max_epochs=1, device="cpu", verbose=False, low_precision=low_precision)
        cells = SingleCellVMM(adata, num_components=3, low_precision=low_precision)
        with expected as of_table:
            table.fit(x)
        with expected as of_cells:
            cells.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
        # It points at the line above that asked for the training.
        assert {warning.filename for warning in (*of_table, *of_cells)} == ({__file__} if low_precision else set())


def test_the_slowdown_is_timed_once_and_on_processors_only() -> None:
    assert slowdown(torch.device("cuda")) == 0.0
    assert slowdown(torch.device("cpu")) > 0.0
    assert slowdown(torch.device("cpu")) == slowdown(torch.device("cpu"))
