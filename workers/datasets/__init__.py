"""Labelled images: data sets by name, splits, corrupted test sets.

NumPy only. Arrays lie on disk once a machine and are mapped into every process that reads them.
"""

from __future__ import annotations

from workers.datasets.dataset import ImageDataset, ImageSet
from workers.datasets.errors import (
    DamagedDataError,
    DatasetError,
    InsufficientSpaceError,
    InvalidRequestError,
    MissingDataError,
)
from workers.datasets.load import cache_folder, load_dataset
from workers.datasets.splits import Splits, split, stratified_subset

__all__ = [
    "DamagedDataError",
    "DatasetError",
    "ImageDataset",
    "ImageSet",
    "InsufficientSpaceError",
    "InvalidRequestError",
    "MissingDataError",
    "Splits",
    "cache_folder",
    "load_dataset",
    "split",
    "stratified_subset",
]
