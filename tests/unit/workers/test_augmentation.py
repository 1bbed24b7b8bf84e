from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from workers.augmentation import augment


def numbered(n, side, channels=3):
    """Images whose every value is distinct from 0."""
    values = torch.arange(1, n * side * side * channels + 1) % 251 + 1
    return values.to(torch.uint8).view(n, side, side, channels)


def windows(image, pad, *, mirrored):
    """All crops of an image, as a slow loop makes them."""
    side = image.shape[0]
    padded = F.pad(image, (0, 0, pad, pad, pad, pad))
    crops = [
        padded[y : y + side, x : x + side] for y in range(2 * pad + 1) for x in range(2 * pad + 1)
    ]
    return [crop.flip(1) for crop in crops] if mirrored else crops


def test_augment_none_returns_the_images_themselves():
    images = numbered(2, 8)
    assert augment(images, "none", torch.Generator()) is images


@pytest.mark.parametrize("kind", ["crop", "crop-flip"])
@pytest.mark.parametrize(("side", "pad"), [(8, 1), (32, 4)])
def test_augment_crop_gives_windows_of_the_padded_image(kind, side, pad):
    images = numbered(40, side)
    found = augment(images, kind, torch.Generator().manual_seed(1))
    kinds = set()
    for image, crop in zip(images, found, strict=True):
        plain = any(torch.equal(crop, w) for w in windows(image, pad, mirrored=False))
        mirrored = any(torch.equal(crop, w) for w in windows(image, pad, mirrored=True))
        assert plain or (mirrored and kind == "crop-flip")
        kinds.add(plain)
    assert len(kinds) == (2 if kind == "crop-flip" else 1)


def test_augment_crop_offsets_are_uniform():
    image = torch.zeros(1, 8, 8, 1, dtype=torch.uint8)
    image[0, 4, 4] = 1
    found = augment(image.expand(9_000, -1, -1, -1), "crop", torch.Generator().manual_seed(0))
    places = found.flatten(1).long().argmax(1)
    _, counts = torch.unique(places, return_counts=True)
    assert len(counts) == 9
    assert (counts - 1_000).abs().max() < 150  # five standard deviations


def test_augment_is_a_function_of_the_generator():
    images = numbered(64, 8)
    first, second, other = (
        augment(images, "randaugment", torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
