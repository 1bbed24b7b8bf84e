"""What plain data of a specification can be, wherever it stands.

Each string, number and key ends up in JSON, SQL, MLflow, file names and on terminals. The rules
here hold at every depth, so that no section needs rules of its own for what those cannot take.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workers.characters import find_control

__all__ = ["LARGEST_INTEGER", "Flaw", "Location", "find_flaws"]

Location = tuple[int | str, ...]

LARGEST_INTEGER = 2**53 - 1
"""Largest integer that every reader of JSON, and a double, holds exactly."""
_LONGEST_KEY = 100
_LONGEST_TEXT = 1_000
_DEEPEST = 50
_MOST_VALUES = 200_000


@dataclass(frozen=True, slots=True)
class Flaw:
    """A value that no part of a specification can have.

    Args:
        location: Where the value is.
        message: What is allowed.
        value: The value.
    """

    location: Location
    message: str
    value: object


def find_flaws(data: Any) -> Iterator[Flaw]:
    """Find the values that no part of a specification can have, in order.

    Args:
        data: Mappings, lists and scalars, nested to any depth, even endlessly.
    """
    rest: list[tuple[Location, Any]] = [((), data)]
    seen = 0
    while rest:
        location, value = rest.pop()
        seen += 1
        if seen > _MOST_VALUES:
            yield Flaw((), f"must have at most {_MOST_VALUES:,} values", "more")
            return
        if not isinstance(value, dict | list | tuple):
            if message := _scalar_flaw(value):
                yield Flaw(location, message, value)
        elif len(location) >= _DEEPEST:
            yield Flaw(location, "is nested too deeply", value)
        elif isinstance(value, dict):
            for key in value:
                if message := _key_flaw(key):
                    place = (*location, key) if isinstance(key, str) else location
                    yield Flaw(place, message, key)
            rest += reversed([((*location, k), v) for k, v in value.items() if isinstance(k, str)])
        else:
            rest += reversed([((*location, at), child) for at, child in enumerate(value)])


def _key_flaw(key: object) -> str | None:
    if not isinstance(key, str):
        return "must have text as keys"
    if control := find_control(key):
        return f"must have keys without control characters such as {control}"
    return (
        None if len(key) <= _LONGEST_KEY else f"must have keys of at most {_LONGEST_KEY} characters"
    )


def _scalar_flaw(value: object) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        if control := find_control(value):
            return f"must be text without control characters such as {control}"
        return (
            None
            if len(value) <= _LONGEST_TEXT
            else f"must have at most {_LONGEST_TEXT:,} characters"
        )
    if isinstance(value, int):
        if abs(value) <= LARGEST_INTEGER:
            return None
        return f"must be between -{LARGEST_INTEGER} and {LARGEST_INTEGER}"
    if isinstance(value, float):
        return None if math.isfinite(value) else "must be a finite number"
    return "must be text, a number, true, false, null, a list or a mapping"
