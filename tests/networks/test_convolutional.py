import math

import pytest
import torch

from pyro_vmm.errors import UserError
from pyro_vmm.networks import ConvDecoder, ConvEncoder

IMAGE_SHAPES = [(4, 4), (5, 7), (8, 8), (28, 28), (1, 9, 6), (3, 6, 11)]


@pytest.mark.parametrize("image_shape", IMAGE_SHAPES)
def test_encoder_reads_flat_and_shaped_images_alike(image_shape):
    encoder = ConvEncoder(image_shape, 6, channels=(3, 5), hidden=7)
    images = torch.rand(2, 3, *image_shape)
    outputs = encoder(images)
    assert outputs.shape == (2, 3, 6)
    torch.testing.assert_close(encoder(images.reshape(2, 3, -1)), outputs)
    torch.testing.assert_close(encoder(images[1, 2]), outputs[1, 2])


@pytest.mark.parametrize("image_shape", IMAGE_SHAPES)
@pytest.mark.parametrize("channels", [(5,), (5, 3), (6, 5, 4, 3)])
def test_decoder_returns_exactly_one_logit_for_each_pixel(image_shape, channels):
    decoder = ConvDecoder(4, image_shape, channels=channels, hidden=7)
    z = torch.randn(2, 3, 4)
    logits = decoder(z)
    assert logits.shape == (2, 3, math.prod(image_shape))
    torch.testing.assert_close(decoder(z[1, 2]), logits[1, 2])


@pytest.mark.parametrize("image_shape", [(5, 7), (8, 8)])
def test_every_pixel_reaches_the_encoder_and_is_moved_by_the_decoder(image_shape):
    torch.manual_seed(0)
    images = torch.rand(20, *image_shape, requires_grad=True)
    ConvEncoder(image_shape, 6)(images).pow(2).sum().backward()
    assert (images.grad.abs().sum(0) > 0).all()
    assert (ConvDecoder(4, image_shape)(torch.randn(20, 4)).std(0) > 0).all()


def test_flat_pixels_run_row_by_row():
    torch.manual_seed(0)
    encoder = ConvEncoder((4, 6), 2)
    bright_row = torch.zeros(4, 6)
    bright_row[1] = 1.0
    torch.testing.assert_close(encoder(torch.tensor([0.0] * 6 + [1.0] * 6 + [0.0] * 12)), encoder(bright_row))


def test_no_image_at_all_gives_no_output():
    assert ConvEncoder((8, 8), 6)(torch.rand(0, 64)).shape == (0, 6)
    assert ConvDecoder(4, (8, 8))(torch.rand(0, 4)).shape == (0, 64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ConvEncoder((8, 8), 6)(torch.rand(2, 63)), r"end in \(64,\) or \(8, 8\)"),
        (lambda: ConvDecoder(4, (8, 8))(torch.rand(2, 5)), r"end in \(4,\)"),
        (lambda: ConvEncoder((3, 8), 6), "H and W of at least 4"),
        (lambda: ConvEncoder((32, 32, 3), 6), r"channels last: give \(3, 32, 32\) and observations in that order"),
        (lambda: ConvDecoder(4, (4, 4, 1)), r"channels last: give \(1, 4, 4\)"),
        (lambda: ConvEncoder((3, 3, 3), 6), "H and W of at least 4"),
        (lambda: ConvEncoder((64,), 6), "must be"),
        (lambda: ConvEncoder("ab", 6), "must be"),
        (lambda: ConvEncoder((8.5, 8), 6), "whole numbers"),
        (lambda: ConvDecoder(4, (8, 8), channels=()), "channels"),
        (lambda: ConvDecoder(0, (8, 8)), "latent_dim"),
        (lambda: ConvEncoder((8, 8), 6, hidden=0), "hidden"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
