"""CIFAR-10 and CIFAR-100 from the published Python files, which torchvision downloads too."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from workers.datasets.archives import CIFAR10, CIFAR100, Archive
from workers.datasets.dataset import ImageDataset, ImageSet
from workers.datasets.dataset_source import DatasetSource, require_known_options
from workers.datasets.errors import DamagedDataError
from workers.datasets.verify import verify

__all__ = ["cifar", "cifar10", "cifar100"]


def cifar10(options: Mapping[str, Any], data_dir: Path) -> DatasetSource:
    """Return 60,000 colour images of 32 × 32 pixels in ten classes (Krizhevsky 2009)."""
    require_known_options("cifar10", options, allowed=())
    return cifar(CIFAR10, data_dir, label_key="labels", names_key="label_names")


def cifar100(options: Mapping[str, Any], data_dir: Path) -> DatasetSource:
    """Return 60,000 colour images of 32 × 32 pixels in 100 classes (Krizhevsky 2009)."""
    require_known_options("cifar100", options, allowed=())
    return cifar(CIFAR100, data_dir, label_key="fine_labels", names_key="fine_label_names")


def cifar(archive: Archive, data_dir: Path, *, label_key: str, names_key: str) -> DatasetSource:
    """Return the images of an archive's folder; its files are named as in the archive, in order."""

    def build() -> ImageDataset:
        folder = verify(archive, data_dir, key="dataset.name")
        *train_files, test_file, names_file = archive.files
        train = [_read_batch(folder / name, label_key) for name in train_files]
        test = _read_batch(folder / test_file, label_key)
        return ImageDataset.from_arrays(
            archive.name,
            np.concatenate([batch.images for batch in train]),
            np.concatenate([batch.labels for batch in train]),
            test.images,
            test.labels,
            tuple(_read(folder / names_file)[names_key]),
        )

    return DatasetSource(" ".join((archive.name, *archive.files.values())), build)


def _read_batch(path: Path, label_key: str) -> ImageSet:
    """Return one file's images; a row holds the red, the green, then the blue plane."""
    batch = _read(path)
    images = np.asarray(batch["data"]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return ImageSet(np.ascontiguousarray(images), np.asarray(batch[label_key], np.int64))


def _read(path: Path) -> dict[str, Any]:
    """Unpickle a file of arrays, strings and numbers."""
    try:
        with path.open("rb") as file:
            content: dict[str, Any] = _ArrayUnpickler(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError) as error:
        raise DamagedDataError(
            "dataset.name", f"{path} cannot be read: {error}", "delete it and fetch it again"
        ) from error
    return content


class _ArrayUnpickler(pickle.Unpickler):
    """Loads NumPy arrays of Python 2 pickles and refuses every other class."""

    def __init__(self, file: BinaryIO, *, encoding: str) -> None:
        super().__init__(file, encoding=encoding)

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module.endswith("core.multiarray"):
            return lambda kind, shape, code: np.ndarray.__new__(kind, shape, np.dtype(code))
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            # Those files pass align and copy as integers, which NumPy deprecates.
            return lambda code, *_: np.dtype(code)
        if (module, name) == ("_codecs", "encode"):
            return lambda text, encoding: text.encode(encoding)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a data file")
