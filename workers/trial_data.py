"""Examples of a trial, images or texts: loading, placement on the device that trains, batches.

They stay uint8, one byte per value or token, and become what a network takes one chunk at a time,
so that a whole data set fits into the memory of an accelerator. No other process handles them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import singledispatch
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
    ImageDataset,
    ImageSet,
    ShiftedTexts,
    TextDataset,
    TokenSet,
    corrupted_test_set,
    load_dataset,
    load_test_set,
    shifted_texts,
    split,
)
from workers.example_inputs import ExampleInputs, ImageInputs, Normalisation, TokenInputs
from workers.seeding import stream
from workers.spec import DatasetSpec, OodSpec

__all__ = [
    "DeviceData",
    "DeviceImages",
    "Normalisation",
    "TrialData",
    "example_inputs",
    "load_trial_data",
    "ood_sets",
]

Examples = ImageSet | TokenSet

# Values augmented and normalised at once: few kernels on an accelerator, cache-sized on a CPU.
_CHUNK_VALUES = {"cpu": 2**18, "accelerator": 2**24}
# Share of an accelerator's memory that images may take with ``placement: auto``.
_RESIDENT_SHARE = 0.1
_CORRUPTED_IMAGES_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class TrialData:
    """All examples of a trial, on the host.

    Args:
        train: Training examples.
        validation: Validation examples.
        ood: The corrupted or shifted test sets; None without any.
        inputs: What the examples are to a network.
        test_sets: Further test sets by name.
        fingerprint: Digests of the data; empty for examples without a source.
        notes: Sentences about the data that a user should know.
    """

    train: Examples
    validation: Examples
    ood: CorruptedSet | ShiftedTexts | None
    inputs: ExampleInputs
    test_sets: Mapping[str, Examples] = field(default_factory=dict)
    fingerprint: str = ""
    notes: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """Number of classes, or of tokens."""
        return self.inputs.num_classes

    @property
    def ood_sets(self) -> Sequence[Examples]:
        """The examples of each OOD cell; as many in each."""
        return () if self.ood is None else self.ood.sets

    @property
    def size_bytes(self) -> int:
        """Bytes of all examples."""
        whole = (self.train, self.validation, *self.ood_sets, *self.test_sets.values())
        return sum(examples.stored.nbytes for examples in whole)

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
    """Load the examples of a specification; generate missing corrupted images.

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
    shifted = None
    if ood is not None:
        count = ood.images or dataset.test_size
        folders = {"data_dir": data_dir, "cache_dir": cache_dir}
        shifted = ood_sets(whole, ood, count=count, seed=dataset.seed, **folders)
    return TrialData(
        train=parts.train,
        validation=parts.validation,
        ood=shifted,
        inputs=example_inputs(whole),
        test_sets={name: load_test_set(name, whole, data_dir) for name in dataset.test_sets},
        fingerprint=whole.fingerprint + (shifted.fingerprint if shifted is not None else ""),
        notes=whole.notes,
    )


@singledispatch
def example_inputs(dataset: ImageDataset | TextDataset) -> ExampleInputs:
    """What the examples of a data set are to a network."""
    raise TypeError(f"unknown data set {type(dataset).__name__}")


@example_inputs.register
def _image_inputs(dataset: ImageDataset) -> ImageInputs:
    _, size, _, channels = dataset.train_images.shape
    return ImageInputs(len(dataset.classes), channels, size, dataset.mean, dataset.std)


@example_inputs.register
def _token_inputs(dataset: TextDataset) -> TokenInputs:
    return TokenInputs(len(dataset.classes), dataset.context)


@singledispatch
def ood_sets(
    dataset: ImageDataset | TextDataset,
    ood: OodSpec,
    *,
    count: int | None,
    seed: int,
    data_dir: Path,
    cache_dir: Path,
) -> CorruptedSet | ShiftedTexts:
    """The OOD sets of a data set.

    Args:
        dataset: The data set.
        ood: Which sets.
        count: Examples of each cell; None for all.
        seed: Seed of their choice.
        data_dir: Folder of the data sets.
        cache_dir: Folder of generated images.

    Raises:
        DatasetError: There is no such set, or files are missing or damaged.
    """
    raise TypeError(f"unknown data set {type(dataset).__name__}")


@ood_sets.register
def _corrupted(
    dataset: ImageDataset,
    ood: OodSpec,
    *,
    count: int | None,
    seed: int,
    data_dir: Path,
    cache_dir: Path,
) -> CorruptedSet:
    return corrupted_test_set(
        dataset,
        ood.names,
        ood.severities,
        images=count,
        seed=seed,
        cache_dir=cache_dir,
        data_dir=data_dir,
        source=ood.source,
    )


@ood_sets.register
def _shifted(
    dataset: TextDataset,
    ood: OodSpec,
    *,
    count: int | None,
    seed: int,
    data_dir: Path,
    cache_dir: Path,
) -> ShiftedTexts:
    return shifted_texts(dataset, ood.corruptions, ood.severities, sequences=count, seed=seed)


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
        """The OOD cells in order; small ones are joined."""
        if cells := data.ood_sets:
            together = max(1, _CORRUPTED_IMAGES_AT_ONCE // len(cells[0]))
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
    """Labelled examples, images or sequences, that are read in batches on one device.

    Args:
        sources: The examples.
        device: Device of the batches.
        resident: Keep all images on the device; otherwise each chunk is copied when it is read.
    """

    def __init__(
        self,
        sources: Sequence[Examples],
        device: torch.device,
        *,
        resident: bool = True,
    ) -> None:
        self.device = device
        images = _joined([source.inputs for source in sources])
        kind = "cpu" if device.type == "cpu" else "accelerator"
        self._chunk = max(1, _CHUNK_VALUES[kind] // int(np.prod(images.shape[1:])))
        self._images = torch.from_numpy(images).to(device if resident else "cpu")
        self.labels = torch.from_numpy(_joined([source.labels for source in sources])).to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def epoch(
        self,
        normalise: Callable[[Tensor], Tensor],
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
            labels = self.labels[numbers.to(self.device)].long()
            yield from _batches(images, labels, batch_size)

    def in_order(
        self, normalise: Callable[[Tensor], Tensor], *, batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images in batches, in order and without augmentation."""
        for images, labels in _batches(self._images, self.labels, batch_size):
            yield normalise(images.to(self.device, non_blocking=True)), labels.long()


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
