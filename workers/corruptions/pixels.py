"""Pixel types and operations shared by the corruptions: conversions, draws, lengths, zoom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from scipy import ndimage

from workers.corruptions.constants import REFERENCE_SIZE

__all__ = [
    "Corruption",
    "Floats",
    "Images",
    "draw",
    "gaussian",
    "length_scale",
    "luma",
    "quantise",
    "relative_size",
    "unit",
    "zoom",
]

Images = npt.NDArray[np.uint8]
"""Pixels in [0, 255], shape (images, height, width, channels), channels 1 or 3."""

Floats = npt.NDArray[np.floating[Any]]
"""float32 throughout; SciPy and OpenCV declare wider types."""

Corruption = Callable[[Images, int, Sequence[Generator]], Images]
"""(images, severity, one random generator per image) -> corrupted images of the same shape."""

# ITU-R BT.601, the weights of OpenCV's and Pillow's grey.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def unit(images: Images) -> Floats:
    """Return pixels in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def quantise(pixels: Floats) -> Images:
    """Return pixels in [0, 1] as uint8, clipped and truncated as in the original."""
    # Adding 2^-8 of a level keeps float32 rounding from truncating an exact level to the one below.
    return (np.clip(pixels, 0, 1) * 255 + 2**-8).astype(np.uint8)


def draw(
    generators: Sequence[Generator], one_image: Callable[[Generator], npt.NDArray[Any]]
) -> Floats:
    """Return one draw from the generator of each image, stacked as float32."""
    stacked = np.stack([one_image(generator) for generator in generators])
    return stacked.astype(np.float32, copy=False)


def luma(pixels: Floats) -> Floats:
    """Return the luma, shape (..., 1); a grey image is returned unchanged."""
    return pixels if pixels.shape[-1] == 1 else (pixels @ _LUMA)[..., None]


def relative_size(images: Images) -> float:
    """Return the shorter side over the 32 pixels of the original."""
    return float(min(images.shape[1:3]) / REFERENCE_SIZE)


def length_scale(images: Images) -> float:
    """Return the factor for lengths: ``relative_size``, but at least 1.

    Details of images below 32 pixels are one or two pixels wide, as in larger images; a blur that
    shrank with the image would be narrower than a pixel.
    """
    return max(relative_size(images), 1.0)


def gaussian(
    pixels: Floats, sigma: float, *, mode: str = "nearest", truncate: float = 4.0
) -> Floats:
    """Blur every image (scikit-image's ``filters.gaussian``, whose defaults these are)."""
    axes = (1, 2)
    blurred: Floats = ndimage.gaussian_filter(
        pixels, sigma, mode=mode, truncate=truncate, axes=axes
    )
    return blurred


def zoom(pixels: Floats, factor: float) -> Floats:
    """Return the images enlarged by ``factor`` about their centres, cropped to their size."""
    n, height, width, channels = pixels.shape
    rows = _zoom_matrix(height, factor) @ pixels.reshape(n, height, -1)
    columns = rows.reshape(n * height, width, channels)
    zoomed: Floats = _zoom_matrix(width, factor) @ columns
    return zoomed.reshape(pixels.shape)


@lru_cache(maxsize=256)
def _zoom_matrix(size: int, factor: float) -> Floats:
    """Return the (size, size) matrix that enlarges the middle of a line of pixels by ``factor``.

    Interpolation is linear. From 32 pixels the grid is that of the original: SciPy's ``zoom`` of
    the middle ``ceil(size / factor)`` pixels, trimmed. In smaller images that rounds small zooms
    away; they are therefore zoomed exactly about their centre.
    """
    pixels = np.arange(size)
    if size >= REFERENCE_SIZE:
        kept = int(np.ceil(size / factor))
        zoomed = round(kept * factor)
        step = (kept - 1) / (zoomed - 1)
        positions = (size - kept) // 2 + (pixels + (zoomed - size) // 2) * step
    else:
        centre = (size - 1) / 2
        positions = centre + (pixels - centre) / factor
    distance = np.abs(positions[:, None] - pixels)
    matrix: Floats = np.maximum(1 - distance, 0).astype(np.float32)
    matrix.flags.writeable = False
    return matrix
