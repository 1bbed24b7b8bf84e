"""Seeded, class-balanced splits and subsets.

Every choice of images is stratified: a class keeps its share to within one image (largest
remainders), so parts of a balanced data set are balanced. Indices are sorted and depend only on the
seed. Of a consecutive text, what is held out is the end.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from workers.datasets.cache import map_array, open_or_rebuild, require_space, save_array
from workers.datasets.dataset import ImageDataset, ImageSet, Labels
from workers.datasets.errors import InvalidRequestError, system_errors
from workers.datasets.text_dataset import TextDataset, TokenSet

__all__ = [
    "Indices",
    "Splits",
    "hold_out",
    "hold_out_end",
    "quotas",
    "split",
    "stratified_indices",
    "stratified_subset",
]

Indices = npt.NDArray[np.int64]


Examples = ImageSet | TokenSet


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """Training, validation and test images, or sequences."""

    train: Examples
    validation: Examples
    test: Examples


def split(
    dataset: ImageDataset | TextDataset,
    validation: Literal["test", "split"] = "test",
    fraction: float = 0.2,
    *,
    seed: int = 0,
    train_size: int | None = None,
    test_size: int | None = None,
    cache_dir: Path | None = None,
) -> Splits:
    """Return the training, validation and test images of a trial.

    Args:
        dataset: The whole data set.
        validation: Validate on the test set (the paper's reading), or on a part of the training
            set.
        fraction: That part, in (0, 1).
        seed: Seed of all choices. The validation images do not depend on ``train_size``.
        train_size: Number of training images; by default all that remain.
        test_size: Number of test images; by default all.
        cache_dir: Folder for subsets, which the processes of a machine share; None copies them in
            each process.

    Raises:
        InvalidRequestError: The data set has fewer images than requested.
    """
    rest = np.arange(len(dataset.train))
    held_out = None
    if validation == "split":
        size = round(fraction * len(rest))
        key = "dataset.validation_fraction"
        if dataset.is_consecutive:
            rest, held_out = hold_out_end(len(rest), size, key=key)
        else:
            rest, held_out = hold_out(dataset.train.strata, size, seed=seed, key=key)
    if train_size is not None:
        labels = dataset.train.strata[rest]
        rest = rest[stratified_indices(labels, train_size, seed=seed, key="dataset.train_size")]
    train = _take(dataset, "train", rest, cache_dir)
    test = dataset.test
    if test_size is not None:
        labels = dataset.test.strata
        chosen = stratified_indices(labels, test_size, seed=seed, key="dataset.test_size")
        test = _take(dataset, "test", chosen, cache_dir)
    if held_out is None:
        return Splits(train, test, test)
    return Splits(train, _take(dataset, "train", held_out, cache_dir), test)


def stratified_subset(
    images: Examples, size: int, *, seed: int, key: str = "curvature.images"
) -> Examples:
    """Return a fixed, class-balanced subset; all images if ``size`` exceeds their number."""
    chosen = stratified_indices(images.strata, min(size, len(images)), seed=seed, key=key)
    return images.take(chosen)


def hold_out_end(count: int, size: int, *, key: str) -> tuple[Indices, Indices]:
    """Return the indices of the beginning of a text, and of the ``size`` last sequences.

    Raises:
        InvalidRequestError: One of the two would be empty.
    """
    if not 0 < size < count:
        raise InvalidRequestError(
            key, f"{size} of {count} sequences would be held out", f"hold out 1 to {count - 1}"
        )
    return np.arange(count - size), np.arange(count - size, count)


def hold_out(labels: Labels, size: int, *, seed: int, key: str) -> tuple[Indices, Indices]:
    """Return the sorted indices that stay and the ``size`` that are held out.

    Raises:
        InvalidRequestError: One of the two would be empty.
    """
    if not 0 < size < len(labels):
        raise InvalidRequestError(
            key,
            f"{size} of {len(labels)} images would be held out",
            f"hold out 1 to {len(labels) - 1}",
        )
    held_out = stratified_indices(labels, size, seed=seed, key=key)
    stays = np.ones(len(labels), bool)
    stays[held_out] = False
    return np.flatnonzero(stays), held_out


def stratified_indices(labels: Labels, size: int, *, seed: int, key: str) -> Indices:
    """Return ``size`` sorted indices in which each class keeps its share.

    Raises:
        InvalidRequestError: ``size`` is not in [1, len(labels)].
    """
    if not 0 < size <= len(labels):
        raise InvalidRequestError(
            key, f"{size} images are requested", f"1 to {len(labels)} can be used"
        )
    generator = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, quotas(counts, size, generator), strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def quotas(counts: Indices, size: int, generator: np.random.Generator) -> Indices:
    """Divide ``size`` in proportion to ``counts``; ties between remainders are broken at random."""
    quotas, remainders = np.divmod(counts * size, counts.sum())
    order = np.lexsort((generator.random(len(counts)), -remainders))
    quotas[order[: size - quotas.sum()]] += 1
    return quotas


def _take(
    dataset: ImageDataset | TextDataset,
    part: Literal["train", "test"],
    indices: Indices,
    cache_dir: Path | None,
) -> Examples:
    """Return the images at sorted ``indices``: a view of all, else a shared or private copy."""
    whole = dataset.train if part == "train" else dataset.test
    if len(indices) == len(whole):
        return whole
    if cache_dir is None:
        return whole.take(indices)

    def fill(folder: Path) -> None:
        size = len(indices) * whole.stored[0].nbytes
        require_space(folder, size, key="dataset.name")
        save_array(folder / "images.npy", whole.stored[indices])

    digest = hashlib.sha256(f"{dataset.fingerprint} {part}".encode() + indices.tobytes())
    folder = cache_dir / f"subset-{digest.hexdigest()[:16]}"
    with system_errors("dataset.name", f"a part of {dataset.name}"):
        stored = open_or_rebuild(folder, fill, lambda entry: map_array(entry / "images.npy"))
    return whole.take(indices, stored)
