"""Field types that the sections of a specification share."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

__all__ = [
    "PATTERNS",
    "Count",
    "Duration",
    "Flag",
    "Keywords",
    "Label",
    "NonNegative",
    "PartError",
    "Positive",
    "Probability",
    "Section",
    "Seed",
    "Unique",
    "duration_seconds",
]

T = TypeVar("T", bound=Hashable)

_LABEL = r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,62}$"
_DURATION = r"^([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION_IN_WORDS = 'must be a duration above zero such as "24h", "90m" or "1d12h"'

PATTERNS = {
    _LABEL: (
        "must be 1 to 63 letters of A to Z, digits, spaces and . _ + -, and begin with a letter "
        "or a digit"
    ),
    _DURATION: _DURATION_IN_WORDS,
}
"""What the patterns of this module allow, in words."""


class PartError(ValueError):
    """What is wrong with a part of the value that a validator looks at.

    Args:
        location: Where the part lies, seen from that value.
        message: What is wrong and what is allowed.
        value: The part.
    """

    def __init__(self, location: tuple[int | str, ...], message: str, value: object) -> None:
        self.location = location
        self.value = value
        super().__init__(message)


class Section(BaseModel):
    """A section of a specification: immutable, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _without_negative_zero(value: float) -> float:
    """-0.0 and 0.0 are one number and must have one identity."""
    return value + 0.0


def _without_duplicates(values: tuple[T, ...]) -> tuple[T, ...]:
    """Refuse a repeated entry: it would be the same trial twice."""
    repeated = [str(value) for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ValueError(f"must have every entry once; repeated: {', '.join(repeated)}")
    return values


def _plain_keywords(keywords: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse what no call takes and no other system stores."""
    for name in keywords:
        if not name.isidentifier():
            raise PartError((name,), "must be named like a Python argument", keywords[name])
    for location, leaf in _leaves(keywords):
        if isinstance(leaf, float) and not math.isfinite(leaf):
            raise PartError(location, "must be a finite number", leaf)
        if isinstance(leaf, str) and not leaf.replace("\n", "").replace("\t", "").isprintable():
            raise PartError(location, "must be text without control characters", leaf)
    return keywords


def _leaves(
    value: Any, location: tuple[int | str, ...] = ()
) -> Iterator[tuple[tuple[int | str, ...], Any]]:
    """The values of a nest of mappings and lists, each with its place."""
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(child, (*location, key))
    else:
        yield location, value


def duration_seconds(text: str) -> int:
    """Seconds of a duration such as ``"1d12h"`` or ``"90m"``."""
    return sum(int(n) * _SECONDS[unit] for n, unit in re.findall(r"(\d+)([dhms])", text))


def _not_empty_duration(text: str) -> str:
    if duration_seconds(text) == 0:
        raise ValueError(_DURATION_IN_WORDS)
    return text


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NonNegative = Annotated[
    float, Field(ge=0, allow_inf_nan=False, strict=True), AfterValidator(_without_negative_zero)
]
Probability = Annotated[
    float,
    Field(ge=0, lt=1, allow_inf_nan=False, strict=True),
    AfterValidator(_without_negative_zero),
]
Count = Annotated[int, Field(ge=1, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Label = Annotated[str, StringConstraints(pattern=_LABEL)]
Duration = Annotated[str, StringConstraints(pattern=_DURATION), AfterValidator(_not_empty_duration)]
Unique = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_without_duplicates)]
Keywords = Annotated[dict[str, JsonValue], AfterValidator(_plain_keywords)]
"""Keyword arguments as plain JSON."""
