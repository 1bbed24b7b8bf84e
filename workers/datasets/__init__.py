"""Labelled images and texts: data sets by name, splits, corrupted test sets.

Arrays are NumPy's, stored once per machine and mapped into every process that reads them.
"""

from __future__ import annotations

from workers.datasets.corrupted import CorruptedSet, corrupted_test_set
from workers.datasets.corruption_cells import CorruptionCell
from workers.datasets.dataset import ImageDataset, ImageSet
from workers.datasets.errors import (
    DamagedDataError,
    DatasetError,
    InsufficientSpaceError,
    InvalidRequestError,
    MissingDataError,
)
from workers.datasets.fetch import fetch
from workers.datasets.generate import corrupt_dataset
from workers.datasets.load import cache_folder, load_dataset
from workers.datasets.published_test_sets import load_test_set
from workers.datasets.splits import Splits, split, stratified_subset
from workers.datasets.text_dataset import TextDataset, TokenSet
from workers.datasets.text_shifts import ShiftedTexts, shifted_texts

__all__ = [
    "CorruptedSet",
    "CorruptionCell",
    "DamagedDataError",
    "DatasetError",
    "ImageDataset",
    "ImageSet",
    "InsufficientSpaceError",
    "InvalidRequestError",
    "MissingDataError",
    "ShiftedTexts",
    "Splits",
    "TextDataset",
    "TokenSet",
    "cache_folder",
    "corrupt_dataset",
    "corrupted_test_set",
    "fetch",
    "load_dataset",
    "load_test_set",
    "shifted_texts",
    "split",
    "stratified_subset",
]
