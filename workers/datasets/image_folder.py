"""Data set from a folder with one folder of images per class, resized to one size."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from workers.datasets.dataset import ImageDataset, Images, Labels
from workers.datasets.dataset_source import DatasetSource, require_known_options
from workers.datasets.decoding import DecodedImage, UnusableImageError, decode_image
from workers.datasets.errors import DamagedDataError, InvalidRequestError
from workers.datasets.image_files import ImageFile, list_images, printable
from workers.datasets.notes import counted_of
from workers.datasets.options import allowed_path, fraction_option, whole_option
from workers.datasets.splits import hold_out

__all__ = ["image_folder"]

_KEY = "dataset.kwargs.path"
_OPTIONS = ("path", "image_size", "channels", "value_range", "test_fraction", "seed")
_DECODING_VERSION = 2  # increased when the same files give other pixels
_DARK_PEAK = 1 / 8  # brighter pictures use 5 of their 8 bits, or more


@dataclass(frozen=True, slots=True)
class _Options:
    """The checked options of an image folder."""

    shown: str = field(repr=False)  # the same data by another spelling of the path
    root: Path
    size: int
    channels: int
    value_range: tuple[float, float] | None
    fraction: float
    seed: int


def image_folder(options: Mapping[str, Any], data_dir: Path) -> DatasetSource:
    """Return the images below a folder, cut to their central square and resized.

    The folder holds ``train/`` and ``test/`` (or ``val/``), one folder per class in each; or the
    folders of the classes themselves, of which a seeded, class-balanced part becomes the test.
    `workers.datasets.image_files` says which files count, `workers.datasets.decoding` how each
    kind of image is read.

    Options: ``path`` (relative to ``data_dir`` or absolute), ``image_size`` in [8, 1024] (32),
    ``channels`` 1 or 3 (3), ``value_range`` (two numbers, the black and the white of images of
    more than 8 bits), ``test_fraction`` in (0, 1) (0.2), ``seed`` (0).

    A specification may name no other folders than those below ``data_dir`` and below the folders
    that the machine's operator lists in ``SASAM_DATA_ROOTS``, separated by colons. Links that lie
    in these folders are the operator's, and are followed.

    Raises:
        MissingDataError: No folder, no classes, or a class without images.
        DamagedDataError: Class names clash; or, by the source's `build`, an image cannot be used.
        InvalidRequestError: An option is unknown or out of its range, or the path leads elsewhere.
    """
    chosen = _checked(options, data_dir)
    files = list_images(chosen.root, chosen.shown)

    def build() -> ImageDataset:
        images, labels, facts = _read(files.train, chosen)
        _require_differences(images, chosen)
        if files.test is not None:
            test_images, test_labels, test_facts = _read(files.test, chosen)
            return ImageDataset.from_arrays(
                "image-folder",
                images,
                labels,
                test_images,
                test_labels,
                files.classes,
                tuple(_notes([*facts, *test_facts])),
            )
        held = round(chosen.fraction * len(labels))
        key = "dataset.kwargs.test_fraction"
        stay, out = hold_out(labels, held, seed=chosen.seed, key=key)
        return ImageDataset.from_arrays(
            "image-folder",
            images[stay],
            labels[stay],
            images[out],
            labels[out],
            files.classes,
            tuple(_notes(facts)),
        )

    content = (_DECODING_VERSION, files.classes, files.train, files.test, chosen)
    return DatasetSource(repr(content), build, files.notes)


def _checked(options: Mapping[str, Any], data_dir: Path) -> _Options:
    """Return the options, or raise InvalidRequestError."""
    require_known_options("image-folder", options, allowed=_OPTIONS)
    path = options.get("path")
    if not isinstance(path, str):
        raise InvalidRequestError(_KEY, "image-folder has no folder to read", "name one")
    channels = whole_option(options, "channels", 3, 1, 3)
    if channels == 2:
        raise InvalidRequestError("dataset.kwargs.channels", "2 channels", "give 1 or 3")
    return _Options(
        shown=printable(path[:200]).rstrip("/"),
        root=allowed_path(data_dir, path, key=_KEY, what="the images"),
        size=whole_option(options, "image_size", 32, 8, 1024),
        channels=channels,
        value_range=_value_range(options.get("value_range")),
        fraction=fraction_option(options, "test_fraction", 0.2),
        seed=whole_option(options, "seed", 0, 0, 2**32 - 1),
    )


def _value_range(given: object) -> tuple[float, float] | None:
    """Return the option of two finite numbers, the first below the second."""
    if given is None:
        return None
    if isinstance(given, list | tuple) and len(given) == 2:
        numbers = [x for x in given if isinstance(x, int | float) and not isinstance(x, bool)]
        if len(numbers) == 2 and math.isfinite(numbers[0]) and math.isfinite(numbers[1]):
            low, high = map(float, numbers)
            if low < high:
                return low, high
    raise InvalidRequestError(
        "dataset.kwargs.value_range",
        f"{given!r}"[:200],
        "give two numbers [black, white], the first below the second",
    )


def _read(
    files: tuple[ImageFile, ...], chosen: _Options
) -> tuple[Images, Labels, list[DecodedImage]]:
    """Decode files in parallel (Pillow frees the interpreter while it decodes)."""
    size = chosen.size
    images = np.empty((len(files), size, size, chosen.channels), np.uint8)

    def read(position: int) -> DecodedImage:
        picture = _decoded(files[position], chosen)
        images[position] = picture.pixels
        return replace(picture, pixels=images[position])

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        pictures = list(threads.map(read, range(len(files))))
    return images, np.array([file.label for file in files], np.int64), pictures


def _decoded(file: ImageFile, chosen: _Options) -> DecodedImage:
    """Return an image; errors name its file as the user would."""
    try:
        return decode_image(file.path, file.state, chosen.size, chosen.channels, chosen.value_range)
    except UnusableImageError as error:
        name = printable(str(file.path.relative_to(chosen.root)))
        raise DamagedDataError(
            _KEY, f"{chosen.shown}/{name} {error.problem}", error.remedy
        ) from error


def _require_differences(images: Images, chosen: _Options) -> None:
    """Raise DamagedDataError if all training images are the same, so that nothing can be learnt."""
    if len(images) > 1 and (images == images[0]).all():
        raise DamagedDataError(
            _KEY,
            f"all {len(images):,} training images of {chosen.shown} have the same pixels once they "
            f"are read as 8-bit images of {chosen.size} x {chosen.size}",
            "look at the files; dataset.kwargs.value_range sets the black and white of images of "
            "more than 8 bits, and transparent images are laid over white",
        )


def _notes(pictures: list[DecodedImage]) -> Iterator[str]:
    """Yield a sentence for each property of the files that a user may not expect."""
    total = len(pictures)
    if several := sum(picture.frames > 1 for picture in pictures):
        kinds = ("images has several frames", "images have several frames")
        yield f"{counted_of(several, total, *kinds)}: the first is used"
    if transparent := sum(picture.transparent for picture in pictures):
        kinds = ("images is transparent", "images are transparent")
        yield f"{counted_of(transparent, total, *kinds)}: laid over white"
    peaks = [picture.peak for picture in pictures if picture.peak is not None]
    if peaks:
        kinds = ("images has more than 8 bits", "images have more than 8 bits")
        note = f"{counted_of(len(peaks), total, *kinds)}: scaled to 8"
        if max(peaks) < _DARK_PEAK:
            note += (
                f"; the brightest value is only {max(peaks):.1%} of white, which "
                "dataset.kwargs.value_range sets"
            )
        yield note
