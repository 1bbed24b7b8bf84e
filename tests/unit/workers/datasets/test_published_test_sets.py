from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest

from workers.catalog import datasets
from workers.datasets import (
    DamagedDataError,
    ImageDataset,
    InvalidRequestError,
    MissingDataError,
    load_test_set,
    published_test_sets,
)
from workers.datasets.published_test_sets import PUBLISHED_TEST_SETS

NAME = "cifar10.1-v6"


def git_object_id(path: Path) -> str:
    command = ["git", "hash-object", "--no-filters", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def cifar() -> ImageDataset:
    """A small data set with the name and the classes of CIFAR-10."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, 32, 32, 3), np.uint8)
    labels = np.tile(range(10), 2)
    classes = tuple("abcdefghij")
    return ImageDataset.from_arrays("cifar10", images, labels, images[::-1], labels, classes)


def publish(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    images: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Write files in the published format, and make them the published ones."""
    (folder / "CIFAR-10.1").mkdir()
    record = PUBLISHED_TEST_SETS[NAME]
    changes = {}
    for field, array in (("images", images), ("labels", labels)):
        name = getattr(record, field)[0]
        np.save(folder / "CIFAR-10.1" / name, array)
        changes[field] = (name, git_object_id(folder / "CIFAR-10.1" / name))
    published = {NAME: dataclasses.replace(record, **changes)}  # type: ignore[arg-type]
    monkeypatch.setattr(published_test_sets, "PUBLISHED_TEST_SETS", published)


def test_files_are_read_as_published(
    cifar: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2000, 32, 32, 3), np.uint8)
    labels = np.repeat(np.arange(10, dtype=np.int32), 200)
    publish(tmp_path, monkeypatch, images, labels)
    found = load_test_set(NAME, cifar, tmp_path)
    assert np.array_equal(found.images, images)
    assert np.array_equal(found.labels, labels)
    assert found.labels.dtype == np.int64


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            np.zeros((2000, 32, 32), np.uint8),
            np.zeros(2000, np.int32),
            r"_v6_data.npy has uint8 of",
        ),
        (np.zeros((9, 32, 32, 3), np.uint8), np.zeros(9, np.int32), r"shape \(9, 32, 32, 3\), not"),
        (np.zeros((2000, 32, 32, 3)), np.zeros(2000, np.int32), "has float64 of shape"),
        (np.zeros((2000, 32, 32, 3), np.uint8), np.zeros(1999, np.int32), "not integers of shape"),
        (np.zeros((2000, 32, 32, 3), np.uint8), np.zeros(2000), "labels.npy has float64"),
        (
            np.zeros((2000, 32, 32, 3), np.uint8),
            np.arange(2000, dtype=np.int32) % 11,
            "has labels from 0 to 10, not within 0 to 9",
        ),
    ],
)
def test_content_that_does_not_fit_is_refused(
    images: np.ndarray,
    labels: np.ndarray,
    message: str,
    cifar: ImageDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(tmp_path, monkeypatch, images, labels)
    with pytest.raises(DamagedDataError, match=message):
        load_test_set(NAME, cifar, tmp_path)


def test_file_that_is_missing_or_not_the_published_one_is_named(
    cifar: ImageDataset, tmp_path: Path
) -> None:
    with pytest.raises(MissingDataError, match=r"v6_data\.npy is not there; put .* \(from https"):
        load_test_set(NAME, cifar, tmp_path)
    (tmp_path / "CIFAR-10.1").mkdir()
    path = tmp_path / "CIFAR-10.1" / "cifar10.1_v6_data.npy"
    np.save(path, np.zeros((2000, 32, 32, 3), np.uint8))
    with pytest.raises(DamagedDataError, match=f"object id {git_object_id(path)}, not the publ"):
        load_test_set(NAME, cifar, tmp_path)


def test_test_set_of_another_data_set_is_refused(tiny: ImageDataset, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"tiny has no test set 'cifar10\.1-v6'"):
        load_test_set(NAME, tiny, tmp_path)


def test_catalog_names_the_test_sets_of_each_data_set() -> None:
    for name, files in PUBLISHED_TEST_SETS.items():
        assert name in datasets.facts(files.dataset)["test_sets"]
    named = [entry.facts.get("test_sets", ()) for entry in datasets.entries().values()]
    assert sorted(sum(named, ())) == sorted(PUBLISHED_TEST_SETS)
