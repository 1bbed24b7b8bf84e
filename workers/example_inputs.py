"""What the examples of a data set are to a network: images, or sequences of tokens.

A network takes a batch of examples, shape (n, ...), and returns logits with the classes in the
second dimension, as the cross-entropy of torch takes them: (n, classes) for images, (n, tokens,
context) for texts. Everything else that differs between the two belongs here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["ExampleInputs", "ImageInputs", "Normalisation", "TokenInputs", "per_prediction"]


class ExampleInputs(Protocol):
    """The examples of a data set as inputs of a network."""

    @property
    def num_classes(self) -> int:
        """Number of classes or tokens: the second dimension of the logits."""
        ...

    @property
    def noun(self) -> str:
        """Name of the examples in messages, in the plural."""
        ...

    @property
    def size(self) -> str:
        """Size of an example in messages."""
        ...

    @property
    def network_arguments(self) -> dict[str, int]:
        """Arguments of a network that depend on the data."""
        ...

    def logits_shape(self, count: int) -> tuple[int, ...]:
        """Shape of the logits of a batch."""
        ...

    def preparation(
        self, device: torch.device, *, channels_last: bool
    ) -> Callable[[Tensor], Tensor]:
        """A function that maps stored examples on a device to what the network takes."""
        ...

    def zeros(self, count: int, device: str = "cpu") -> Tensor:
        """A batch as the network takes it, for measurements of memory."""
        ...

    def random_batch(self, count: int, *, channels_last: bool) -> tuple[Tensor, Tensor]:
        """A batch as the network takes it and its labels, the same in every call."""
        ...


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """Images.

    Args:
        num_classes: Number of classes.
        in_channels: Channels: 1 or 3.
        image_size: Height and width, in pixels.
        mean: Mean of each channel over the training images, pixels in [0, 1].
        std: Standard deviation, likewise.
    """

    num_classes: int
    in_channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def noun(self) -> str:
        """Name of the examples."""
        return "images"

    @property
    def size(self) -> str:
        """Channels, height and width."""
        return " x ".join(map(str, self._shape(1)[1:]))

    @property
    def network_arguments(self) -> dict[str, int]:
        """Number of classes, channels and size."""
        return {
            "num_classes": self.num_classes,
            "in_channels": self.in_channels,
            "image_size": self.image_size,
        }

    def logits_shape(self, count: int) -> tuple[int, ...]:
        """One row per image."""
        return count, self.num_classes

    def preparation(
        self, device: torch.device, *, channels_last: bool
    ) -> Callable[[Tensor], Tensor]:
        """Normalisation."""
        return Normalisation(self.mean, self.std, device, channels_last=channels_last)

    def zeros(self, count: int, device: str = "cpu") -> Tensor:
        """Images of zeros."""
        return torch.zeros(self._shape(count), device=device)

    def random_batch(self, count: int, *, channels_last: bool) -> tuple[Tensor, Tensor]:
        """Normally distributed pixels."""
        images = torch.randn(self._shape(count), generator=torch.Generator().manual_seed(0))
        if channels_last:
            images = images.to(memory_format=torch.channels_last)
        return images, torch.arange(count) % self.num_classes

    def _shape(self, count: int) -> tuple[int, int, int, int]:
        return count, self.in_channels, self.image_size, self.image_size


@dataclass(frozen=True, slots=True)
class TokenInputs:
    """Sequences of tokens.

    Args:
        num_classes: Number of tokens.
        context: Tokens that the network sees at once.
    """

    num_classes: int
    context: int

    @property
    def noun(self) -> str:
        """Name of the examples."""
        return "sequences"

    @property
    def size(self) -> str:
        """Length."""
        return f"{self.context} tokens"

    @property
    def network_arguments(self) -> dict[str, int]:
        """Number of tokens, and length."""
        return {"num_classes": self.num_classes, "context": self.context}

    def logits_shape(self, count: int) -> tuple[int, ...]:
        """One distribution per token."""
        return count, self.num_classes, self.context

    def preparation(
        self, device: torch.device, *, channels_last: bool
    ) -> Callable[[Tensor], Tensor]:
        """Embeddings take int64."""
        return Tensor.long

    def zeros(self, count: int, device: str = "cpu") -> Tensor:
        """Sequences of token 0."""
        return torch.zeros((count, self.context), dtype=torch.int64, device=device)

    def random_batch(self, count: int, *, channels_last: bool) -> tuple[Tensor, Tensor]:
        """Evenly distributed tokens."""
        generator = torch.Generator().manual_seed(0)
        shape = (count, self.context + 1)
        tokens = torch.randint(self.num_classes, shape, generator=generator)
        return tokens[:, :-1], tokens[:, 1:]


def per_prediction(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and labels with one row per prediction: per image, or per token of every sequence.

    Args:
        logits: Shape (n, classes, ...).
        labels: Shape (n, ...).

    Returns:
        Shapes (predictions, classes) and (predictions,).
    """
    return logits.movedim(1, -1).flatten(0, -2), labels.flatten()


class Normalisation:
    """Normalises uint8 images for a network: (x / 255 - mean) / std.

    Args:
        mean: Mean of each channel, pixels in [0, 1].
        std: Standard deviation, likewise.
        device: Device of the images.
        channels_last: Whether the result has the channels last in memory.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        *,
        channels_last: bool,
    ) -> None:
        deviation = torch.tensor(std, dtype=torch.float64)
        shift = -torch.tensor(mean, dtype=torch.float64) / deviation
        self._scale = (1.0 / (255.0 * deviation)).float().to(device)
        self._shift = shift.float().to(device)
        self._channels_last = channels_last

    def __call__(self, images: Tensor) -> Tensor:
        """Map uint8 (n, height, width, channels) to float32 (n, channels, height, width)."""
        normalised = torch.addcmul(self._shift, images, self._scale).permute(0, 3, 1, 2)
        if self._channels_last:
            return normalised
        # `contiguous` would keep the strides of one channel, which is both first and last.
        return normalised.clone(memory_format=torch.contiguous_format)
