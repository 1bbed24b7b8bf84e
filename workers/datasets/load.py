"""Loads a data set by name; its arrays lie in a cache and are mapped, so processes share them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workers import catalog
from workers.datasets.cache import build_once
from workers.datasets.cifar import cifar10, cifar100
from workers.datasets.dataset import ImageDataset
from workers.datasets.digits import digits
from workers.datasets.errors import DamagedDataError, InvalidRequestError
from workers.datasets.image_folder import image_folder
from workers.datasets.source import Source

__all__ = ["cache_folder", "load_dataset"]

_BUILT_IN: MappingProxyType[str, Callable[[Mapping[str, Any], Path], Source]] = MappingProxyType(
    {
        "digits": digits,
        "cifar10": cifar10,
        "cifar100": cifar100,
        "image-folder": image_folder,
    }
)


def load_dataset(name: str, *, options: Mapping[str, Any], data_dir: Path) -> ImageDataset:
    """Return a data set, read once a machine and mapped from ``data_dir/cache`` after.

    Args:
        name: ``digits``, ``cifar10``, ``cifar100``, ``image-folder``, or the name of an entry
            point in the group ``sasam.datasets``: a callable that takes ``options`` and
            ``data_dir`` by keyword and returns `ImageDataset.from_arrays`.
        options: The data set's keyword arguments (``dataset.kwargs``).
        data_dir: Where files lie and the cache is kept.

    Raises:
        DatasetError: No such data set, or its files are missing, damaged or wrong.
    """
    built_in = _BUILT_IN.get(name)
    source = (
        _installed(name, options, data_dir) if built_in is None else built_in(options, data_dir)
    )
    digest = hashlib.sha256(source.key.encode()).hexdigest()
    folder = cache_folder(data_dir) / f"{name.replace('/', '-')}-{digest[:16]}"

    def fill(unfinished: Path) -> None:
        source.build().save(unfinished)

    try:
        return ImageDataset.open(build_once(folder, fill))
    except (ValueError, KeyError, OSError):
        # Cut short by a full disk or a power failure: a cache can always be made again.
        shutil.rmtree(folder, ignore_errors=True)
        return ImageDataset.open(build_once(folder, fill))


def cache_folder(data_dir: Path) -> Path:
    """Return where arrays that can be made again are kept."""
    return data_dir / "cache"


def _installed(name: str, options: Mapping[str, Any], data_dir: Path) -> Source:
    """Return the data set of an entry point; its content is its key, so it is never stale."""
    try:
        factory = catalog.datasets.load(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise InvalidRequestError(
            "dataset.name", str(error), "name a known data set or install its package"
        ) from error
    dataset = factory(options=options, data_dir=data_dir)
    if not isinstance(dataset, ImageDataset):
        raise DamagedDataError(
            "dataset.name",
            f"the entry point of {name} returned {type(dataset).__name__}",
            "return workers.datasets.ImageDataset.from_arrays(...)",
        )
    return Source(dataset.fingerprint, lambda: dataset)
