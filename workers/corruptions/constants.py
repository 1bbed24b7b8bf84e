"""Constants of the 19 corruptions of CIFAR-10-C for each severity.

Source: ``make_cifar_c.py`` of github.com/hendrycks/robustness (Apache-2.0), the program that
generated the published files. The constants of ImageNet-C differ, and packages that offer "CIFAR-C"
corruptions use those, which are two to four times too strong at 32 × 32.

Index ``severity - 1``. Lengths are in pixels of a 32 × 32 image (`REFERENCE_SIZE`) and are scaled
for other sizes by the functions that use them; intensities are in units of the full range, unless a
comment gives another unit.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "BRIGHTNESS",
    "CONTRAST",
    "DEFOCUS_BLUR",
    "ELASTIC_TRANSFORM",
    "FOG",
    "FROST",
    "GAUSSIAN_BLUR",
    "GAUSSIAN_NOISE",
    "GENERATOR_VERSION",
    "GLASS_BLUR",
    "IMPULSE_NOISE",
    "JPEG_COMPRESSION",
    "MIN_SIDE_PIXELS",
    "MOTION_BLUR",
    "PIXELATE",
    "REFERENCE_SIZE",
    "SATURATE",
    "SHOT_NOISE",
    "SNOW",
    "SPATTER",
    "SPECKLE_NOISE",
    "ZOOM_BLUR",
    "Elastic",
    "Fog",
    "Frost",
    "Glass",
    "Motion",
    "Saturation",
    "Snow",
    "Spatter",
]

REFERENCE_SIZE = 32
MIN_SIDE_PIXELS = 8

GENERATOR_VERSION = 1
"""Increases when the pixels of any corruption change, so that older caches are not reused."""


class Glass(NamedTuple):
    """Gaussian blur, shuffle within ``displacement`` pixels ``iterations`` times, blur again."""

    sigma: float
    displacement: int
    iterations: int


class Motion(NamedTuple):
    """One-sided Gaussian smear over ``2 * radius + 1`` pixels."""

    radius: int
    sigma: float


class Snow(NamedTuple):
    """Flakes: N(loc, scale) zoomed, zero below the threshold, smeared; ``mix`` keeps the image."""

    loc: float
    scale: float
    zoom: float
    threshold: float
    motion: Motion
    mix: float


class Frost(NamedTuple):
    """Weights of the image and of the frost photograph."""

    image: float
    frost: float


class Fog(NamedTuple):
    """Thickness, and the decay of the plasma fractal's roughness (larger is smoother)."""

    thickness: float
    decay: float


class Saturation(NamedTuple):
    """HSV saturation becomes ``gain * S + offset``."""

    gain: float
    offset: float


class Elastic(NamedTuple):
    """Amplitude and smoothness of the warp and corner jitter, as fractions of the image's side."""

    amplitude: float
    sigma: float
    affine: float


class Spatter(NamedTuple):
    """Drops: N(loc, scale) blurred by ``sigma``, zero below the threshold; then water or mud."""

    loc: float
    scale: float
    sigma: float
    threshold: float
    intensity: float
    """Water: opacity. Mud: sigma of the blurred mask."""
    mud: bool


# Noise. Standard deviation; photons at full intensity; share of values; relative deviation.
GAUSSIAN_NOISE = (0.04, 0.06, 0.08, 0.09, 0.10)
SHOT_NOISE = (500.0, 250.0, 100.0, 75.0, 50.0)
IMPULSE_NOISE = (0.01, 0.02, 0.03, 0.05, 0.07)
SPECKLE_NOISE = (0.06, 0.1, 0.12, 0.16, 0.2)

# Blur. Sigma; (radius of the disk, sigma of its anti-aliasing); largest zoom factor.
GAUSSIAN_BLUR = (0.4, 0.6, 0.7, 0.8, 1.0)
DEFOCUS_BLUR = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))
GLASS_BLUR = (
    Glass(0.05, 1, 1),
    Glass(0.25, 1, 1),
    Glass(0.4, 1, 1),
    Glass(0.25, 1, 2),
    Glass(0.4, 1, 2),
)
MOTION_BLUR = (Motion(6, 1.0), Motion(6, 1.5), Motion(6, 2.0), Motion(8, 2.0), Motion(9, 2.5))
ZOOM_BLUR = (1.06, 1.11, 1.16, 1.21, 1.26)

# Weather.
SNOW = (
    Snow(0.1, 0.2, 1.0, 0.6, Motion(8, 3.0), 0.95),
    Snow(0.1, 0.2, 1.0, 0.5, Motion(10, 4.0), 0.9),
    Snow(0.15, 0.3, 1.75, 0.55, Motion(10, 4.0), 0.9),
    Snow(0.25, 0.3, 2.25, 0.6, Motion(12, 6.0), 0.85),
    Snow(0.3, 0.3, 1.25, 0.65, Motion(14, 12.0), 0.8),
)
FROST = (Frost(1.0, 0.2), Frost(1.0, 0.3), Frost(0.9, 0.4), Frost(0.85, 0.4), Frost(0.75, 0.45))
FOG = (Fog(0.2, 3.0), Fog(0.5, 3.0), Fog(0.75, 2.5), Fog(1.0, 2.0), Fog(1.5, 1.75))
SPATTER = (
    Spatter(0.62, 0.1, 0.7, 0.7, 0.5, False),
    Spatter(0.65, 0.1, 0.8, 0.7, 0.5, False),
    Spatter(0.65, 0.3, 1.0, 0.69, 0.5, False),
    Spatter(0.65, 0.1, 0.7, 0.69, 0.6, True),
    Spatter(0.65, 0.1, 0.5, 0.68, 0.6, True),
)

# Digital. Added HSV value; contrast kept; HSV saturation; JPEG quality; side kept; the warp.
BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.3)
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
SATURATE = (
    Saturation(0.3, 0.0),
    Saturation(0.1, 0.0),
    Saturation(1.5, 0.0),
    Saturation(2.0, 0.1),
    Saturation(2.5, 0.2),
)
JPEG_COMPRESSION = (80, 65, 58, 50, 40)
PIXELATE = (0.95, 0.9, 0.85, 0.75, 0.65)
ELASTIC_TRANSFORM = (
    Elastic(0.0, 0.0, 0.08),
    Elastic(0.05, 0.2, 0.07),
    Elastic(0.08, 0.06, 0.06),
    Elastic(0.1, 0.04, 0.05),
    Elastic(0.1, 0.03, 0.03),
)
