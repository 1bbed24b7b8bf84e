"""Augmentation of batches of images on their device, without a loop over images.

Random numbers are drawn on the CPU by a separate generator: the result is the same on every device.
Images are uint8, shape (n, height, width, channels).

    crop          zero padding of an eighth of the side, then a random window: at 32x32 the 4 pixels
                  of He et al. 2016
    crop-flip     the same, then mirrored with probability 1/2
    randaugment   crop-flip, then two random operations at magnitude 9 of 30 (Cubuk et al. 2020)
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

__all__ = ["Augmentation", "augment"]

Augmentation = Literal["none", "crop", "crop-flip", "randaugment"]


def augment(images: Tensor, kind: Augmentation, generator: Generator) -> Tensor:
    """Augment images.

    Args:
        images: uint8, shape (n, height, width, channels).
        kind: The augmentation.
        generator: Random number generator, on the CPU.

    Returns:
        uint8, same shape; ``images`` itself for ``none``.
    """
    if kind == "none":
        return images
    images = _crop(images, generator, flip=kind != "crop")
    if kind != "randaugment":
        return images
    from workers.randaugment import randaugment  # imports torchvision, which takes seconds

    return randaugment(images, generator)


def _crop(images: Tensor, generator: Generator, *, flip: bool) -> Tensor:
    """Crop and optionally mirror at random, in one gather."""
    n, height, width, _ = images.shape
    pad_y, pad_x = height // 8, width // 8
    padded = F.pad(images, (0, 0, pad_x, pad_x, pad_y, pad_y))
    top = torch.randint(2 * pad_y + 1, (n, 1), generator=generator)
    left = torch.randint(2 * pad_x + 1, (n, 1), generator=generator)
    rows = top + torch.arange(height)
    columns = left + torch.arange(width)
    if flip:
        mirrored = torch.rand((n, 1), generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    device = images.device
    numbers = torch.arange(n, device=device)[:, None, None]
    rows = rows.to(device, non_blocking=True)[:, :, None]
    return padded[numbers, rows, columns.to(device, non_blocking=True)[:, None, :]]
