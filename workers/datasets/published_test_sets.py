"""Published test sets beside a data set's own: newly collected images of the same classes.

    CIFAR-10.1   about 2,000 images collected for CIFAR-10's ten classes, as its authors describe
                 (Recht, Roelofs, Schmidt & Shankar 2018, arXiv 1806.00451; files of
                 github.com/modestyachts/CIFAR-10.1, MIT licence). v4 has 2,021 images, slightly
                 unbalanced; v6 has 2,000, balanced, and is the one its authors recommend.

Each is a pair of NumPy files: images, uint8 (n, 32, 32, 3), and labels, int32 (n,), in the order of
the data set's classes. A file is checked against its object id in the authors' Git repository: the
SHA-1 of its length and content.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from workers.datasets.cache import map_array
from workers.datasets.dataset import ImageDataset, ImageSet
from workers.datasets.errors import (
    DamagedDataError,
    InvalidRequestError,
    MissingDataError,
    system_errors,
)
from workers.datasets.text_dataset import TextDataset

__all__ = ["PUBLISHED_TEST_SETS", "PublishedTestSet", "load_test_set"]

_KEY = "dataset.test_sets"


@dataclass(frozen=True, slots=True)
class PublishedTestSet:
    """Files of a published test set.

    Args:
        dataset: The data set whose classes it has.
        url: Where its files are published.
        folder: Their folder below the data folder.
        images: Name and Git object id of the file of images.
        labels: Name and Git object id of the file of labels.
        size: Number of images.
    """

    dataset: str
    url: str
    folder: str
    images: tuple[str, str]
    labels: tuple[str, str]
    size: int


def _cifar10_1(version: str, size: int, images: str, labels: str) -> PublishedTestSet:
    return PublishedTestSet(
        dataset="cifar10",
        url="https://github.com/modestyachts/CIFAR-10.1/tree/master/datasets",
        folder="CIFAR-10.1",
        images=(f"cifar10.1_{version}_data.npy", images),
        labels=(f"cifar10.1_{version}_labels.npy", labels),
        size=size,
    )


PUBLISHED_TEST_SETS: MappingProxyType[str, PublishedTestSet] = MappingProxyType(
    {
        "cifar10.1-v4": _cifar10_1(
            "v4",
            2_021,
            "1094f59a54cf768f7b1ca5029eb4a94b8c635ebe",
            "64acdcc7ba98d0554f9c9fe00c5483d9247e61df",
        ),
        "cifar10.1-v6": _cifar10_1(
            "v6",
            2_000,
            "24349cc5f3fb59648d75cd8015b5a184b1f5c250",
            "e713b09cecf2ecd933970001909fcdec7c907ab0",
        ),
    }
)
"""The test sets by name; facts of ``workers.catalog`` have the names of each data set."""


@system_errors(_KEY, "the test set")
def load_test_set(name: str, dataset: ImageDataset | TextDataset, data_dir: Path) -> ImageSet:
    """Return a published test set of a data set.

    Args:
        name: Name in `PUBLISHED_TEST_SETS`.
        dataset: The data set whose classes it has.
        data_dir: Folder that contains the folder of its files.

    Raises:
        InvalidRequestError: There is no such test set of this data set.
        MissingDataError: A file is not there.
        DamagedDataError: A file is not the published one, or its content does not fit.
    """
    files = PUBLISHED_TEST_SETS.get(name)
    if files is None or files.dataset != dataset.name or not isinstance(dataset, ImageDataset):
        fitting = [k for k, v in PUBLISHED_TEST_SETS.items() if v.dataset == dataset.name]
        raise InvalidRequestError(
            _KEY,
            f"{dataset.name} has no test set {name!r}",
            f"choose from {', '.join(fitting)}" if fitting else "leave test_sets out",
        )
    images, labels = (
        map_array(_checked(data_dir / files.folder, *file, files))
        for file in (files.images, files.labels)
    )
    shape = (files.size, *dataset.test_images.shape[1:])
    problem = None
    if images.dtype != np.uint8 or images.shape != shape:
        problem = f"{files.images[0]} has {images.dtype} of shape {images.shape}, not uint8 {shape}"
    elif labels.dtype.kind not in "iu" or labels.shape != shape[:1]:
        problem = (
            f"{files.labels[0]} has {labels.dtype} of shape {labels.shape}, "
            f"not integers of shape {shape[:1]}"
        )
    elif labels.min() < 0 or labels.max() >= len(dataset.classes):
        problem = (
            f"{files.labels[0]} has labels from {labels.min()} to {labels.max()}, not within "
            f"0 to {len(dataset.classes) - 1}"
        )
    if problem is not None:
        raise DamagedDataError(_KEY, problem, f"get the files from {files.url}")
    return ImageSet(images, labels.astype(np.int64))


def _checked(folder: Path, name: str, object_id: str, files: PublishedTestSet) -> Path:
    """Return the path of a file that is the published one."""
    path = folder / name
    if not path.is_file():
        raise MissingDataError(
            _KEY, f"{path} is not there", f"put {name} (from {files.url}) into {folder}"
        )
    content = path.read_bytes()
    # Git hashes with SHA-1; this detects damage, it is no signature.
    digest = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    if digest.hexdigest() != object_id:
        raise DamagedDataError(
            _KEY,
            f"{path} has the Git object id {digest.hexdigest()}, not the published {object_id}",
            f"replace it by the file from {files.url}",
        )
    return path
