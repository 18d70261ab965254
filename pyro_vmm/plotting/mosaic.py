"""Rows of small pictures laid out as one big one."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError


def as_images(values: ArrayLike, image_shape: tuple[int, ...] | None, leading: int) -> NDArray[np.float64]:
    """Give the pixels of every image their height, width and channel axes.

    Parameters
    ----------
    values : array [*leading, H, W], [*leading, F] or [*leading, channels, H, W]
        Images, flat or not.
    image_shape : tuple of int, optional
        ``(H, W)``, ``(channels, H, W)`` or ``(H, W, channels)`` with 1 or 3 channels; by default the axes of ``values``
        after the leading ones.
    leading : int
        Number of axes before those of an image.

    Returns
    -------
    array [*leading, H, W] or [*leading, H, W, 3]

    Raises
    ------
    UserError
        Where the numbers do not fill images of that shape.
    """
    array = np.asarray(values, dtype=np.float64)
    shape = tuple(image_shape) if image_shape is not None else array.shape[leading:]
    if len(shape) == 3 and 1 in (shape[0], shape[2]):
        flat = (shape[1], shape[2]) if shape[0] == 1 else (shape[0], shape[1])
        return _reshaped(array, array.shape[:leading] + flat)
    if len(shape) == 3 and shape[0] == 3:
        return np.moveaxis(_reshaped(array, array.shape[:leading] + shape), leading, -1)
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3):
        return _reshaped(array, array.shape[:leading] + shape)
    raise UserError(f"image shape {shape} is not (H, W) with 1 or 3 channels: draw component profiles instead")


def _reshaped(array: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if array.size != np.prod(shape):
        raise UserError(f"an array of shape {list(array.shape)} does not hold images of shape {list(shape)}")
    return array.reshape(shape)


def mosaic(images: NDArray[np.float64], gap: int) -> NDArray[np.float64]:
    """Lay rows of images out as one picture.

    Parameters
    ----------
    images : array [R, C, H, W] or [R, C, H, W, 3]
        A missing image is all NaN.
    gap : int
        Empty pixels (NaN) between neighbours.

    Returns
    -------
    array [R H + (R - 1) gap, C W + (C - 1) gap] or the same with a last axis of 3
        Where an RGB image is missing the page stays white.
    """
    rows, columns, height, width = images.shape[:4]
    colour = images.shape[4:]
    page = np.full((rows, height + gap, columns, width + gap, *colour), np.nan)
    page[:, :height, :, :width] = np.moveaxis(images, 1, 2)
    page = page.reshape(rows * (height + gap), columns * (width + gap), *colour)
    page = page[: rows * (height + gap) - gap, : columns * (width + gap) - gap]
    return np.where(np.isnan(page), 1.0, page) if colour else page
