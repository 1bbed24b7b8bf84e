"""Field types that the sections of a specification share."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    WrapValidator,
)

from workers.own_code.names import FILE_PATTERN
from workers.spec.plain import find_flaws

__all__ = [
    "KEPT_INTEGER",
    "KEPT_NUMBER",
    "KEPT_TEXT",
    "LABEL_PATTERN",
    "PATTERNS",
    "STORED",
    "Count",
    "Duration",
    "Flag",
    "Keywords",
    "Label",
    "Name",
    "NonNegative",
    "PartError",
    "PartsError",
    "Positive",
    "Probability",
    "Section",
    "Seed",
    "Tags",
    "Unique",
    "duration_seconds",
    "is_stored",
    "require_plain",
    "without_duplicates",
]

T = TypeVar("T", bound=Hashable)
V = TypeVar("V")

_MAX_NUMBER = 1e30
_MIN_NUMBER = 1e-30
"""Range of positive numbers: in float32, which trains, neither they nor their products with usual
weights overflow or become denormal."""
_MAX_COUNT = 1_000_000_000
_MAX_ENTRIES = 100_000
_MAX_NAMED = 5
"""Repeated entries listed in a message."""
_MAX_NAME = 200
_MAX_TAGS = 100
_RESERVED_TAGS = ("mlflow.", "sasam.")
_MAX_KEYWORDS = 4_000
"""Characters of all keywords as JSON; MLflow limits a parameter to 6,000."""

LABEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,62}$"
_DURATION = r"^([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION_IN_WORDS = 'must be a duration above zero such as "24h", "90m" or "1d12h"'

PATTERNS = {
    LABEL_PATTERN: (
        "must be 1 to 63 letters of A to Z, digits, spaces and . _ + -, and begin with a letter "
        "or a digit"
    ),
    _DURATION: _DURATION_IN_WORDS,
    f"^{FILE_PATTERN}$": (
        "must be the name of a Python file without a folder, such as my_optimizer.py"
    ),
}
"""Explanation of each pattern, for messages."""


class PartError(ValueError):
    """An error in a part of the validated value.

    Args:
        location: Path of the part, relative to the validated value.
        message: What is wrong and what is allowed.
        value: The part.
    """

    def __init__(self, location: tuple[int | str, ...], message: str, value: object) -> None:
        self.location = location
        self.value = value
        super().__init__(message)


class PartsError(ValueError):
    """Errors in several parts of the validated value."""

    def __init__(self, errors: Sequence[PartError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(map(str, errors)))


STORED: Mapping[str, bool] = MappingProxyType({"is_stored": True})
"""Validation context of a specification that an earlier release accepted.

Bounds that were introduced later do not apply to it: it must remain readable.
"""


def is_stored(info: ValidationInfo) -> bool:
    """Whether a stored specification is validated."""
    return info.context is STORED


def _kept(*types: type) -> WrapValidator:
    """Keep a value of these types in a stored specification even if it is out of bounds."""

    def keep(value: Any, validate: Callable[[Any], Any], info: ValidationInfo) -> Any:
        if not is_stored(info):
            return validate(value)
        try:
            return validate(value)
        except ValueError:
            if isinstance(value, types) and not isinstance(value, bool):
                return value
            raise

    return WrapValidator(keep)


KEPT_NUMBER = _kept(float, int)
KEPT_INTEGER = _kept(int)
KEPT_TEXT = _kept(str)
_KEPT_MAPPING = _kept(dict)


class Section(BaseModel):
    """A section of a specification: immutable, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _without_negative_zero(value: float) -> float:
    """Turn -0.0 into 0.0: equal numbers must lead to equal trial keys."""
    return value + 0.0


def _not_tiny(value: float) -> float:
    """Refuse numbers that float32 cannot distinguish from zero."""
    if 0 < value < _MIN_NUMBER:
        raise ValueError(f"must be at least {_MIN_NUMBER:g}, or 0 where 0 is allowed")
    return value


def without_duplicates(values: tuple[T, ...]) -> tuple[T, ...]:
    """Refuse repeated entries: they would be equal trials."""
    repeated = [str(value) for value, count in Counter(values).items() if count > 1]
    if repeated:
        rest = len(repeated) - _MAX_NAMED
        more = f" and {rest:,} more" if rest > 0 else ""
        named = ", ".join(repeated[:_MAX_NAMED])
        raise ValueError(f"must have every entry once; repeated: {named}{more}")
    return values


def require_plain(value: V) -> V:
    """Refuse values that are not plain data, see `find_flaws`.

    Raises:
        PartError: A part of the value is not plain data.
    """
    for flaw in find_flaws(value):
        raise PartError(flaw.location, flaw.message, flaw.value)
    return value


def _plain_keywords(keywords: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse names that are no Python arguments, and values that are not plain or too long."""
    require_plain(keywords)
    for name in keywords:
        if not name.isidentifier():
            raise PartError((name,), "must be named like a Python argument", keywords[name])
    if len(json.dumps(keywords)) > _MAX_KEYWORDS:
        raise ValueError(f"must have at most {_MAX_KEYWORDS:,} characters as JSON")
    return keywords


def duration_seconds(text: str) -> int:
    """Seconds of a duration such as ``"1d12h"`` or ``"90m"``."""
    return sum(int(n) * _SECONDS[unit] for n, unit in re.findall(r"(\d+)([dhms])", text))


def _not_empty_duration(text: str) -> str:
    if duration_seconds(text) == 0:
        raise ValueError(_DURATION_IN_WORDS)
    return text


Positive = Annotated[
    float,
    Field(gt=0, le=_MAX_NUMBER, allow_inf_nan=False, strict=True),
    AfterValidator(_not_tiny),
    KEPT_NUMBER,
]
NonNegative = Annotated[
    float,
    Field(ge=0, le=_MAX_NUMBER, allow_inf_nan=False, strict=True),
    AfterValidator(_not_tiny),
    AfterValidator(_without_negative_zero),
    KEPT_NUMBER,
]
Probability = Annotated[
    float,
    Field(ge=0, lt=1, allow_inf_nan=False, strict=True),
    AfterValidator(_without_negative_zero),
]
Count = Annotated[int, Field(ge=1, le=_MAX_COUNT, strict=True), KEPT_INTEGER]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=_MAX_NAME),
    AfterValidator(require_plain),
    KEPT_TEXT,
]
Label = Annotated[str, StringConstraints(pattern=LABEL_PATTERN)]
Duration = Annotated[str, StringConstraints(pattern=_DURATION), AfterValidator(_not_empty_duration)]
Unique = Annotated[
    tuple[T, ...],
    Field(min_length=1, max_length=_MAX_ENTRIES),
    AfterValidator(without_duplicates),
]
Keywords = Annotated[dict[str, JsonValue], AfterValidator(_plain_keywords), _KEPT_MAPPING]
"""Keyword arguments as plain JSON."""


def _not_reserved(tags: dict[str, str]) -> dict[str, str]:
    """Keep the names that MLflow and sasam use for their own tags free."""
    for name, text in tags.items():
        if name.startswith(_RESERVED_TAGS):
            message = f"must not begin with {' or '.join(_RESERVED_TAGS)}: these are ours"
            raise PartError((name,), message, text)
    return tags


_Tag = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(require_plain),
    KEPT_TEXT,
]
Tags = Annotated[dict[Label, _Tag], Field(max_length=_MAX_TAGS), AfterValidator(_not_reserved)]
"""Names and values of a user's own tags."""
