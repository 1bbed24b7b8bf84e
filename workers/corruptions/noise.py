"""Noise corruptions: Gaussian, shot (Poisson), impulse (salt and pepper), speckle; no lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from workers.corruptions.constants import GAUSSIAN_NOISE, IMPULSE_NOISE, SHOT_NOISE, SPECKLE_NOISE
from workers.corruptions.pixels import Floats, Images, draw, quantise, unit

__all__ = ["gaussian_noise", "impulse_noise", "shot_noise", "speckle_noise"]


def gaussian_noise(images: Images, severity: int, generators: Sequence[Generator]) -> Images:
    """Add N(0, sigma²) to every value."""
    return quantise(unit(images) + GAUSSIAN_NOISE[severity - 1] * _normal(images, generators))


def speckle_noise(images: Images, severity: int, generators: Sequence[Generator]) -> Images:
    """Multiply every value by N(1, sigma²)."""
    return quantise(unit(images) * (1 + SPECKLE_NOISE[severity - 1] * _normal(images, generators)))


def shot_noise(images: Images, severity: int, generators: Sequence[Generator]) -> Images:
    """Replace values by Poisson counts, with a mean of ``SHOT_NOISE`` at full intensity."""
    photons = SHOT_NOISE[severity - 1]
    expected = images * (photons / 255)
    counts = [g.poisson(mean) for g, mean in zip(generators, expected, strict=True)]
    return quantise(np.stack(counts).astype(np.float32) / np.float32(photons))


def impulse_noise(images: Images, severity: int, generators: Sequence[Generator]) -> Images:
    """Set a share of the values, channel by channel, to 0 or 255 with equal probability."""
    amount = IMPULSE_NOISE[severity - 1]
    uniform = draw(generators, lambda g: g.random(images.shape[1:], np.float32))
    noisy = np.where(uniform < amount, np.uint8(0), images)
    return np.where(uniform < amount / 2, np.uint8(255), noisy)


def _normal(images: Images, generators: Sequence[Generator]) -> Floats:
    """Return standard normal values in the images' shape."""
    return draw(generators, lambda g: g.standard_normal(images.shape[1:], np.float32))
