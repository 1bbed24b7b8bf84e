"""Finds readable images that make results doubtful: of a single colour, repeated, leaked.

Images are identical if all their pixels are equal, at the size used for training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from workers.datasets.notes import counted_of

__all__ = ["describe_doubtful_images"]

_COLOUR = "a single colour"
_Images = npt.NDArray[np.uint8]
_Labels = npt.NDArray[np.int64]


def describe_doubtful_images(
    train_images: _Images, train_labels: _Labels, test_images: _Images, test_labels: _Labels
) -> tuple[str, ...]:
    """Return one sentence per kind of doubtful image that occurs.

    Args:
        train_images: uint8, shape (n, height, width, channels).
        train_labels: int64, shape (n,).
        test_images: As the training images.
        test_labels: As the training labels.
    """
    digests = _digests(train_images)
    classes: dict[bytes, set[int]] = {}
    for digest, label in zip(digests, train_labels.tolist(), strict=True):
        classes.setdefault(digest, set()).add(label)
    leaked = sum(digest in classes for digest in _digests(test_images))
    disputed = sum(len(classes[digest]) > 1 for digest in digests)
    found = [
        (_constant(train_images), len(train_images), "training images", "holds", "hold", _COLOUR),
        (_constant(test_images), len(test_images), "test images", "holds", "hold", _COLOUR),
        (
            *(len(digests) - len(classes), len(digests)),
            *("training images", "repeats", "repeat", "another one"),
        ),
        (disputed, len(digests), "training images", "occurs", "occur", "under more than one class"),
        (leaked, len(test_labels), "test images", "is", "are", "identical to a training image"),
    ]
    return tuple(
        counted_of(count, total, f"{images} {singular} {rest}", f"{images} {plural} {rest}")
        for count, total, images, singular, plural, rest in found
        if count
    )


def _digests(images: _Images) -> list[bytes]:
    """Return a digest of the pixels of each image."""
    return [
        hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        for image in images
    ]


def _constant(images: _Images) -> int:
    """Return the number of images whose pixels are all the same."""
    return sum(_is_constant(images))


def _is_constant(images: _Images) -> Iterator[bool]:
    for image in images:
        yield bool((image == image[0, 0]).all())
