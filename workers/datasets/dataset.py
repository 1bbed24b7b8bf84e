"""Data set of labelled images, in memory or mapped from disk, validated when created."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from workers.datasets.cache import map_array, require_space, save_array
from workers.datasets.doubtful_images import describe_doubtful_images
from workers.datasets.errors import DamagedDataError

__all__ = ["ImageDataset", "ImageSet", "Images", "Labels"]

Images = npt.NDArray[np.uint8]
"""Shape (images, height, width, channels), channels 1 or 3: the layout of CIFAR-10-C's files.

``torch.from_numpy(images).permute(0, 3, 1, 2)`` is (n, c, h, w) in channels-last memory, no copy.
"""

Labels = npt.NDArray[np.int64]

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """Images and their labels, shapes (n, height, width, channels) and (n,)."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> Images:
        """What the network sees."""
        return self.images

    @property
    def strata(self) -> Labels:
        """The groups that subsets keep the shares of: the classes."""
        return self.labels

    @property
    def stored(self) -> Images:
        """The array that is shared between processes."""
        return self.images

    def take(self, indices: npt.NDArray[np.int64], stored: Images | None = None) -> ImageSet:
        """The images at some indices; ``stored`` is their array if it exists already."""
        images = self.images[indices] if stored is None else stored
        return ImageSet(images, self.labels[indices])


@dataclass(frozen=True, slots=True, eq=False)
class ImageDataset:
    """Training and test images of one size; created by `from_arrays`, which validates them.

    Args:
        name: Its name in a specification.
        train_images: uint8, shape (n, height, width, channels).
        train_labels: int64, shape (n,), in [0, len(classes)).
        test_images: As the training images.
        test_labels: As the training labels.
        classes: Names of the classes by label.
        mean: Mean of each channel over the training images, pixels in [0, 1].
        std: Standard deviation, likewise.
        fingerprint: SHA-256 of the arrays and class names.
        notes: Sentences about the data that a user should know.
    """

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()

    is_consecutive: ClassVar[bool] = False
    """Images do not follow each other like passages of a text."""

    @classmethod
    def from_arrays(
        cls,
        name: str,
        train_images: Images,
        train_labels: npt.NDArray[np.integer],
        test_images: Images,
        test_labels: npt.NDArray[np.integer],
        classes: tuple[str, ...],
        notes: tuple[str, ...] = (),
    ) -> ImageDataset:
        """Validate the arrays; compute moments, fingerprint and notes.

        Images of a single colour, repeated images and test images that are also training images
        add to the notes.

        Raises:
            DamagedDataError: Shapes, types or labels are wrong.
        """
        _check(name, "training", train_images, train_labels, classes)
        _check(name, "test", test_images, test_labels, classes)
        if train_images.shape[1:] != test_images.shape[1:]:
            raise DamagedDataError(
                "dataset.name",
                f"{name} has training images of shape {train_images.shape[1:]} and test images "
                f"of shape {test_images.shape[1:]}",
                "give both one size and one number of channels",
            )
        arrays = (
            train_images,
            train_labels.astype(np.int64),
            test_images,
            test_labels.astype(np.int64),
        )
        mean, std = _channel_moments(train_images)
        fingerprint = _fingerprint(arrays, classes)
        found = describe_doubtful_images(*arrays)
        return cls(name, *arrays, classes, mean, std, fingerprint, (*notes, *found))

    @property
    def train(self) -> ImageSet:
        """All training images."""
        return ImageSet(self.train_images, self.train_labels)

    @property
    def test(self) -> ImageSet:
        """All test images."""
        return ImageSet(self.test_images, self.test_labels)

    @property
    def examples(self) -> str:
        """What its examples are, in words."""
        height, width, channels = self.train_images.shape[1:]
        return (
            f"images of {height} x {width} pixels, {channels} "
            f"{'channel' if channels == 1 else 'channels'}, {len(self.classes)} classes"
        )

    def save(self, folder: Path) -> None:
        """Write the data set to an existing folder, for `open`."""
        size = self.train_images.nbytes + self.test_images.nbytes
        require_space(folder, size, key="dataset.name")
        for array in _ARRAYS:
            save_array(folder / f"{array}.npy", getattr(self, array))
        facts = {
            "name": self.name,
            "classes": self.classes,
            "mean": self.mean,
            "std": self.std,
            "fingerprint": self.fingerprint,
            "notes": self.notes,
        }
        (folder / "dataset.json").write_text(json.dumps(facts))

    @classmethod
    def open(cls, folder: Path) -> ImageDataset:
        """Map a data set that `save` wrote.

        Raises:
            ValueError: A file is damaged.
            OSError: A file is missing.
        """
        facts: dict[str, Any] = json.loads((folder / "dataset.json").read_text())
        return cls(
            name=facts["name"],
            train_images=map_array(folder / "train_images.npy"),
            train_labels=map_array(folder / "train_labels.npy"),
            test_images=map_array(folder / "test_images.npy"),
            test_labels=map_array(folder / "test_labels.npy"),
            classes=tuple(facts["classes"]),
            mean=tuple(facts["mean"]),
            std=tuple(facts["std"]),
            fingerprint=facts["fingerprint"],
            notes=tuple(facts.get("notes", ())),  # older versions wrote none
        )


def _check(
    name: str,
    part: str,
    images: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    classes: tuple[str, ...],
) -> None:
    """Raise DamagedDataError if types, shapes or labels are wrong."""
    problem = None
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        problem = (
            f"{part} images are {images.dtype} of shape {images.shape}",
            "give uint8 of shape (n, height, width, 1 or 3)",
        )
    elif labels.dtype.kind not in "iu" or labels.shape != (len(images),) or not len(images):
        problem = (
            f"{len(images)} {part} images have {labels.dtype} labels of shape {labels.shape}",
            "give one integer label per image, and at least one image",
        )
    elif labels.min() < 0 or labels.max() >= len(classes):
        problem = (
            f"{part} labels lie in [{labels.min()}, {labels.max()}]",
            f"labels of {len(classes)} classes lie in [0, {len(classes) - 1}]",
        )
    if problem is not None:
        raise DamagedDataError("dataset.name", f"{name}: {problem[0]}", problem[1])


def _channel_moments(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the exact mean and deviation of each channel, from the counts of the 256 values."""
    values = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(images.shape[-1]):
        counts = np.bincount(images[..., channel].reshape(-1), minlength=256)
        mean = np.average(values, weights=counts)
        means.append(float(mean))
        deviation = np.sqrt(np.average((values - mean) ** 2, weights=counts))
        deviations.append(float(max(deviation, 1 / 255)))  # never 0
    return tuple(means), tuple(deviations)


def _fingerprint(arrays: tuple[npt.NDArray[Any], ...], classes: tuple[str, ...]) -> str:
    """Return the SHA-256 of arrays and class names."""
    digest = hashlib.sha256(json.dumps(classes).encode())
    for array in arrays:
        digest.update(repr((array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
