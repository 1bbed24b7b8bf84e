"""Digital corruptions: contrast, saturation, JPEG compression, pixelation, elastic transform."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image

from workers.corruptions.constants import (
    CONTRAST,
    ELASTIC_TRANSFORM,
    JPEG_COMPRESSION,
    PIXELATE,
    SATURATE,
)
from workers.corruptions.pixels import (
    Images,
    draw,
    gaussian,
    length_scale,
    luma,
    quantise,
    unit,
)

__all__ = ["contrast", "elastic_transform", "jpeg_compression", "pixelate", "saturate"]


def contrast(images: Images, severity: int, _: Sequence[Generator]) -> Images:
    """Pull every channel towards its mean over the image."""
    pixels = unit(images)
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    return quantise((pixels - mean) * CONTRAST[severity - 1] + mean)


def saturate(images: Images, severity: int, _: Sequence[Generator]) -> Images:
    """Scale and shift the HSV saturation; hue and value stay.

    With V the largest and m the smallest channel, S = (V - m) / V, and every channel is V - d with
    d proportional to S. Colourless pixels have hue 0: added saturation turns them red. A grey
    image is treated as colour and converted back by its luma: severities 1 to 3 do not change it.
    """
    c = SATURATE[severity - 1]
    pixels = unit(images)
    value = pixels.max(axis=-1, keepdims=True)
    depth = np.broadcast_to(value, (*images.shape[:3], 3)) - pixels
    spread = depth.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        saturation = np.clip(np.where(value > 0, spread / value, 0) * c.gain + c.offset, 0, 1)
        direction = np.where(spread > 0, depth / spread, np.array([0, 1, 1], np.float32))
    saturated = value * (1 - saturation * direction)
    return quantise(luma(saturated) if images.shape[-1] == 1 else saturated)


def jpeg_compression(images: Images, severity: int, _: Sequence[Generator]) -> Images:
    """Save as JPEG (chroma 4:2:0, Pillow's default) and read back."""

    def compress(image: Image.Image) -> Image.Image:
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=JPEG_COMPRESSION[severity - 1])
        return Image.open(buffer)

    return np.stack([_pixels(compress(_picture(image)), image) for image in images])


def pixelate(images: Images, severity: int, _: Sequence[Generator]) -> Images:
    """Shrink and enlarge again with box filters.

    The part of a block beyond one pixel is a length and is scaled; at 32 × 32 the reduced side
    is ``int(32 * c)``, as in the original.
    """
    height, width = images.shape[1:3]
    block = 1 + (1 / PIXELATE[severity - 1] - 1) * length_scale(images)
    small = (int(width / block + 1e-6), int(height / block + 1e-6))

    def shrink(image: Image.Image) -> Image.Image:
        box = Image.Resampling.BOX
        return image.resize(small, box).resize((width, height), box)

    return np.stack([_pixels(shrink(_picture(image)), image) for image in images])


def elastic_transform(images: Images, severity: int, generators: Sequence[Generator]) -> Images:
    """Jitter three corners (affine), then displace every pixel by a smooth random field."""
    c = ELASTIC_TRANSFORM[severity - 1]
    height, width = images.shape[1:3]
    side = min(height, width)
    centre = np.array([width // 2, height // 2])
    corners = (centre + side // 3 * np.array([[1, 1], [1, -1], [-1, -1]])).astype(np.float32)
    jitter = draw(generators, lambda g: g.uniform(-1, 1, (3, 2))) * np.float32(c.affine * side)
    fields = draw(generators, lambda g: g.uniform(-1, 1, (height, width, 2)))
    fields = c.amplitude * side * gaussian(fields, c.sigma * side, mode="reflect", truncate=3)
    columns, rows = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in (width, height)))

    warped = np.empty(images.shape, np.float32)
    for image, out, shift, field in zip(unit(images), warped, jitter, fields, strict=True):
        affine = cv2.getAffineTransform(corners, corners + shift)
        moved = cv2.warpAffine(image, affine, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        x, y = columns + field[..., 0], rows + field[..., 1]
        displaced = cv2.remap(moved, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        out[:] = displaced.reshape(out.shape)
    return quantise(warped)


def _picture(image: Images) -> Image.Image:
    """Return an image as a Pillow image."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _pixels(picture: Image.Image, like: Images) -> Images:
    """Return a Pillow image as pixels in the shape of ``like``."""
    return np.asarray(picture).reshape(like.shape)
