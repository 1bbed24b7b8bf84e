from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workers.datasets import ImageDataset, load_dataset


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ImageDataset:
    return load_dataset("digits", options={}, data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture
def tiny() -> ImageDataset:
    """60 training and 40 test images of 9 x 8 in four uneven classes."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2, 3], [10, 20, 24, 6])
    images = generator.integers(0, 256, (60, 9, 8, 3), np.uint8)
    tests = generator.integers(0, 256, (40, 9, 8, 3), np.uint8)
    return ImageDataset.from_arrays(
        "tiny", images, labels, tests, np.tile(range(4), 10), ("a", "b", "c", "d")
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"
