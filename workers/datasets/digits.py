"""scikit-learn's hand-written digits: real data in every installation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workers.datasets.dataset import ImageDataset
from workers.datasets.dataset_source import DatasetSource, require_known_options
from workers.datasets.splits import hold_out

__all__ = ["digits"]

_TEST_IMAGES = 500
_SPLIT_SEED = 0
_VERSION = 1  # increased when the split or the scaling changes


def digits(options: Mapping[str, Any], data_dir: Path) -> DatasetSource:
    """Return 1,797 grey 8 × 8 images in ten classes, 500 of them test images, class-balanced.

    Source: Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits" (its test
    part), as ``sklearn.datasets.load_digits``; 0 .. 16 scaled to 0 .. 255.
    """
    del data_dir
    require_known_options("digits", options, allowed=())
    return DatasetSource(f"digits-{_VERSION}", _build)


def _build() -> ImageDataset:
    """Read the digits from scikit-learn."""
    from sklearn.datasets import load_digits  # slow to import, and needed only without a cache

    bunch = load_digits()
    images = np.rint(bunch.images[..., None] * (255 / 16)).astype(np.uint8)
    train, test = hold_out(bunch.target, _TEST_IMAGES, seed=_SPLIT_SEED, key="dataset.name")
    return ImageDataset.from_arrays(
        "digits",
        images[train],
        bunch.target[train],
        images[test],
        bunch.target[test],
        tuple("0123456789"),
    )
