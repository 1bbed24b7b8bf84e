"""Corrupted test sets in the layout of CIFAR-10-C: ``<corruption>.npy`` and ``labels.npy``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workers.corruptions import CORRUPTIONS, GENERATOR_VERSION, SEVERITIES, corrupt
from workers.datasets.cache import locked, map_array, require_space, save_array
from workers.datasets.corruption_cells import (
    CorruptionCell,
    Progress,
    require_cells,
    save_images,
    write_cells,
)
from workers.datasets.dataset import ImageDataset, Images
from workers.datasets.errors import InvalidRequestError, system_errors
from workers.datasets.text_dataset import TextDataset

__all__ = ["corrupt_dataset"]

_MANIFEST = "corruptions.json"


@system_errors("output", "the corrupted images")
def corrupt_dataset(
    dataset: ImageDataset | TextDataset,
    folder: Path,
    *,
    corruptions: Sequence[str] = CORRUPTIONS,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write corrupted test images in the official layout; resume an interrupted call.

    Each ``<corruption>.npy`` is uint8 (5 n, height, width, channels): severities 1 to 5, each in
    the order of the test set. ``labels.npy`` is uint8 (int64 above 256 classes), (5 n,). A file
    that exists is complete. ``corruptions.json`` identifies the data, the seed and the generator.

    Args:
        dataset: The data set whose test images are corrupted.
        folder: Output folder; created if missing.
        corruptions: Names from `workers.corruptions.CORRUPTIONS`.
        seed: Seed of the corruptions.
        workers: Number of threads; by default the number of processors.
        progress: Called with the images generated in this call and their total.

    Raises:
        InvalidRequestError: The data set has no images, a corruption is unknown, or the folder
            holds corruptions of other data.
        InsufficientSpaceError: The disk is too small.
    """
    if not isinstance(dataset, ImageDataset):
        raise InvalidRequestError("dataset", f"{dataset.name} has no images", "name another one")
    require_cells(corruptions, SEVERITIES)
    images = dataset.test_images
    unfinished = folder / ".unfinished"
    with locked(folder):
        _claim(dataset, folder, seed)
        missing = [name for name in corruptions if not (folder / f"{name}.npy").exists()]
        require_space(folder, len(missing) * len(SEVERITIES) * images.nbytes, key="ood.corruptions")

        def make(cell: CorruptionCell, span: slice) -> Images:
            positions = range(len(images))[span]
            return corrupt(images[span], *cell, seed=seed, indices=positions)

        shape = (len(images), *images.shape[1:])
        cells = require_cells(missing, SEVERITIES) if missing else []
        done: Counter[str] = Counter()
        for cell in write_cells(unfinished, cells, make, shape, workers=workers, progress=progress):
            done[cell.corruption] += 1
            if done[cell.corruption] == len(SEVERITIES):
                _assemble(cell.corruption, unfinished, folder)
        unfinished.rmdir()
    return folder


def _claim(dataset: ImageDataset, folder: Path, seed: int) -> None:
    """Write labels and manifest, or check that the existing ones are the same."""
    manifest = {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "seed": seed,
        "generator_version": GENERATOR_VERSION,
    }
    path = folder / _MANIFEST
    if path.exists():
        try:
            found = json.loads(path.read_text())
        except ValueError:
            found = f"an unreadable {_MANIFEST}"
        if found != manifest:
            raise InvalidRequestError(
                "output", f"{folder} holds corruptions of {found}", "name another folder"
            )
        return
    if folder.is_dir() and any(folder.glob("*.npy")):
        raise InvalidRequestError(
            "output", f"{folder} holds arrays that were not made here", "name another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.tile(dataset.test_labels, len(SEVERITIES))
    kind = np.uint8 if len(dataset.classes) <= 256 else np.int64
    save_array(folder / "labels.npy", labels.astype(kind))
    path.write_text(json.dumps(manifest, indent=2))


def _assemble(corruption: str, unfinished: Path, folder: Path) -> None:
    """Join the severities of a corruption into one file and remove their files."""
    parts = [unfinished / CorruptionCell(corruption, severity).file for severity in SEVERITIES]
    arrays = [map_array(part) for part in parts]
    shape = (sum(map(len, arrays)), *arrays[0].shape[1:])
    whole = unfinished / f"{corruption}.npy"
    save_images(whole, shape, arrays)
    whole.replace(folder / whole.name)
    for part in parts:
        part.unlink()
