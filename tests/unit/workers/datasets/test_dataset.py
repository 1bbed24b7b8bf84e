from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workers.datasets
from workers.datasets import DamagedDataError, ImageDataset
from workers.datasets.dataset import Images

CLASSES = ("cat", "dog", "ship")


def arrays(**changes: Any) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {
        "name": "made-up",
        "train_images": generator.integers(0, 256, (9, 8, 8, 3), np.uint8),
        "train_labels": np.arange(9) % 3,
        "test_images": generator.integers(0, 256, (6, 8, 8, 3), np.uint8),
        "test_labels": np.arange(6) % 3,
        "classes": CLASSES,
        **changes,
    }


def test_from_arrays_moments_are_those_of_the_training_pixels() -> None:
    given = arrays()
    dataset = ImageDataset.from_arrays(**given)
    pixels = given["train_images"] / 255
    assert dataset.mean == pytest.approx(pixels.mean(axis=(0, 1, 2)))
    assert dataset.std == pytest.approx(pixels.std(axis=(0, 1, 2)))


def test_from_arrays_constant_channel_keeps_a_positive_deviation() -> None:
    dataset = ImageDataset.from_arrays(**arrays(train_images=np.zeros((9, 8, 8, 3), np.uint8)))
    assert min(dataset.std) > 0


def test_fingerprint_changes_with_any_content() -> None:
    given = arrays()
    first = ImageDataset.from_arrays(**given)
    assert ImageDataset.from_arrays(**arrays()).fingerprint == first.fingerprint
    for part in ("train_images", "train_labels", "test_images", "test_labels"):
        changed = given[part].copy()
        changed[0] = (changed[0] + 1) % 3
        other = ImageDataset.from_arrays(**arrays(**{part: changed}))
        assert other.fingerprint != first.fingerprint
    renamed = ImageDataset.from_arrays(**arrays(classes=("cat", "dog", "boat")))
    assert renamed.fingerprint != first.fingerprint


def test_save_then_open_gives_the_same_mapped(tmp_path: Path) -> None:
    saved = ImageDataset.from_arrays(**arrays())
    saved.save(tmp_path)
    opened = ImageDataset.open(tmp_path)
    for field in dataclasses.fields(ImageDataset):
        assert np.array_equal(getattr(opened, field.name), getattr(saved, field.name))
    assert isinstance(opened.train_images.base, np.memmap)
    assert opened.train_images.flags.writeable  # as PyTorch wants; writes stay private
    opened.train_images[:] = 0
    assert np.array_equal(ImageDataset.open(tmp_path).train_images, saved.train_images)


def wrong(shape: tuple[int, ...], dtype: type = np.uint8) -> Images:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train_images": wrong((9, 3, 8, 8))},
            r"training images are uint8 of shape \(9, 3, 8, 8\)",
        ),
        ({"test_images": wrong((6, 8, 8, 3), float)}, "test images are float64"),
        (
            {"train_labels": np.arange(8) % 3},
            r"9 training images have int64 labels of shape \(8,\)",
        ),
        ({"test_labels": np.zeros(6)}, "6 test images have float64 labels"),
        (
            {"test_labels": np.arange(6) % 4},
            r"labels lie in \[0, 3\]; labels of 3 classes lie in \[0, 2",
        ),
        ({"train_labels": np.arange(9) % 3 - 1}, r"training labels lie in \[-1, 1\]"),
        ({"test_images": wrong((6, 9, 8, 3))}, r"shape \(9, 8, 3\); give both one size"),
    ],
)
def test_from_arrays_bad_arrays_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DamagedDataError, match=message) as error:
        ImageDataset.from_arrays(**arrays(**changes))
    assert error.value.key == "dataset.name"


def test_all_lists_what_the_package_has() -> None:
    assert workers.datasets.__all__ == sorted(workers.datasets.__all__)
    for name in workers.datasets.__all__:
        assert getattr(workers.datasets, name) is not None
