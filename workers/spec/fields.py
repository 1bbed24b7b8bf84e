"""Field types that the sections of a specification share."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from workers.spec.plain import find_flaws

__all__ = [
    "PATTERNS",
    "Count",
    "Duration",
    "Flag",
    "Keywords",
    "Label",
    "Name",
    "NonNegative",
    "PartError",
    "Positive",
    "Probability",
    "Section",
    "Seed",
    "Unique",
    "duration_seconds",
    "require_plain",
]

T = TypeVar("T", bound=Hashable)
V = TypeVar("V")

_LARGEST = 1e30
_SMALLEST = 1e-30
"""Largest and smallest positive number: float32, which trains, has neither infinity nor denormal
numbers in between, nor has a product of one with a usual weight."""
_LARGEST_COUNT = 1_000_000_000
_MOST_ENTRIES = 100_000
_MOST_NAMED = 5
"""Repeated entries that a message names."""
_LONGEST_NAME = 200
_LONGEST_KEYWORDS = 4_000
"""Characters of all keywords as JSON; each becomes a parameter in MLflow, which takes 6,000."""

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


def _not_tiny(value: float) -> float:
    """Refuse what float32 cannot tell from zero."""
    if 0 < value < _SMALLEST:
        raise ValueError(f"must be at least {_SMALLEST:g}, or 0 where 0 is allowed")
    return value


def _without_duplicates(values: tuple[T, ...]) -> tuple[T, ...]:
    """Refuse a repeated entry: it would be the same trial twice."""
    repeated = [str(value) for value, count in Counter(values).items() if count > 1]
    if repeated:
        rest = len(repeated) - _MOST_NAMED
        more = f" and {rest:,} more" if rest > 0 else ""
        named = ", ".join(repeated[:_MOST_NAMED])
        raise ValueError(f"must have every entry once; repeated: {named}{more}")
    return values


def require_plain(value: V) -> V:
    """Refuse what no part of a specification can have.

    Raises:
        PartError: A part is such a value.
    """
    for flaw in find_flaws(value):
        raise PartError(flaw.location, flaw.message, flaw.value)
    return value


def _plain_keywords(keywords: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse what no call takes and no other system stores."""
    require_plain(keywords)
    for name in keywords:
        if not name.isidentifier():
            raise PartError((name,), "must be named like a Python argument", keywords[name])
    if len(json.dumps(keywords)) > _LONGEST_KEYWORDS:
        raise ValueError(f"must have at most {_LONGEST_KEYWORDS:,} characters as JSON")
    return keywords


def duration_seconds(text: str) -> int:
    """Seconds of a duration such as ``"1d12h"`` or ``"90m"``."""
    return sum(int(n) * _SECONDS[unit] for n, unit in re.findall(r"(\d+)([dhms])", text))


def _not_empty_duration(text: str) -> str:
    if duration_seconds(text) == 0:
        raise ValueError(_DURATION_IN_WORDS)
    return text


Positive = Annotated[
    float, Field(gt=0, le=_LARGEST, allow_inf_nan=False, strict=True), AfterValidator(_not_tiny)
]
NonNegative = Annotated[
    float,
    Field(ge=0, le=_LARGEST, allow_inf_nan=False, strict=True),
    AfterValidator(_not_tiny),
    AfterValidator(_without_negative_zero),
]
Probability = Annotated[
    float,
    Field(ge=0, lt=1, allow_inf_nan=False, strict=True),
    AfterValidator(_without_negative_zero),
]
Count = Annotated[int, Field(ge=1, le=_LARGEST_COUNT, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=_LONGEST_NAME), AfterValidator(require_plain)
]
Label = Annotated[str, StringConstraints(pattern=_LABEL)]
Duration = Annotated[str, StringConstraints(pattern=_DURATION), AfterValidator(_not_empty_duration)]
Unique = Annotated[
    tuple[T, ...],
    Field(min_length=1, max_length=_MOST_ENTRIES),
    AfterValidator(_without_duplicates),
]
Keywords = Annotated[dict[str, JsonValue], AfterValidator(_plain_keywords)]
"""Keyword arguments as plain JSON."""
