"""Images of a trial: loading, placement on the device that trains, batches, normalisation.

Images stay uint8, one byte per value, and become normalised floats one chunk at a time, so that a
whole data set fits into the memory of an accelerator. No other process handles them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workers.augmentation import Augmentation, augment
from workers.datasets import (
    CorruptedSet,
    ImageSet,
    corrupted_test_set,
    load_dataset,
    load_test_set,
    split,
)
from workers.seeding import stream
from workers.spec import DatasetSpec, OodSpec

__all__ = ["DeviceData", "DeviceImages", "Normalisation", "TrialData", "load_trial_data"]

# Values augmented and normalised at once: few kernels on an accelerator, cache-sized on a CPU.
_CHUNK_VALUES = {"cpu": 2**18, "accelerator": 2**24}
# Share of an accelerator's memory that images may take with ``placement: auto``.
_RESIDENT_SHARE = 0.1
_CORRUPTED_IMAGES_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class TrialData:
    """All images of a trial, on the host.

    Args:
        train: Training images.
        validation: Validation images.
        ood: The corrupted test set; None without one.
        num_classes: Number of classes.
        mean: Mean of each channel over the training images, pixels in [0, 1].
        std: Standard deviation, likewise.
        test_sets: Further test sets by name.
        fingerprint: Digests of the data; empty for images without a source.
        notes: Sentences about the data that a user should know.
    """

    train: ImageSet
    validation: ImageSet
    ood: CorruptedSet | None
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    test_sets: Mapping[str, ImageSet] = field(default_factory=dict)
    fingerprint: str = ""
    notes: tuple[str, ...] = ()

    @property
    def image_size(self) -> int:
        """Height and width of the images."""
        return int(self.train.images.shape[1])

    @property
    def in_channels(self) -> int:
        """Channels of the images."""
        return int(self.train.images.shape[3])

    @property
    def size_bytes(self) -> int:
        """Bytes of all images."""
        corrupted = [] if self.ood is None else [images for _, images in self.ood]
        others = [images.images for images in self.test_sets.values()]
        whole = (self.train.images, self.validation.images, *corrupted, *others)
        return sum(images.nbytes for images in whole)

    def with_training_images(self, other: TrialData) -> TrialData:
        """These data with other training images.

        Args:
            other: Data with the images, loaded without a corrupted test set.
        """
        corrupted = "" if self.ood is None else self.ood.fingerprint
        return replace(self, train=other.train, fingerprint=other.fingerprint + corrupted)


def load_trial_data(
    dataset: DatasetSpec,
    ood: OodSpec | None,
    *,
    data_dir: Path,
    cache_dir: Path,
    files: Mapping[str, str] = MappingProxyType({}),
) -> TrialData:
    """Load the images of a specification; generate missing corrupted images.

    Args:
        dataset: Data set and its split.
        ood: The corrupted test set, if any.
        data_dir: Folder of the data sets.
        cache_dir: Folder of subsets and generated images.
        files: Sources of the specification, for a data set of the user's own.

    Raises:
        DatasetError: Images are missing, damaged, or fewer than requested.
    """
    whole = load_dataset(dataset.name, options=dataset.kwargs, data_dir=data_dir, files=files)
    parts = split(
        whole,
        dataset.validation,
        dataset.validation_fraction,
        seed=dataset.seed,
        train_size=dataset.train_size,
        test_size=dataset.test_size,
        cache_dir=cache_dir,
    )
    corrupted = None
    if ood is not None:
        corrupted = corrupted_test_set(
            whole,
            ood.names,
            ood.severities,
            images=ood.images or dataset.test_size,
            seed=dataset.seed,
            cache_dir=cache_dir,
            data_dir=data_dir,
            source=ood.source,
        )
    return TrialData(
        train=parts.train,
        validation=parts.validation,
        ood=corrupted,
        num_classes=len(whole.classes),
        mean=whole.mean,
        std=whole.std,
        test_sets={name: load_test_set(name, whole, data_dir) for name in dataset.test_sets},
        fingerprint=whole.fingerprint + (corrupted.fingerprint if corrupted is not None else ""),
        notes=whole.notes,
    )


class DeviceData:
    """The images of a trial as batches on one device; trials can share it.

    Args:
        data: The images.
        device: Device of the batches.
        placement: ``device``, ``host``, or ``auto`` for the device if the images fit.
    """

    def __init__(self, data: TrialData, device: torch.device, placement: str = "auto") -> None:
        self.host = data
        self.device = device
        resident = placement == "device" or (placement == "auto" and _fits(data, device))
        self._is_resident = resident
        self.train = DeviceImages([data.train], device, resident=resident)
        self.validation = DeviceImages([data.validation], device, resident=resident)
        self.ood: list[DeviceImages] = []
        """The corruption cells in order; small ones are joined."""
        if data.ood is not None:
            cells = [ImageSet(images, data.ood.labels) for _, images in data.ood]
            together = max(1, _CORRUPTED_IMAGES_AT_ONCE // len(data.ood.labels))
            self.ood = [
                DeviceImages(cells[start : start + together], device, resident=resident)
                for start in range(0, len(cells), together)
            ]

        self.test_sets = {
            name: DeviceImages([images], device, resident=resident)
            for name, images in data.test_sets.items()
        }
        """The further test sets by name."""

    def use_training_images(self, other: TrialData) -> None:
        """Replace the training images alone, as `TrialData.with_training_images` does."""
        self.host = self.host.with_training_images(other)
        self.train = DeviceImages([other.train], self.device, resident=self._is_resident)


class DeviceImages:
    """Labelled images that are read in batches on one device.

    Args:
        sources: The images.
        device: Device of the batches.
        resident: Keep all images on the device; otherwise each chunk is copied when it is read.
    """

    def __init__(
        self, sources: Sequence[ImageSet], device: torch.device, *, resident: bool = True
    ) -> None:
        self.device = device
        images = _joined([source.images for source in sources])
        kind = "cpu" if device.type == "cpu" else "accelerator"
        self._chunk = max(1, _CHUNK_VALUES[kind] // int(np.prod(images.shape[1:])))
        self._images = torch.from_numpy(images).to(device if resident else "cpu")
        self.labels = torch.from_numpy(_joined([source.labels for source in sources])).to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def epoch(
        self,
        normalise: Normalisation,
        *,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        epoch: int,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of a training epoch; order and augmentation depend on (seed, epoch).

        The images of an incomplete last batch are left out; they differ between epochs.
        """
        whole = len(self) - len(self) % batch_size
        order = torch.randperm(len(self), generator=stream(seed, "order", epoch))[:whole]
        draws = stream(seed, "augmentation", epoch)
        at_once = max(1, self._chunk // batch_size) * batch_size
        for numbers in torch.split(order, at_once):
            chosen = self._images[numbers.to(self._images.device)]
            chosen = chosen.to(self.device, non_blocking=True)
            images = normalise(augment(chosen, augmentation, draws))
            labels = self.labels[numbers.to(self.device)]
            yield from _batches(images, labels, batch_size)

    def in_order(
        self, normalise: Normalisation, *, batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images in batches, in order and without augmentation."""
        for images, labels in _batches(self._images, self.labels, batch_size):
            yield normalise(images.to(self.device, non_blocking=True)), labels


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


def _batches(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(torch.split(images, size), torch.split(labels, size), strict=True)


def _joined(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Concatenate arrays; a single one stays mapped from its file."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _fits(data: TrialData, device: torch.device) -> bool:
    """Whether the images take a small share of the device's memory."""
    if device.type != "cuda":
        return True
    total = torch.cuda.get_device_properties(device).total_memory
    return data.size_bytes < _RESIDENT_SHARE * total
