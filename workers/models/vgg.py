"""VGG for images of at least 32x32 pixels (Simonyan & Zisserman 2015, arXiv 1409.1556).

The common variant for CIFAR: every convolution is followed by BatchNorm (and has no bias), and one
linear layer replaces the three of the original, which have 120 of its 140 M weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["VGG", "vgg11_slim", "vgg19"]

_SMALLEST = 32  # five poolings reduce it to one pixel


class VGG(nn.Module):
    """Five stages of 3x3 convolutions with BatchNorm, each ended by max-pooling; one linear layer.

    Args:
        depths: Convolutions of each stage.
        width: Channels of the first stage; the next three double it, the last keeps it.
        num_classes: Length of the output.
        in_channels: Channels of the images.
        image_size: Height and width of the images, at least 32 pixels.

    Raises:
        ValueError: A value is out of range.
    """

    def __init__(
        self,
        depths: tuple[int, int, int, int, int],
        width: int,
        *,
        num_classes: int,
        in_channels: int,
        image_size: int,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        if image_size < _SMALLEST:
            raise ValueError(
                f"VGG takes images of at least {_SMALLEST}x{_SMALLEST} pixels, got {image_size}"
            )
        channels = [in_channels]
        layers: list[nn.Module] = []
        for depth, factor in zip(depths, (1, 2, 4, 8, 8), strict=True):
            stage = [channels[-1], *[factor * width] * depth]
            layers += [layer for pair in pairwise(stage) for layer in _convolution(*pair)]
            layers.append(nn.MaxPool2d(2))
            channels.append(stage[-1])
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (n, num_classes)."""
        maps: Tensor = self.features(images)
        logits: Tensor = self.classifier(maps.mean((2, 3)))
        return logits


def vgg19(*, num_classes: int, in_channels: int, image_size: int, width: int = 64) -> VGG:
    """16 convolutions and a linear layer: 20,035,018 weights for CIFAR-10 at full width."""
    return VGG(
        (2, 2, 4, 4, 4),
        width,
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=image_size,
    )


def vgg11_slim(*, num_classes: int, in_channels: int, image_size: int, width: int = 16) -> VGG:
    """8 convolutions and a linear layer at a quarter of the width, for small machines."""
    return VGG(
        (1, 1, 2, 2, 2),
        width,
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=image_size,
    )


def _convolution(in_channels: int, out_channels: int) -> Iterator[nn.Module]:
    """A 3x3 convolution with BatchNorm and ReLU, initialized as by He et al. 2015."""
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    yield convolution
    yield nn.BatchNorm2d(out_channels)
    yield nn.ReLU(inplace=True)
