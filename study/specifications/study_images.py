"""Images of 32 x 32 pixels from an ``.npz`` that the study copies into the data folder."""

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["study_images"]


def study_images(data_dir: Path, file: str = "study-images.npz") -> tuple[Any, ...]:
    """Return training images and labels, test images and labels: the arrays of the file."""
    with np.load(data_dir / file) as arrays:
        return tuple(arrays[name] for name in ("train_x", "train_y", "test_x", "test_y"))
