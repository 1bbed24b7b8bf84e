"""Source of a data set for the loader: a key of its content, and a function that builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.datasets.dataset import ImageDataset
from workers.datasets.errors import InvalidRequestError
from workers.datasets.text_dataset import TextDataset

__all__ = ["DatasetSource", "require_known_options"]


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """Source of a data set.

    Args:
        key: Identifies the content without reading all of it; equal keys mean equal data.
        build: Reads and decodes the data; called once per machine.
        notes: Sentences for the user about files that are left out.
        open: Maps what ``save`` of the data set wrote.
    """

    key: str
    build: Callable[[], ImageDataset | TextDataset]
    notes: tuple[str, ...] = ()
    open: Callable[[Path], ImageDataset | TextDataset] = ImageDataset.open


def require_known_options(name: str, options: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Raise InvalidRequestError for the first unknown option of a data set."""
    for option in options:
        if option not in allowed:
            raise InvalidRequestError(
                f"dataset.kwargs.{option}",
                f"{name} has no such option",
                f"its options are: {', '.join(allowed)}" if allowed else "it has none",
            )
