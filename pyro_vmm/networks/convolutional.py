"""Small convolutional encoder and decoder for images of any size from 4 x 4 upwards."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from pyro_vmm.errors import UserError
from pyro_vmm.networks.initialisation import glorot_uniform
from pyro_vmm.networks.linear import Linear
from pyro_vmm.plain_values import plain
from pyro_vmm.shapes import Float, Real


class ConvEncoder(nn.Module):
    """Strided convolutions from an image to the parameters of its approximate posterior.

    Each convolution halves height and width, rounding up, so odd sizes lose no border pixel.

    Parameters
    ----------
    image_shape
        ``(H, W)`` or ``(C, H, W)``, with H and W at least 4; ``(H, W)`` means C = 1.
    num_outputs
        Number of values returned for each image.
    channels
        Output channels of each convolution, image side first.
    hidden
        Width of the fully connected layer before the output.

    Raises
    ------
    UserError
        If a size is outside its domain.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_outputs: int,
        channels: Sequence[int] = (32, 64),
        hidden: int = 256,
    ) -> None:
        super().__init__()
        num_channels, height, width = channels_height_width(image_shape)
        _check_sizes(num_outputs=num_outputs, hidden=hidden, channels=min(channels, default=0))
        self.image_shape = tuple(plain(image_shape))
        self.num_outputs = num_outputs
        self._chw = (num_channels, height, width)
        layers: list[nn.Module] = []
        for num_out in channels:
            layers += [nn.Conv2d(num_channels, num_out, kernel_size=3, stride=2, padding=1), nn.ReLU()]
            num_channels = num_out
        height, width = _halved_sizes((height, width), len(channels))[-1]
        layers += [nn.Flatten(), Linear(num_channels * height * width, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers, Linear(hidden, num_outputs))
        glorot_uniform(self.layers)

    def forward(self, x: Real[Tensor, "..."]) -> Float[Tensor, "*batch num_outputs"]:
        """Encode images.

        Parameters
        ----------
        x
            Images, flattened ``[..., C * H * W]`` or shaped ``[..., *image_shape]``.

        Returns
        -------
        Tensor
            ``[..., num_outputs]``.

        Raises
        ------
        UserError
            If ``x`` ends in neither shape.
        """
        batch_shape = x.shape[: x.ndim - self._num_event_dims(x)]
        images = x.reshape(math.prod(batch_shape), *self._chw)
        outputs: Tensor = self.layers(images)
        return outputs.reshape(*batch_shape, self.num_outputs)

    def _num_event_dims(self, x: Tensor) -> int:
        """Count the trailing dimensions of ``x`` that make one image.

        A flat and a shaped image cannot be confused: W = C * H * W would need H = 1.
        """
        shape = tuple(x.shape)
        for event_shape in ((math.prod(self._chw),), self.image_shape):
            if shape[-len(event_shape) :] == event_shape:
                return len(event_shape)
        raise UserError(
            f"x has shape {shape}, but the encoder needs x to end in ({math.prod(self._chw)},) or {self.image_shape}."
        )


class ConvDecoder(nn.Module):
    """Transposed convolutions from a latent vector to the flattened logits of an image.

    The mirror of :class:`ConvEncoder`: each transposed convolution restores exactly the height and width that the
    encoder's convolution halved, odd sizes included.

    Parameters
    ----------
    latent_dim
        Number of latent coordinates D.
    image_shape
        ``(H, W)`` or ``(C, H, W)``, with H and W at least 4; ``(H, W)`` means C = 1.
    channels
        Input channels of each transposed convolution, latent side first.
    hidden
        Width of the fully connected layer after the latent vector.

    Raises
    ------
    UserError
        If a size is outside its domain.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: Sequence[int],
        channels: Sequence[int] = (64, 32),
        hidden: int = 256,
    ) -> None:
        super().__init__()
        num_image_channels, height, width = channels_height_width(image_shape)
        _check_sizes(latent_dim=latent_dim, hidden=hidden, channels=min(channels, default=0))
        self.latent_dim = latent_dim
        self.image_shape = tuple(plain(image_shape))
        self.num_outputs = num_image_channels * height * width
        sizes = _halved_sizes((height, width), len(channels))[::-1]
        layers: list[nn.Module] = [
            Linear(latent_dim, hidden),
            nn.ReLU(),
            Linear(hidden, channels[0] * math.prod(sizes[0])),
            nn.Unflatten(1, (channels[0], *sizes[0])),
        ]
        for num_in, num_out, size in zip(channels, (*channels[1:], num_image_channels), sizes[1:], strict=True):
            # Stride 2 makes n pixels into 2n - 1; an even size needs the one pixel that halving rounded away.
            output_padding = (1 - size[0] % 2, 1 - size[1] % 2)
            layers += [
                nn.ReLU(),
                nn.ConvTranspose2d(num_in, num_out, kernel_size=3, stride=2, padding=1, output_padding=output_padding),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        glorot_uniform(self.layers)

    def forward(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch num_outputs"]:
        """Decode latent vectors.

        Parameters
        ----------
        z
            Latent vectors, ``[..., D]``.

        Returns
        -------
        Tensor
            Logits of the pixels, ``[..., C * H * W]``.

        Raises
        ------
        UserError
            If the last dimension of ``z`` is not D.
        """
        if z.ndim == 0 or z.shape[-1] != self.latent_dim:
            raise UserError(f"z has shape {tuple(z.shape)}, but the decoder needs z to end in ({self.latent_dim},).")
        batch_shape = z.shape[:-1]
        logits: Tensor = self.layers(z.reshape(math.prod(batch_shape), self.latent_dim))
        return logits.reshape(*batch_shape, self.num_outputs)


def channels_height_width(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """The three sizes that ``(H, W)`` or ``(C, H, W)`` stands for.

    Raises
    ------
    UserError
        If it is neither, or too small for convolutions.
    """
    shape = plain(image_shape)
    whole = isinstance(shape, list | tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in shape)
    if not whole or len(shape) not in (2, 3):
        raise UserError(f"image_shape must be (H, W) or (C, H, W), whole numbers, but {shape!r} was given.")
    num_channels, height, width = (1, *shape) if len(shape) == 2 else tuple(shape)
    if len(shape) == 3 and width < 4 <= min(num_channels, height):
        rows, columns, last = shape
        raise UserError(
            f"image_shape {tuple(shape)} has the channels last: give {(last, rows, columns)} and observations in that order, "
            f"x.reshape(-1, {rows}, {columns}, {last}).transpose(0, 3, 1, 2).reshape(len(x), -1)."
        )
    if num_channels < 1 or height < 4 or width < 4:
        raise UserError(
            f"image_shape {tuple(shape)} is too small for convolutions, which need H and W of at least 4: "
            "use 'mlp' for encoder and decoder (MLPEncoder and MLPDecoder) instead."
        )
    return num_channels, height, width


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise UserError(f"{name} must be given and at least 1, but {size} was found.")


def _halved_sizes(size: tuple[int, int], times: int) -> list[tuple[int, int]]:
    """Height and width before and after each of ``times`` halvings that round up, ``times + 1`` pairs."""
    sizes = [size]
    for _ in range(times):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes
