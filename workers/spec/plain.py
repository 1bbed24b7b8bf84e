"""Rules for plain data at any depth of a specification: types, sizes, control characters.

Strings, numbers and keys end up in JSON, SQL, MLflow, file names and on terminals. The rules here
exclude what these cannot represent, so that sections need no such rules of their own.
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
"""Largest integer that every JSON parser, and a double, represents exactly."""
_MAX_KEY_CHARACTERS = 100
_MAX_TEXT_CHARACTERS = 1_000
_MAX_DEPTH = 50
_MAX_VALUES = 200_000


@dataclass(frozen=True, slots=True)
class Flaw:
    """A value that is not allowed anywhere in a specification.

    Args:
        location: Path of the value.
        message: What is allowed.
        value: The value.
    """

    location: Location
    message: str
    value: object


def find_flaws(data: Any) -> Iterator[Flaw]:
    """Yield the values that are not allowed anywhere in a specification, in order.

    Args:
        data: Mappings, lists and scalars, nested to any depth, even in a cycle.
    """
    rest: list[tuple[Location, Any]] = [((), data)]
    seen = 0
    while rest:
        location, value = rest.pop()
        seen += 1
        if seen > _MAX_VALUES:
            yield Flaw((), f"must have at most {_MAX_VALUES:,} values", "more")
            return
        if not isinstance(value, dict | list | tuple):
            if message := _scalar_flaw(value):
                yield Flaw(location, message, value)
        elif len(location) >= _MAX_DEPTH:
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
    """What is allowed, if a key is not; else None."""
    if not isinstance(key, str):
        return "must have text as keys"
    if control := find_control(key):
        return f"must have keys without control characters such as {control}"
    return (
        None
        if len(key) <= _MAX_KEY_CHARACTERS
        else f"must have keys of at most {_MAX_KEY_CHARACTERS} characters"
    )


def _scalar_flaw(value: object) -> str | None:
    """What is allowed, if a scalar is not; else None."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        if control := find_control(value):
            return f"must be text without control characters such as {control}"
        return (
            None
            if len(value) <= _MAX_TEXT_CHARACTERS
            else f"must have at most {_MAX_TEXT_CHARACTERS:,} characters"
        )
    if isinstance(value, int):
        if abs(value) <= LARGEST_INTEGER:
            return None
        return f"must be between -{LARGEST_INTEGER} and {LARGEST_INTEGER}"
    if isinstance(value, float):
        return None if math.isfinite(value) else "must be a finite number"
    return "must be text, a number, true, false, null, a list or a mapping"
