"""scikit-learn's hand-written digits: real data in every installation."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from workers.datasets.dataset import ImageDataset
from workers.datasets.dataset_source import DatasetSource, require_known_options
from workers.datasets.splits import hold_out

__all__ = ["digits"]

_FILE = "datasets/data/digits.csv.gz"
"""64 values of 0 to 16 and the class, one image per line."""
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
    """Read the digits from scikit-learn's file; importing scikit-learn takes seconds."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ImportError("scikit-learn, which has the digits, is not installed")
    table = np.loadtxt(Path(package.origin).parent / _FILE, delimiter=",")
    images = np.rint(table[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    labels = table[:, -1].astype(np.int64)
    train, test = hold_out(labels, _TEST_IMAGES, seed=_SPLIT_SEED, key="dataset.name")
    return ImageDataset.from_arrays(
        *("digits", images[train], labels[train], images[test], labels[test]),
        tuple("0123456789"),
    )
