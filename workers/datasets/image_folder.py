"""Any folder with one folder of images a class, resized to one size."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from workers.datasets.dataset import ImageDataset, Images, Labels
from workers.datasets.errors import DamagedDataError, InvalidRequestError, MissingDataError
from workers.datasets.source import Source, reject_options
from workers.datasets.splits import hold_out

__all__ = ["image_folder"]

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
_OPTIONS = ("path", "image_size", "channels", "test_fraction", "seed")
_ROOTS_VARIABLE = "SASAM_DATA_ROOTS"
_MODES = {1: "L", 3: "RGB"}


def image_folder(options: Mapping[str, Any], data_dir: Path) -> Source:
    """Return the images below a folder, cut to their central square and resized.

    The folder holds ``train/`` and ``test/`` (or ``val/``), one folder a class in each; or the
    folders of the classes themselves, of which a seeded, class-balanced part becomes the test.

    Options: ``path`` (relative to ``data_dir`` or absolute), ``image_size`` in [8, 1024] (32),
    ``channels`` 1 or 3 (3), ``test_fraction`` in (0, 1) (0.2), ``seed`` (0).

    Whoever submits a specification may read no other files of this machine than those below
    ``data_dir`` and below the folders that the machine's operator lists in ``SASAM_DATA_ROOTS``,
    separated by colons. Links that lie in these folders are the operator's, and are followed.

    Raises:
        MissingDataError: No folder, no classes, or a class without images.
        InvalidRequestError: An option is unknown or out of its range, or the path leads elsewhere.
    """
    reject_options("image-folder", options, allowed=_OPTIONS)
    if not isinstance(options.get("path"), str):
        raise InvalidRequestError(
            "dataset.kwargs.path", "image-folder has no folder to read", "name one"
        )
    root = _allowed(data_dir, options["path"])
    size = _whole(options, "image_size", 32, 8, 1024)
    channels = _whole(options, "channels", 3, 1, 3)
    if channels not in _MODES:
        raise InvalidRequestError("dataset.kwargs.channels", "2 channels", "give 1 or 3")
    seed = _whole(options, "seed", 0, 0, 2**32 - 1)
    fraction = options.get("test_fraction", 0.2)
    if not isinstance(fraction, float) or not 0 < fraction < 1:
        raise InvalidRequestError(
            "dataset.kwargs.test_fraction", f"{fraction!r}", "give a number between 0 and 1"
        )
    train_root, test_root = _parts(root)
    classes = _classes(train_root)
    train_files = _files(train_root, classes)
    test_files = None if test_root is None else _files(test_root, classes)

    def build() -> ImageDataset:
        images, labels = _read(train_files, size, channels)
        if test_files is not None:
            test = _read(test_files, size, channels)
            return ImageDataset.from_arrays("image-folder", images, labels, *test, classes)
        held = round(fraction * len(labels))
        stay, out = hold_out(labels, held, seed=seed, key="dataset.kwargs.test_fraction")
        return ImageDataset.from_arrays(
            "image-folder", images[stay], labels[stay], images[out], labels[out], classes
        )

    files = [path for path, _ in (*train_files, *(test_files or ()))]
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return Source(repr((states, size, channels, fraction, seed, classes)), build)


def _allowed(data_dir: Path, path: str) -> Path:
    """Return a folder that may be read, without ``..``: what is checked is what is opened."""
    listed = os.environ.get(_ROOTS_VARIABLE, "").split(os.pathsep)
    roots = [_plain(data_dir), *(_plain(Path(root)) for root in listed if root)]
    folder = _plain(roots[0] / path)
    if not any(folder.is_relative_to(root) for root in roots):
        raise InvalidRequestError(
            "dataset.kwargs.path",
            f"{path[:200]!r} is not below the data folder or a folder of {_ROOTS_VARIABLE}",
            f"put the images there, or let the operator list their folder in {_ROOTS_VARIABLE}",
        )
    return folder


def _plain(path: Path) -> Path:
    """Return a path from the root without ``..``, its links as they are."""
    return Path(os.path.normpath(path.absolute()))


def _whole(options: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    """Return an option that is a whole number in [low, high]."""
    value = options.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidRequestError(
            f"dataset.kwargs.{name}", f"{value!r}", f"give a whole number from {low} to {high}"
        )
    return value


def _parts(root: Path) -> tuple[Path, Path | None]:
    """Return the folders of the training and of the test classes, if these are apart."""
    if not root.is_dir():
        raise MissingDataError(
            "dataset.kwargs.path", f"{root} is no folder", "name a folder of class folders"
        )
    if not (root / "train").is_dir():
        return root, None
    for name in ("test", "val"):
        if (root / name).is_dir():
            return root / "train", root / name
    raise MissingDataError(
        "dataset.kwargs.path",
        f"{root} holds train/ but neither test/ nor val/",
        "add one, or name the folder of class folders itself to split it",
    )


def _classes(root: Path) -> tuple[str, ...]:
    """Return the names of the class folders, sorted: labels count from 0 in this order."""
    names = tuple(
        sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    )
    if len(names) < 2:
        raise MissingDataError(
            "dataset.kwargs.path", f"{root} holds {len(names)} class folders", "give 2 or more"
        )
    return names


def _files(root: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Return each image file below the class folders and its label, in a fixed order."""
    found = []
    for label, name in enumerate(classes):
        paths = sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in _SUFFIXES)
        if not paths:
            raise MissingDataError(
                "dataset.kwargs.path", f"{root / name} holds no image", "add some, or remove it"
            )
        found += [(path, label) for path in paths]
    return found


def _read(files: list[tuple[Path, int]], size: int, channels: int) -> tuple[Images, Labels]:
    """Decode files in parallel (Pillow frees the interpreter while it decodes)."""
    images = np.empty((len(files), size, size, channels), np.uint8)

    def decode(position: int) -> None:
        images[position] = _decode(files[position][0], size, channels)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for _ in threads.map(decode, range(len(files))):
            pass
    return images, np.array([label for _, label in files], np.int64)


def _decode(path: Path, size: int, channels: int) -> Images:
    """Return one image: its central square, resized with an anti-aliasing filter."""
    try:
        with Image.open(path) as image:
            picture = image.convert(_MODES[channels])
    except (UnidentifiedImageError, OSError) as error:
        raise DamagedDataError(
            "dataset.kwargs.path", f"{path} cannot be decoded: {error}", "replace or remove it"
        ) from error
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = (left, top, left + side, top + side)
    resized = picture.resize((size, size), Image.Resampling.BILINEAR, box=square)
    return np.asarray(resized).reshape(size, size, channels)
