"""Weather corruptions: snow, frost, fog, brightness, spatter (water or mud)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from workers.corruptions.blur import smear
from workers.corruptions.constants import BRIGHTNESS, FOG, FROST, SNOW, SPATTER, Spatter
from workers.corruptions.pixels import (
    Floats,
    Images,
    draw,
    gaussian,
    length_scale,
    luma,
    quantise,
    relative_size,
    unit,
    zoom,
)

__all__ = ["brightness", "fog", "frost", "snow", "spatter"]

# The original draws randint(5): the sixth photograph is never used.
_FROST_FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
_FROST_RESIZE = 0.2

_WATER = np.array([175, 238, 238], np.float32) / 255  # pale turquoise
_MUD = np.array([63, 42, 20], np.float32) / 255  # brown
_EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
_SHORE_PIXELS = 20.0  # larger distances from the edge of a drop are clipped
_MUD_EDGE = 0.8  # threshold of the blurred mask of mud


def snow(images: Images, severity: int, generators: Sequence[Generator]) -> Images:
    """Whiten the image and add flakes that fall within 45° of the vertical, in both directions."""
    c = SNOW[severity - 1]
    shape = (*images.shape[1:3], 1)
    layer = draw(generators, lambda g: g.normal(c.loc, c.scale, shape))
    layer = zoom(layer, max(1.0, c.zoom * length_scale(images)))
    layer[layer < c.threshold] = 0
    angles = [g.uniform(-135, -45) for g in generators]
    flakes = unit(smear(quantise(layer), c.motion, angles, relative_size(images)))
    pixels = unit(images)
    pixels = c.mix * pixels + (1 - c.mix) * np.maximum(pixels, luma(pixels) * 1.5 + 0.5)
    return quantise(pixels + flakes + flakes[:, ::-1, ::-1])


def frost(images: Images, severity: int, generators: Sequence[Generator]) -> Images:
    """Blend the image with a random crop of a photograph of frost."""
    c = FROST[severity - 1]
    height, width, channels = images.shape[1:]
    photographs = _frost_photographs(height, width, channels, _FROST_RESIZE * length_scale(images))
    pieces = []
    for generator in generators:
        photograph = photographs[generator.integers(len(photographs))]
        top = generator.integers(photograph.shape[0] - height)
        left = generator.integers(photograph.shape[1] - width)
        pieces.append(photograph[top : top + height, left : left + width])
    return quantise(c.image * unit(images) + c.frost * unit(np.stack(pieces)))


def fog(images: Images, severity: int, generators: Sequence[Generator]) -> Images:
    """Add a plasma fractal and rescale to the previous maximum of the image."""
    c = FOG[severity - 1]
    height, width = images.shape[1:3]
    haze = c.thickness * _plasma(height, width, c.decay, generators)
    pixels = unit(images)
    brightest = pixels.max(axis=(1, 2, 3), keepdims=True)
    return quantise((pixels + haze) * (brightest / (brightest + c.thickness)))


def brightness(images: Images, severity: int, _: Sequence[Generator]) -> Images:
    """Raise the HSV value; hue and saturation, and so the ratios of the channels, are kept."""
    pixels = unit(images)
    value = pixels.max(axis=-1, keepdims=True)
    raised = np.minimum(value + BRIGHTNESS[severity - 1], 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return quantise(np.where(value > 0, pixels * (raised / value), raised))


def spatter(images: Images, severity: int, generators: Sequence[Generator]) -> Images:
    """Add drops of water (severities 1 to 3) or mud (4 and 5) on the lens."""
    c = SPATTER[severity - 1]
    scale = length_scale(images)
    shape = (*images.shape[1:3], 1)
    # Blurring over a `scale` times larger length divides the deviation of white noise by `scale`.
    layer = draw(generators, lambda g: g.normal(c.loc, c.scale * scale, shape))
    layer = gaussian(layer, c.sigma * scale)
    pixels = unit(images)
    if c.mud:
        cover = gaussian((layer > c.threshold).astype(np.float32), c.intensity * scale)
        cover[cover < _MUD_EDGE] = 0
        return quantise(pixels * (1 - cover) + cover * _tint(_MUD, images))
    layer[layer < c.threshold] = 0
    water = np.stack([_water(drops, c) for drops in quantise(layer)])
    return quantise(pixels + water * _tint(_WATER, images))


def _water(drops: Images, c: Spatter) -> Floats:
    """Return the opacity of water: its thickness, embossed by the distance to the edges."""
    distance = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    distance = cv2.blur(np.minimum(distance, _SHORE_PIXELS), (3, 3)).astype(np.uint8)
    relief = cv2.filter2D(cv2.equalizeHist(distance), cv2.CV_8U, _EMBOSS)
    relief = cv2.blur(relief, (3, 3)).astype(np.float32)
    thickness = drops * relief[..., None]
    water: Floats = thickness * (c.intensity / max(thickness.max(), 1e-6))
    return water


def _tint(colour: Floats, images: Images) -> Floats:
    """Return the colour, or its luma for grey images."""
    return colour if images.shape[-1] == 3 else luma(colour)


def _plasma(height: int, width: int, decay: float, generators: Sequence[Generator]) -> Floats:
    """Return diamond-square fractals in [0, 1], shape (images, height, width, 1).

    Each pass halves the grid: centres, then edges, become the mean of four neighbours (wrapped
    around) plus uniform noise whose amplitude falls by ``decay²`` per pass. The square comes from
    the original, which multiplies the noise by its amplitude twice.
    """
    size = 1 << (max(height, width) - 1).bit_length()
    noise = draw(generators, lambda g: g.uniform(-1, 1, (size, size)))
    plasma = np.zeros_like(noise)
    step, amplitude = size, 100.0
    while step >= 2:
        half = step // 2
        corners = plasma[:, ::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=1)
        centres = pairs + np.roll(pairs, -1, axis=2)
        centres = centres / 4 + amplitude**2 * noise[:, half::step, half::step]
        plasma[:, half::step, half::step] = centres
        for axis, edges in ((2, np.s_[:, ::step, half::step]), (1, np.s_[:, half::step, ::step])):
            around = centres + np.roll(centres, 1, axis=3 - axis)
            around += corners + np.roll(corners, -1, axis=axis)
            plasma[edges] = around / 4 + amplitude**2 * noise[edges]
        step, amplitude = half, amplitude / decay
    plasma -= plasma.min(axis=(1, 2), keepdims=True)
    plasma /= plasma.max(axis=(1, 2), keepdims=True)
    return plasma[:, :height, :width, None]


@lru_cache(maxsize=8)
def _frost_photographs(height: int, width: int, channels: int, resize: float) -> list[Images]:
    """Return the photographs of frost, resized to more than (height, width)."""
    package = find_spec("imagecorruptions")  # locates its data without importing it, which is slow
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(
            "frost needs the photographs of the package imagecorruptions-imaug: "
            "pip install imagecorruptions-imaug"
        )
    folder = Path(package.submodule_search_locations[0]) / "frost"
    colour = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    photographs: list[Images] = []
    for name in _FROST_FILES:
        photograph = cv2.imread(str(folder / name), colour)
        if photograph is None:
            raise FileNotFoundError(
                f"frost needs {folder / name}: reinstall imagecorruptions-imaug"
            )
        rows, columns = photograph.shape[:2]
        factor = max(resize, (height + 1) / rows, (width + 1) / columns)
        resized = cv2.resize(photograph, None, fx=factor, fy=factor)
        photographs.append(resized.reshape(*resized.shape[:2], channels).astype(np.uint8))
    return photographs
