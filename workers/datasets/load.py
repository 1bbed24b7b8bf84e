"""Loading of data sets by name; processes share the cached arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from workers import catalog
from workers.datasets.cache import open_or_rebuild
from workers.datasets.cifar import cifar10, cifar100
from workers.datasets.dataset import ImageDataset
from workers.datasets.dataset_source import DatasetSource
from workers.datasets.digits import digits
from workers.datasets.errors import (
    DamagedDataError,
    DatasetError,
    InvalidRequestError,
    system_errors,
)
from workers.datasets.image_folder import image_folder
from workers.datasets.text_dataset import TextDataset
from workers.datasets.text_file import text_file
from workers.datasets.zipf_grammar import zipf_grammar
from workers.own_code.errors import CodeError

__all__ = ["cache_folder", "load_dataset"]

_ARRAYS = 4
"""Arrays of a data set: images and labels for training, and for the test."""
_BUILT_IN: MappingProxyType[str, Callable[[Mapping[str, Any], Path], DatasetSource]] = (
    MappingProxyType(
        {
            "digits": digits,
            "cifar10": cifar10,
            "cifar100": cifar100,
            "image-folder": image_folder,
            "zipf-grammar": zipf_grammar,
            "text-file": text_file,
        }
    )
)


def load_dataset(
    name: str,
    *,
    options: Mapping[str, Any],
    data_dir: Path,
    files: Mapping[str, str] = MappingProxyType({}),
) -> ImageDataset | TextDataset:
    """Return a data set; it is built once per machine and then mapped from ``data_dir/cache``.

    Args:
        name: ``digits``, ``cifar10``, ``cifar100``, ``image-folder``, ``zipf-grammar``,
            ``text-file``, the name of an entry point
            in the group ``sasam.datasets``, a callable that takes ``options`` and ``data_dir`` by
            keyword, or that of a user's own code, see `workers.own_code.factories`. Both return
            `ImageDataset.from_arrays`, or arrays (train images, train labels, test images, test
            labels).
        options: The data set's keyword arguments (``dataset.kwargs``).
        data_dir: Folder of the data sets and the cache.
        files: Sources of the specification, for a data set of the user's own.

    Raises:
        DatasetError: The data set is unknown, or its files are missing, damaged or wrong.
    """
    with system_errors("dataset.name", f"the data of {name}"):
        built_in = _BUILT_IN.get(name)
        source = (
            _custom(name, options, data_dir, files)
            if built_in is None
            else built_in(options, data_dir)
        )
        digest = hashlib.sha256(source.key.encode()).hexdigest()
        folder = cache_folder(data_dir) / f"{name.replace('/', '-')}-{digest[:16]}"
        dataset = open_or_rebuild(
            folder, lambda unfinished: source.build().save(unfinished), source.open
        )
        return replace(dataset, notes=(*source.notes, *dataset.notes))


def _from_arrays(name: str, *arrays: npt.ArrayLike) -> ImageDataset:
    """Return the data set of four arrays, its classes named by their numbers."""
    images, labels, test_images, test_labels = (np.asarray(array) for array in arrays)
    numbers = [part for part in (labels, test_labels) if part.size and part.dtype.kind in "iu"]
    number = max((int(part.max()) for part in numbers), default=0) + 1
    classes = tuple(map(str, range(number)))
    return ImageDataset.from_arrays(name, images, labels, test_images, test_labels, classes)


def cache_folder(data_dir: Path) -> Path:
    """Return the folder of arrays that can be built again."""
    return data_dir / "cache"


def _custom(
    name: str, options: Mapping[str, Any], data_dir: Path, files: Mapping[str, str]
) -> DatasetSource:
    """Return the data set of an entry point or of a user's own code, its content as the key."""
    try:
        factory = catalog.datasets.load(name, files)
    except (ValueError, ImportError, AttributeError) as error:
        raise InvalidRequestError(
            "dataset.name", str(error), "name a known data set or install its package"
        ) from error
    try:
        dataset = factory(options=options, data_dir=data_dir)
        if isinstance(dataset, tuple) and len(dataset) == _ARRAYS:
            dataset = _from_arrays(name, *dataset)
    except (DatasetError, MemoryError):
        raise
    except Exception as error:  # another package's code may raise anything
        described = (
            str(error) if isinstance(error, CodeError) else f"{type(error).__name__}: {error}"
        )
        raise DamagedDataError(
            "dataset.name",
            f"data set {name} failed: {described}",
            "correct its code or the options in dataset.kwargs",
        ) from error
    if not isinstance(dataset, ImageDataset):
        raise DamagedDataError(
            "dataset.name",
            f"data set {name} returned {type(dataset).__name__}",
            "return arrays (train images, train labels, test images, test labels) or "
            "workers.datasets.ImageDataset.from_arrays(...)",
        )
    return DatasetSource(dataset.fingerprint, lambda: dataset)
