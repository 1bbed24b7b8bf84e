"""Loading of data sets by name; processes share the cached arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

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

__all__ = ["cache_folder", "load_dataset"]

_BUILT_IN: MappingProxyType[str, Callable[[Mapping[str, Any], Path], DatasetSource]] = (
    MappingProxyType(
        {
            "digits": digits,
            "cifar10": cifar10,
            "cifar100": cifar100,
            "image-folder": image_folder,
        }
    )
)


def load_dataset(name: str, *, options: Mapping[str, Any], data_dir: Path) -> ImageDataset:
    """Return a data set; it is built once per machine and then mapped from ``data_dir/cache``.

    Args:
        name: ``digits``, ``cifar10``, ``cifar100``, ``image-folder``, or the name of an entry
            point in the group ``sasam.datasets``: a callable that takes ``options`` and
            ``data_dir`` by keyword and returns `ImageDataset.from_arrays`.
        options: The data set's keyword arguments (``dataset.kwargs``).
        data_dir: Folder of the data sets and the cache.

    Raises:
        DatasetError: The data set is unknown, or its files are missing, damaged or wrong.
    """
    with system_errors("dataset.name", f"the data of {name}"):
        built_in = _BUILT_IN.get(name)
        source = (
            _installed(name, options, data_dir) if built_in is None else built_in(options, data_dir)
        )
        digest = hashlib.sha256(source.key.encode()).hexdigest()
        folder = cache_folder(data_dir) / f"{name.replace('/', '-')}-{digest[:16]}"
        dataset = open_or_rebuild(
            folder, lambda unfinished: source.build().save(unfinished), ImageDataset.open
        )
        return replace(dataset, notes=(*source.notes, *dataset.notes))


def cache_folder(data_dir: Path) -> Path:
    """Return the folder of arrays that can be built again."""
    return data_dir / "cache"


def _installed(name: str, options: Mapping[str, Any], data_dir: Path) -> DatasetSource:
    """Return the data set of an entry point, with its content as the key."""
    try:
        factory = catalog.datasets.load(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise InvalidRequestError(
            "dataset.name", str(error), "name a known data set or install its package"
        ) from error
    try:
        dataset = factory(options=options, data_dir=data_dir)
    except (DatasetError, MemoryError):
        raise
    except Exception as error:  # another package's code may raise anything
        raise DamagedDataError(
            "dataset.name",
            f"the entry point of {name} failed: {type(error).__name__}: {error}",
            "correct the package or the options in dataset.kwargs",
        ) from error
    if not isinstance(dataset, ImageDataset):
        raise DamagedDataError(
            "dataset.name",
            f"the entry point of {name} returned {type(dataset).__name__}",
            "return workers.datasets.ImageDataset.from_arrays(...)",
        )
    return DatasetSource(dataset.fingerprint, lambda: dataset)
