from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode, RandAugment
from torchvision.transforms.autoaugment import _apply_op

from workers.randaugment import OPERATIONS, apply_operation, randaugment

TORCHVISION = {
    "identity": "Identity",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "color": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
}


def smooth_images(n, channels=3, height=32, width=32):
    noise = torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(F.pad(noise, (2,) * 4, mode="reflect"), 5, 1).mul(255).to(torch.uint8)


def test_operations_are_those_of_torchvision():
    assert list(TORCHVISION) == list(OPERATIONS)
    assert set(TORCHVISION.values()) == set(RandAugment()._augmentation_space(31, (32, 32)))


@pytest.mark.parametrize("magnitude", [9, 23])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_apply_operation_agrees_with_torchvision(name, size, magnitude):
    maps = smooth_images(4, height=size[0], width=size[1])
    values, is_signed = RandAugment()._augmentation_space(31, size)[TORCHVISION[name]]
    value = float(values[magnitude]) if values.ndim else 0.0
    for sign in (1, -1) if is_signed else (1,):
        expected = torch.stack(
            [
                _apply_op(m, TORCHVISION[name], value * sign, InterpolationMode.NEAREST, None)
                for m in maps
            ]
        )
        found = apply_operation(name, maps, magnitude / 30, torch.full((4,), sign))
        difference = (found.int() - expected.int()).abs()
        # Rounding moves a value by one level, or a sample to its neighbour.
        assert (difference > 1).float().mean() < 2e-3


def test_apply_operation_each_image_has_its_own_sign():
    maps = smooth_images(2)
    mixed = apply_operation("rotate", maps, 0.3, torch.tensor([1, -1]))
    for i, sign in enumerate((1, -1)):
        alone = apply_operation("rotate", maps[i : i + 1], 0.3, torch.tensor([sign]))
        assert torch.equal(mixed[i : i + 1], alone)
    assert not torch.equal(mixed[0], apply_operation("rotate", maps, 0.3, -torch.ones(2))[0])


def test_randaugment_draws_for_each_image_and_repeats():
    images = smooth_images(1).permute(0, 2, 3, 1).expand(64, -1, -1, -1).contiguous()
    generator = torch.Generator().manual_seed(5)
    first = randaugment(images, generator)
    assert first.shape == images.shape
    assert first.dtype == torch.uint8
    assert len(torch.unique(first.flatten(1), dim=0)) > 40
    assert torch.equal(first, randaugment(images, torch.Generator().manual_seed(5)))


def test_randaugment_grey_images_keep_their_channel():
    images = smooth_images(32, channels=1, height=8, width=8).permute(0, 2, 3, 1).contiguous()
    assert randaugment(images, torch.Generator().manual_seed(0)).shape == (32, 8, 8, 1)
