import pytest
import torch

from pyro_vmm.errors import UserError
from pyro_vmm.networks import MLPDecoder, MLPEncoder


@pytest.mark.parametrize("batch_shape", [(), (7,), (3, 7), (2, 3, 7), (0,)])
@pytest.mark.parametrize("event_shape", [(12,), (3, 4)])
def test_encoder_treats_every_leading_dimension_as_batch(batch_shape, event_shape):
    encoder = MLPEncoder(12, (5,), num_outputs=4)
    x = torch.rand(*batch_shape, *event_shape)
    outputs = encoder(x)
    assert outputs.shape == (*batch_shape, 4)
    torch.testing.assert_close(outputs.reshape(-1, 4), encoder.layers(x.reshape(-1, 12)))


def test_encoder_with_an_event_shape_keeps_a_leading_one_in_the_event():
    x = torch.rand(6, 1, 3, 4)
    assert MLPEncoder(12, (5,), num_outputs=4, event_shape=(1, 3, 4))(x).shape == (6, 4)
    assert MLPEncoder(12, (5,), num_outputs=4)(x).shape == (6, 1, 4)


@pytest.mark.parametrize("batch_shape", [(), (7,), (2, 7), (2, 3, 7), (0,)])
def test_decoder_treats_every_leading_dimension_as_batch(batch_shape):
    decoder = MLPDecoder(3, (5,), event_shape=(2, 4))
    z = torch.randn(*batch_shape, 3)
    outputs = decoder(z)
    assert outputs.shape == (*batch_shape, 2, 4)
    torch.testing.assert_close(outputs.reshape(-1, 8), decoder.layers(z.reshape(-1, 3)))


def test_default_sizes_are_those_of_the_paper():
    encoder = MLPEncoder(784, num_outputs=65)
    decoder = MLPDecoder(10, num_outputs=784)
    assert [layer.out_features for layer in encoder.layers if hasattr(layer, "out_features")] == [500, 500, 2000, 65]
    assert [layer.out_features for layer in decoder.layers if hasattr(layer, "out_features")] == [2000, 500, 500, 784]
    assert decoder(torch.randn(2, 10)).shape == (2, 784)


def test_batch_normalization_pools_all_leading_dimensions():
    torch.manual_seed(0)
    encoder = MLPEncoder(6, (4,), num_outputs=2, normalization="batch")
    normalized = []
    encoder.layers[1].register_forward_hook(lambda module, inputs, output: normalized.append(output))
    outputs = encoder(torch.rand(5, 8, 6))
    assert outputs.shape == (5, 8, 2)
    assert normalized[0].shape == (40, 4)
    torch.testing.assert_close(normalized[0].mean(0), torch.zeros(4), atol=1e-5, rtol=0)


def test_layer_normalization_leaves_observations_independent():
    torch.manual_seed(0)
    encoder = MLPEncoder(6, (4,), num_outputs=2, normalization="layer")
    x = torch.rand(8, 6)
    torch.testing.assert_close(encoder(x)[:1], encoder(x[:1]))


def test_dropout_acts_only_in_training():
    torch.manual_seed(0)
    decoder = MLPDecoder(3, (50,), num_outputs=4, dropout=0.5)
    z = torch.randn(9, 3)
    assert not torch.equal(decoder(z), decoder(z))
    decoder.eval()
    assert torch.equal(decoder(z), decoder(z))


@pytest.mark.parametrize("network", [MLPEncoder(6, (), num_outputs=4), MLPDecoder(6, (), num_outputs=4)])
def test_no_hidden_layer_is_a_linear_map(network):
    a, b, origin = torch.rand(6), torch.rand(6), torch.zeros(6)
    torch.testing.assert_close(network(a + b), network(a) + network(b) - network(origin))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MLPEncoder(6, num_outputs=2)(torch.rand(4, 5)), r"shape \(4, 5\).*num_features=6"),
        (lambda: MLPEncoder(6, num_outputs=2, event_shape=(2, 3))(torch.rand(4, 6)), r"end in \(2, 3\)"),
        (lambda: MLPEncoder(6, num_outputs=2, event_shape=(2, 3))(torch.rand(3)), r"end in \(2, 3\)"),
        (lambda: MLPEncoder(6, num_outputs=2, event_shape=(2, 4)), "holds 8 values, but num_features is 6"),
        (lambda: MLPDecoder(3, num_outputs=2)(torch.rand(4, 5)), r"z to end in \(3,\)"),
        (lambda: MLPDecoder(3), "num_outputs or event_shape"),
        (lambda: MLPDecoder(3, num_outputs=5, event_shape=(2, 2)), "holds 4 values, but num_outputs is 5"),
        (lambda: MLPEncoder(6, (5, 0), num_outputs=2), "hidden layer must be at least 1"),
        (lambda: MLPEncoder(6, num_outputs=2, normalization="group"), "normalization must be"),
        (lambda: MLPEncoder(6, num_outputs=2, dropout=1.0), "dropout must be"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_covariates_stand_beside_the_input_of_the_first_layer():
    encoder = MLPEncoder(4, (5,), num_outputs=3, covariates={"batch": 2, "age": 1})
    x, batch, age = torch.rand(6, 4), torch.rand(6, 2), torch.rand(6, 1)
    expected = encoder.layers(torch.cat([x, batch, age], -1))
    torch.testing.assert_close(encoder(x, batch=batch, age=age, library_size=torch.ones(6)), expected)
    decoder = MLPDecoder(3, (5,), num_outputs=4, covariates={"batch": 2})
    z = torch.randn(7, 6, 3)
    expected = decoder.layers(torch.cat([z, batch.expand(7, 6, 2)], -1).reshape(-1, 5)).reshape(7, 6, 4)
    torch.testing.assert_close(decoder(z, batch=batch), expected)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, r"made for a covariate 'batch' of width 2: give batch="),
        ({"batch": torch.rand(6, 3)}, r"'batch' has shape \(6, 3\): its last dimension must be 2"),
    ],
)
def test_missing_and_misshapen_covariates_are_named(given, sentence):
    with pytest.raises(UserError, match=sentence):
        MLPEncoder(4, (5,), num_outputs=3, covariates={"batch": 2})(torch.rand(6, 4), **given)
    with pytest.raises(UserError, match=sentence):
        MLPDecoder(4, (5,), num_outputs=3, covariates={"batch": 2})(torch.rand(6, 4), **given)
