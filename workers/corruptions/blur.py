"""Blur corruptions: Gaussian, defocus, (frosted) glass, motion, zoom; lengths scale with images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator

from workers.corruptions.constants import (
    DEFOCUS_BLUR,
    GAUSSIAN_BLUR,
    GLASS_BLUR,
    MOTION_BLUR,
    ZOOM_BLUR,
    Motion,
)
from workers.corruptions.pixels import (
    Floats,
    Images,
    gaussian,
    length_scale,
    quantise,
    relative_size,
    unit,
    zoom,
)

__all__ = [
    "defocus_blur",
    "gaussian_blur",
    "glass_blur",
    "motion_blur",
    "smear",
    "zoom_blur",
]


def gaussian_blur(images: Images, severity: int, _: Sequence[Generator]) -> Images:
    """Convolve with a Gaussian."""
    return quantise(gaussian(unit(images), GAUSSIAN_BLUR[severity - 1] * length_scale(images)))


def defocus_blur(images: Images, severity: int, _: Sequence[Generator]) -> Images:
    """Convolve with a disk, the point spread of a lens out of focus."""
    radius, alias_sigma = DEFOCUS_BLUR[severity - 1]
    kernel = _disk(radius, alias_sigma, length_scale(images))
    pixels = unit(images)
    for image in pixels:
        image[:] = cv2.filter2D(image, -1, kernel).reshape(image.shape)
    return quantise(pixels)


def glass_blur(images: Images, severity: int, generators: Sequence[Generator]) -> Images:
    """Blur, replace every pixel by a nearby one, blur again.

    The original loops from the last pixel to the first and "swaps" NumPy views, which copies the
    neighbour instead. With displacements in {-1, 0}, as in CIFAR-10-C, that neighbour has not been
    visited yet, so a single gather is equivalent to the loop; larger images are gathered from the
    unmodified image as well. Below 32 pixels, where one pixel is the smallest displacement, only a
    share of the pixels is displaced.
    """
    c = GLASS_BLUR[severity - 1]
    scale = length_scale(images)
    share = min(1.0, relative_size(images))
    n, height, width = images.shape[:3]
    d = max(1, round(c.displacement * scale))
    blurred = quantise(gaussian(unit(images), c.sigma * scale))
    inner = np.s_[:, d + 1 : height - d + 1, d + 1 : width - d + 1]
    shape = (2, height - 2 * d, width - 2 * d)
    which, rows, columns = np.ogrid[:n, d + 1 : height - d + 1, d + 1 : width - d + 1]
    for _ in range(c.iterations):
        offsets = np.stack([g.integers(-d, d, shape, np.int16) for g in generators])
        if share < 1:
            offsets *= np.stack([g.random(shape[1:]) < share for g in generators])[:, None]
        blurred[inner] = blurred[which, rows + offsets[:, 0], columns + offsets[:, 1]]
    return quantise(gaussian(unit(blurred), c.sigma * scale))


def motion_blur(images: Images, severity: int, generators: Sequence[Generator]) -> Images:
    """Smear along a random direction within 45° of the horizontal.

    The kernel is one-sided, which also shifts the image. In images below 32 pixels the lengths
    shrink with the square root of the size; in proportion to the size they would vanish.
    """
    angles = [g.uniform(-45, 45) for g in generators]
    size = relative_size(images)
    return smear(images, MOTION_BLUR[severity - 1], angles, size if size > 1 else size**0.5)


def zoom_blur(images: Images, severity: int, _: Sequence[Generator]) -> Images:
    """Average the image and its enlargements by 1 to ``top`` in steps of 0.01."""
    factors = np.arange(1, ZOOM_BLUR[severity - 1], 0.01).tolist()
    pixels = unit(images)
    total = pixels.copy()
    for factor in factors:
        total += zoom(pixels, factor)
    return quantise(total / (len(factors) + 1))


def smear(images: Images, motion: Motion, angles: Sequence[float], scale: float) -> Images:
    """Blur each image along its angle (degrees) as ImageMagick's ``-motion-blur`` does.

    The kernel is one-sided, ``exp(-i² / (2 sigma²))`` for i = 0 .. 2 radius, with both lengths
    times ``scale``. Tap i reads the pixel ``ceil(i * (cos, sin) - 1/2)`` away, edges repeated;
    the sum is floored. It agrees with ImageMagick 6.9 to one grey level on 99.5 % of the values.
    """
    sigma = motion.sigma * scale
    taps = np.arange(2 * max(1, round(motion.radius * scale)) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2)).astype(np.float32)
    weights /= weights.sum()
    directions = np.deg2rad(np.asarray(angles))[:, None]
    dx = np.ceil(taps * np.cos(directions) - 0.5).astype(int)
    dy = np.ceil(taps * np.sin(directions) - 0.5).astype(int)

    height, width = images.shape[1:3]
    pad = len(taps)
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="edge")
    smeared = np.zeros(images.shape, np.float32)
    for image, out, xs, ys in zip(padded, smeared, dx.tolist(), dy.tolist(), strict=True):
        for weight, x, y in zip(weights, xs, ys, strict=True):
            out += weight * image[pad + y : pad + y + height, pad + x : pad + x + width]
    return quantise(smeared / 255)


def _disk(radius: float, alias_sigma: float, scale: float) -> Floats:
    """Return the anti-aliased disk, cut to the pixels it covers."""
    reach = int(np.ceil(radius * scale)) + int(np.ceil(scale))
    x, y = np.meshgrid(*2 * [np.arange(-reach, reach + 1)])
    disk = (x**2 + y**2 <= (radius * scale) ** 2).astype(np.float32)
    side = 2 * int(np.ceil(scale)) + 1
    blurred: Floats = cv2.GaussianBlur(
        disk / disk.sum(), (side, side), alias_sigma * scale, borderType=cv2.BORDER_CONSTANT
    )
    return blurred
