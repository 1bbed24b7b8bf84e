"""Field types that the sections of a specification share."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

__all__ = [
    "Count",
    "Duration",
    "Label",
    "NonNegative",
    "Positive",
    "Probability",
    "Section",
    "Seed",
    "Unique",
    "duration_seconds",
]

T = TypeVar("T", bound=Hashable)

_DURATION = r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?$"
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


class Section(BaseModel):
    """A section of a specification: immutable, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _without_negative_zero(value: float) -> float:
    """-0.0 and 0.0 are one number and must have one identity."""
    return value + 0.0


def _without_duplicates(values: tuple[T, ...]) -> tuple[T, ...]:
    """Refuse a repeated entry: it would be the same trial twice."""
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"every entry once; repeated: {', '.join(repeated)}")
    return values


def duration_seconds(text: str) -> int:
    """Seconds of a duration such as ``"1d12h"`` or ``"90m"``."""
    return sum(int(n) * _SECONDS[unit] for n, unit in re.findall(r"(\d+)([dhms])", text))


def _not_empty_duration(text: str) -> str:
    if duration_seconds(text) == 0:
        raise ValueError('a duration above zero such as "24h", "90m" or "1d12h"')
    return text


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NonNegative = Annotated[
    float, Field(ge=0, allow_inf_nan=False, strict=True), AfterValidator(_without_negative_zero)
]
Probability = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,62}$")]
Duration = Annotated[str, StringConstraints(pattern=_DURATION), AfterValidator(_not_empty_duration)]
Unique = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_without_duplicates)]
