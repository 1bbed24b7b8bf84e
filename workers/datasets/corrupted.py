"""The corrupted test set: official files of CIFAR-10-C or CIFAR-100-C, or generated images.

Files are stored once per machine and mapped. The first process that needs missing files generates
them, while others wait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from workers.corruptions import corrupt
from workers.corruptions.constants import GENERATOR_VERSION, MIN_SIDE_PIXELS
from workers.datasets.archives import OFFICIAL_CORRUPTIONS, Archive
from workers.datasets.cache import locked, map_array
from workers.datasets.corruption_cells import CorruptionCell, Progress, require_cells, write_cells
from workers.datasets.dataset import ImageDataset, Images, ImageSet, Labels
from workers.datasets.errors import DamagedDataError, InvalidRequestError, system_errors
from workers.datasets.splits import Indices, quotas, stratified_indices
from workers.datasets.verify import verify

__all__ = ["CorruptedSet", "corrupted_test_set"]


@dataclass(frozen=True, slots=True, eq=False)
class CorruptedSet:
    """The same test images under every corruption and severity.

    Args:
        cells: The images of each cell, uint8 (n, height, width, channels), mapped; corruption by
            corruption, severities in the requested order.
        labels: int64, shape (n,), the same for every cell.
        source: Whether the pixels are official or generated.
        fingerprint: SHA-256 of everything that determines the pixels.
    """

    cells: Mapping[CorruptionCell, Images]
    labels: Labels
    source: Literal["official", "generated"]
    fingerprint: str

    def images(self, corruption: str, severity: int) -> Images:
        """Return the images of one cell."""
        return self.cells[CorruptionCell(corruption, severity)]

    @property
    def sets(self) -> list[ImageSet]:
        """The images of each cell with their labels."""
        return [ImageSet(images, self.labels) for images in self.cells.values()]

    def __iter__(self) -> Iterator[tuple[CorruptionCell, Images]]:
        return iter(self.cells.items())

    def __len__(self) -> int:
        return len(self.cells)

    def stratified_subset(self, size: int, *, seed: int) -> ImageSet:
        """Return a fixed subset, balanced over classes, corruptions and severities at once.

        Items sorted by class are dealt to the cells like cards: the sizes of cells, and the numbers
        of images of a class per cell, differ by at most one. The images of a class are drawn
        independently for each cell.

        Args:
            size: Number of images; all images if it exceeds their number.
            seed: Seed of the choice.

        Raises:
            InvalidRequestError: ``size`` is not positive.
        """
        if size < 1:
            raise InvalidRequestError("curvature.images", f"{size} images", "give 1 or more")
        generator = np.random.default_rng(seed)
        size = min(size, len(self) * len(self.labels))
        classes, counts = np.unique(self.labels, return_counts=True)
        dealt = np.repeat(classes, quotas(counts, size, generator))
        members = [np.flatnonzero(self.labels == label) for label in classes]
        order = generator.permutation(len(self))
        parts = []
        for place, images in zip(order.tolist(), self.cells.values(), strict=True):
            hand = np.searchsorted(classes, dealt[place :: len(self)])
            drawn = [
                generator.permutation(members[k])[:wanted]
                for k, wanted in enumerate(np.bincount(hand, minlength=len(classes)))
            ]
            chosen = np.sort(np.concatenate(drawn))
            parts.append((images[chosen], self.labels[chosen]))
        return ImageSet(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@system_errors("ood", "the corrupted images")
def corrupted_test_set(
    dataset: ImageDataset,
    corruptions: Sequence[str],
    severities: Sequence[int],
    *,
    images: int | None = None,
    seed: int = 0,
    cache_dir: Path,
    data_dir: Path | None = None,
    source: Literal["auto", "official", "generated"] = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> CorruptedSet:
    """Return the corrupted test images of a data set; generate missing ones.

    Args:
        dataset: The data set whose test images are corrupted.
        corruptions: Names from `workers.corruptions.CORRUPTIONS`.
        severities: From 1 to 5.
        images: Number of test images to corrupt, class-balanced; by default all.
        seed: Seed of that choice and of the corruptions.
        cache_dir: Folder of generated images.
        data_dir: Folder that contains ``CIFAR-10-C`` or ``CIFAR-100-C`` with the official files.
        source: The official files, generated images, or the official files if they exist
            (``cifar10`` and ``cifar100`` only).
        workers: Number of threads; by default the number of processors.
        progress: Called with the images generated and their total.

    Raises:
        DatasetError: A corruption or severity is unknown, an official file is missing or damaged,
            or the disk is too small.
    """
    cells = require_cells(corruptions, severities)
    chosen = None
    if images is not None and images != len(dataset.test):
        chosen = stratified_indices(dataset.test_labels, images, seed=seed, key="ood.images")
    labels = dataset.test_labels if chosen is None else dataset.test_labels[chosen]
    shape = (len(labels), *dataset.test_images.shape[1:])

    archive = _official_archive(source, dataset, data_dir)
    if archive is not None:
        official = _official_cells(archive, dataset, cells, data_dir)
        digest = _digest(chosen, *(archive.files[f"{cell.corruption}.npy"] for cell in cells))
        if chosen is None:
            return CorruptedSet(official, labels, "official", digest)
        part = chosen
        folder = cache_dir / f"{archive.name}-{_digest(chosen)[:16]}"
        found = _cached(folder, cells, lambda c, s: official[c][part[s]], shape, workers, progress)
        return CorruptedSet(found, labels, "official", digest)

    if min(shape[1:3]) < MIN_SIDE_PIXELS:
        raise InvalidRequestError(
            "ood",
            f"{dataset.name} has images of {shape[1]} x {shape[2]} pixels",
            f"corrupt images of {MIN_SIDE_PIXELS} x {MIN_SIDE_PIXELS} or more",
        )
    numbers = np.arange(len(labels)) if chosen is None else chosen

    def make(cell: CorruptionCell, span: slice) -> Images:
        part = numbers[span]
        return corrupt(dataset.test_images[part], *cell, seed=seed, indices=part)

    digest = _digest(chosen, dataset.fingerprint, str(GENERATOR_VERSION), str(seed))
    folder = cache_dir / f"{dataset.name.replace('/', '-')}-c-{digest[:16]}"
    found = _cached(folder, cells, make, shape, workers, progress)
    return CorruptedSet(found, labels, "generated", digest)


def _official_archive(source: str, dataset: ImageDataset, data_dir: Path | None) -> Archive | None:
    """Return the official files to use; None to generate images."""
    archive = OFFICIAL_CORRUPTIONS.get(dataset.name)
    if source == "official" and archive is None:
        raise InvalidRequestError(
            "ood.source", f"{dataset.name} has no official files", "set auto or generated"
        )
    if archive is None or source == "generated":
        return None
    there = data_dir is not None and (data_dir / archive.folder).is_dir()
    return archive if source == "official" or there else None


def _official_cells(
    archive: Archive, dataset: ImageDataset, cells: list[CorruptionCell], data_dir: Path | None
) -> dict[CorruptionCell, Images]:
    """Return the published images; severity s is rows [n (s - 1), n s) of a corruption's file."""
    names = dict.fromkeys(cell.corruption for cell in cells)
    files = [*(f"{name}.npy" for name in names), "labels.npy"]
    folder = verify(archive, data_dir or Path(), key="ood.source", only=files)
    n = len(dataset.test_labels)
    if not np.array_equal(map_array(folder / "labels.npy"), np.tile(dataset.test_labels, 5)):
        raise DamagedDataError(
            "ood.source",
            f"the labels in {folder} are not those of the {n:,} test images",
            f"use the official test set of {dataset.name}, or set generated",
        )
    arrays = {name: map_array(folder / f"{name}.npy") for name in names}
    for name, array in arrays.items():
        expected = (5 * n, *dataset.test_images.shape[1:])
        if array.dtype != np.uint8 or array.shape != expected:
            raise DamagedDataError(
                "ood.source",
                f"{folder / name}.npy has {array.dtype} of shape {array.shape}, not uint8 "
                f"of shape {expected}",
                f"run `sasam data fetch {archive.name}`, or set generated",
            )
    return {c: arrays[c.corruption][n * (c.severity - 1) : n * c.severity] for c in cells}


def _cached(
    folder: Path,
    cells: list[CorruptionCell],
    make: Callable[[CorruptionCell, slice], Images],
    shape: tuple[int, int, int, int],
    workers: int | None,
    progress: Progress | None,
) -> dict[CorruptionCell, Images]:
    """Return the cells from a cache folder; one process generates missing ones."""
    with suppress(OSError, ValueError):
        return _mapped(folder, cells)
    with locked(folder):
        for cell in cells:
            try:
                _mapped(folder, [cell])
            except (OSError, ValueError):  # missing, or truncated by a power failure
                (folder / cell.file).unlink(missing_ok=True)
        for _ in write_cells(folder, cells, make, shape, workers=workers, progress=progress):
            pass
    return _mapped(folder, cells)


def _mapped(folder: Path, cells: list[CorruptionCell]) -> dict[CorruptionCell, Images]:
    """Return cells mapped from their files."""
    return {cell: map_array(folder / cell.file) for cell in cells}


def _digest(chosen: Indices | None, *parts: str) -> str:
    """Return the SHA-256 of strings and of the chosen positions."""
    positions = b"all" if chosen is None else chosen.tobytes()
    return hashlib.sha256(" ".join(parts).encode() + positions).hexdigest()
