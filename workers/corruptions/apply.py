"""``corrupt``: apply a corruption by name, reproducibly for each image."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workers.corruptions.constants import MIN_SIDE_PIXELS
from workers.corruptions.names import CORRUPTIONS, SEVERITIES

if TYPE_CHECKING:
    from workers.corruptions.pixels import Corruption, Images

__all__ = ["corrupt"]

# Values per batch: a float32 array of 2 MB, which fits the cache of a processor.
_BATCH_VALUES = 2**19

_FAMILIES: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
        "blur": ("gaussian_blur", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
        "weather": ("snow", "frost", "fog", "brightness", "spatter"),
        "digital": ("contrast", "saturate", "jpeg_compression", "pixelate", "elastic_transform"),
    }
)
"""Corruptions, and functions, of each module; imported on first use, with OpenCV and SciPy."""


def corrupt(
    images: Images,
    name: str,
    severity: int,
    *,
    seed: int,
    indices: Sequence[int] | npt.NDArray[np.integer] | None = None,
) -> Images:
    """Corrupt images as CIFAR-10-C does, at any size of at least 8 × 8.

    Args:
        images: uint8, shape (n, height, width, channels), channels 1 or 3.
        name: One of `CORRUPTIONS`.
        severity: 1 (weak) to 5 (strong).
        seed: Non-negative. The result for an image depends only on (seed, name, severity, its
            index), not on the other images.
        indices: Index of each image in its data set; 0 .. n - 1 by default.

    Returns:
        New uint8 images, same shape and order.

    Raises:
        ValueError: The name, severity, seed, number of indices, shape or data type is not allowed.

    Source: Hendrycks & Dietterich 2019 (arXiv 1903.12261); constants in `constants`. Lengths scale
    with the shorter side over 32, but do not shrink below 32 pixels. In grey images, colours are
    replaced by their luma.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"corruption {name!r} does not exist; allowed: {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity!r} does not exist; allowed: 1, 2, 3, 4, 5")
    if seed < 0:
        raise ValueError(f"seed {seed} is negative; allowed: 0 and more")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; "
            "allowed: uint8 (n, height, width, 1 or 3)"
        )
    if min(images.shape[1:3]) < MIN_SIDE_PIXELS:
        raise ValueError(
            f"images are {images.shape[1]} x {images.shape[2]} pixels; "
            f"allowed: {MIN_SIDE_PIXELS} x {MIN_SIDE_PIXELS} and more"
        )
    numbers = range(len(images)) if indices is None else [int(i) for i in indices]
    if len(numbers) != len(images):
        raise ValueError(f"{len(numbers)} indices for {len(images)} images; allowed: one each")

    family = next(module for module, names in _FAMILIES.items() if name in names)
    apply: Corruption = getattr(import_module(f"workers.corruptions.{family}"), name)
    out = np.empty_like(images)
    stream = (seed, CORRUPTIONS.index(name), severity)
    batch = max(1, _BATCH_VALUES // int(np.prod(images.shape[1:])))
    for start in range(0, len(images), batch):
        span = slice(start, start + batch)
        generators = [
            np.random.Generator(np.random.SFC64((*stream, index))) for index in numbers[span]
        ]
        out[span] = apply(np.asarray(images[span]), severity, generators)
    return out
