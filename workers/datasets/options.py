"""Options of data sets (``dataset.kwargs``): checked values, and paths that may be read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.datasets.errors import InvalidRequestError

__all__ = ["ROOTS_VARIABLE", "allowed_path", "fraction_option", "number_option", "whole_option"]

ROOTS_VARIABLE = "SASAM_DATA_ROOTS"
"""Environment variable with folders outside the data folder that may be read."""


def allowed_path(data_dir: Path, path: str, *, key: str, what: str) -> Path:
    """Return a path that may be read, without ``..``: what is checked is what is opened.

    Args:
        data_dir: The data folder, which a relative path is below.
        path: As in the specification.
        key: The setting, for the message.
        what: What the path leads to, for the message.

    Raises:
        InvalidRequestError: It leads out of the folders that may be read.
    """
    listed = os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep)
    roots = [_plain(data_dir), *(_plain(Path(root)) for root in listed if root)]
    found = _plain(roots[0] / path)
    if not any(found.is_relative_to(root) for root in roots):
        raise InvalidRequestError(
            key,
            f"{path[:200]!r} is not below the data folder or a folder of {ROOTS_VARIABLE}",
            f"put {what} there, or let the operator list their folder in {ROOTS_VARIABLE}",
        )
    return found


def whole_option(options: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    """Return an option that is a whole number in [low, high]."""
    value = options.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidRequestError(
            f"dataset.kwargs.{name}", f"{value!r}", f"give a whole number from {low} to {high}"
        )
    return value


def number_option(
    options: Mapping[str, Any], name: str, default: float, low: float, high: float
) -> float:
    """Return an option that is a number in [low, high]."""
    value = options.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidRequestError(
            f"dataset.kwargs.{name}", f"{value!r}", f"give a number from {low:g} to {high:g}"
        )
    return float(value)


def fraction_option(options: Mapping[str, Any], name: str, default: float) -> float:
    """Return an option that is a number between 0 and 1."""
    value = options.get(name, default)
    if not isinstance(value, float) or not 0 < value < 1:
        raise InvalidRequestError(
            f"dataset.kwargs.{name}", f"{value!r}", "give a number between 0 and 1"
        )
    return value


def _plain(path: Path) -> Path:
    """Return a path from the root without ``..``, its links as they are."""
    return Path(os.path.normpath(path.absolute()))
