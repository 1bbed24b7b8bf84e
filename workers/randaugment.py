"""RandAugment (Cubuk et al. 2020, arXiv 1909.13719) for batches of images.

    twice: each image draws one of 14 operations and, where it has one, a sign

The operations, their ranges of 30 magnitudes, nearest-neighbour sampling and black filling are
those of ``torchvision.transforms.RandAugment``. An operation is applied at once to all
images that drew it; the geometric operations are affine maps and share one resampling function.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as TF

__all__ = ["OPERATIONS", "apply_operation", "randaugment"]

MAGNITUDES = 30
"""Number of steps in the range of each operation."""


def randaugment(
    images: Tensor, generator: Generator, *, operations: int = 2, magnitude: int = 9
) -> Tensor:
    """Apply random operations in sequence.

    Args:
        images: uint8, shape (n, height, width, channels).
        generator: Random number generator, on the CPU.
        operations: Number of operations per image.
        magnitude: Strength, 0 to 30.

    Returns:
        New uint8 images of the same shape.
    """
    maps = images.permute(0, 3, 1, 2)
    names = list(OPERATIONS)
    for _ in range(operations):
        drawn = torch.randint(len(names), (len(maps),), generator=generator)
        signs = torch.randint(2, (len(maps),), generator=generator) * 2 - 1
        order = drawn.argsort(stable=True)
        counts = torch.bincount(drawn, minlength=len(names)).tolist()
        where = order.to(maps.device, non_blocking=True)
        signs = signs[order].to(maps.device, non_blocking=True)
        result = torch.empty_like(maps)
        for name, members, sign in zip(
            names, torch.split(where, counts), torch.split(signs, counts), strict=True
        ):
            if len(members):
                result[members] = apply_operation(name, maps[members], magnitude / MAGNITUDES, sign)
        maps = result
    return maps.permute(0, 2, 3, 1).contiguous()


def apply_operation(name: str, maps: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Apply one operation.

    Args:
        name: One of `OPERATIONS`.
        maps: uint8, shape (n, channels, height, width).
        strength: Share of the operation's range, in [0, 1].
        signs: Shape (n,), +1 or -1: the direction, for operations that have two.
    """
    return OPERATIONS[name](maps, strength, signs)


def _affine(
    maps: Tensor, shear_x: Tensor, shear_y: Tensor, shift_x: Tensor, shift_y: Tensor, angle: Tensor
) -> Tensor:
    """Rotate images about the centre, shear them about the first corner, shift them by pixels."""
    n, _, height, width = maps.shape
    cos, sin = angle.cos(), angle.sin()
    # A pixel of the result is read at its inverse image; positions run from -1 to 1 on both axes.
    ratio = height / width
    offset_x = shear_x * (height / 2) - shift_x
    offset_y = shear_y * (width / 2) - shift_y
    rows = (
        torch.stack([cos, (shear_x - sin) * ratio, offset_x * (2 / width)], 1),
        torch.stack([(shear_y + sin) / ratio, cos, offset_y * (2 / height)], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), [n, 1, height, width], align_corners=False)
    sampled = F.grid_sample(maps.float(), grid, mode="nearest", align_corners=False)
    return sampled.to(torch.uint8)


def _geometric(name: str, largest: float, *, axis: int | None = None) -> Callable[..., Tensor]:
    """An operation with one parameter of `_affine`; shifts are a share of an axis, in pixels."""

    def operation(maps: Tensor, strength: float, signs: Tensor) -> Tensor:
        zero = torch.zeros(len(maps), device=maps.device)
        names = ("shear_x", "shear_y", "shift_x", "shift_y", "angle")
        values = dict.fromkeys(names, zero)
        size = strength * largest
        values[name] = signs * (size if axis is None else int(size * maps.shape[axis]))
        return _affine(maps, **values)

    return operation


def _blend(other: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """An operation that blends with, or away from, a plainer image, by a factor of up to 0.9."""

    def operation(maps: Tensor, strength: float, signs: Tensor) -> Tensor:
        factor = (1.0 + 0.9 * strength * signs)[:, None, None, None]
        plain = other(maps).float()
        return (plain + factor * (maps.float() - plain)).clamp(0, 255).to(torch.uint8)

    return operation


def _grey(maps: Tensor) -> Tensor:
    """Grey images; unchanged if they have one channel."""
    return TF.rgb_to_grayscale(maps) if maps.shape[1] == 3 else maps


def _mean_grey(maps: Tensor) -> Tensor:
    """The mean grey value of each image."""
    return _grey(maps).float().mean((1, 2, 3), keepdim=True).floor()


def _smooth(maps: Tensor) -> Tensor:
    """The SMOOTH filter of PIL; the border is unchanged."""
    kernel = torch.ones(3, 3, device=maps.device)
    kernel[1, 1] = 5.0
    channels = maps.shape[1]
    weight = (kernel / kernel.sum()).expand(channels, 1, 3, 3)
    smooth = maps.float()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(smooth, weight, groups=channels).round()
    return smooth


def _posterize(maps: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Keep the 8 to 4 highest bits."""
    bits = 8 - round(4 * strength)
    return maps & (256 - (1 << (8 - bits)))


def _solarize(maps: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Invert values at or above a threshold, which falls with the strength."""
    return torch.where(maps >= 255.0 * (1.0 - strength), 255 - maps, maps)


OPERATIONS: dict[str, Callable[[Tensor, float, Tensor], Tensor]] = {
    "identity": lambda maps, strength, signs: maps,
    "shear_x": _geometric("shear_x", 0.3),
    "shear_y": _geometric("shear_y", 0.3),
    "translate_x": _geometric("shift_x", 150.0 / 331.0, axis=-1),
    "translate_y": _geometric("shift_y", 150.0 / 331.0, axis=-2),
    "rotate": _geometric("angle", math.radians(30.0)),
    "brightness": _blend(lambda maps: torch.zeros_like(maps)),
    "color": _blend(_grey),
    "contrast": _blend(_mean_grey),
    "sharpness": _blend(_smooth),
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": lambda maps, strength, signs: TF.autocontrast(maps),
    "equalize": lambda maps, strength, signs: TF.equalize(maps),
}
"""The operations by name."""
