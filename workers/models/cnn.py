"""``cnn_tiny``: a convolutional network for small images that trains in seconds on one core."""

from __future__ import annotations

from torch import nn

__all__ = ["cnn_tiny"]


def cnn_tiny(
    *, num_classes: int, in_channels: int, image_size: int, width: int = 16
) -> nn.Sequential:
    """Two strided convolutions with BatchNorm and one linear layer.

    Args:
        num_classes: Length of the output.
        in_channels: Channels of the images.
        image_size: Height and width of the images, at least 4 pixels. Feature maps larger than
            2x2 are average-pooled to about 2x2 before the linear layer.
        width: Channels of the first convolution; the second has twice as many.

    Raises:
        ValueError: A value is out of range.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    if image_size < 4:
        raise ValueError(f"cnn-tiny takes images of at least 4x4 pixels, got {image_size}")
    side = -(-image_size // 4)  # of the feature map after both convolutions
    window = max(1, side // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        # Non-overlapping windows: their backward pass is deterministic on every device.
        nn.AvgPool2d(window) if window > 1 else nn.Identity(),
        nn.Flatten(),
        nn.Linear(2 * width * (side // window) ** 2, num_classes),
    )
