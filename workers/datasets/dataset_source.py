"""What a built-in data set hands to the loader: a key that names its content, and its maker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workers.datasets.dataset import ImageDataset
from workers.datasets.errors import InvalidRequestError

__all__ = ["DatasetSource", "require_known_options"]


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """Where a data set comes from.

    Args:
        key: Names the content cheaply; the same key is the same data.
        build: Reads and decodes it; called once a machine.
        notes: What is left out, in sentences for the user.
    """

    key: str
    build: Callable[[], ImageDataset]
    notes: tuple[str, ...] = ()


def require_known_options(name: str, options: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Raise InvalidRequestError on the first option that the data set does not have."""
    for option in options:
        if option not in allowed:
            raise InvalidRequestError(
                f"dataset.kwargs.{option}",
                f"{name} has no such option",
                f"its options are: {', '.join(allowed)}" if allowed else "it has none",
            )
