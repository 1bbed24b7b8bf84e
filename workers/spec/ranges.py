"""Ranges: intervals of numbers that a random or TPE search draws from."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, ValidationInfo, model_validator

from workers.spec.fields import Flag, NonNegative, PartError, Positive, Section, is_stored

__all__ = ["Range"]

_DIGITS = 8
"""Significant digits of a drawn number; the logarithms of all machines agree on more."""
_MIN_RATIO = 1.01
"""Smallest high / low: such a range still has 1e5 numbers of so many digits."""


class Range(Section):
    """An interval to search."""

    low: NonNegative
    high: Positive
    scale: Literal["log", "linear"] = "log"
    """Scale on which numbers are spread evenly."""
    whole: Flag = Field(default=False, exclude_if=lambda whole: not whole)
    """Only whole numbers; always so for a setting that is one, such as ``training.batch_size``."""

    @model_validator(mode="after")
    def _is_range(self, info: ValidationInfo) -> Range:
        if self.low * _MIN_RATIO > self.high and not is_stored(info):
            message = f"must be at least 1 % below high, {self.high:g}"
            raise PartError(("low",), message, self.low)
        if self.scale == "log" and self.low == 0:
            message = "must be above 0 on a log scale (or choose scale: linear)"
            raise PartError(("low",), message, self.low)
        for end in ("low", "high") if self.whole else ():
            number = getattr(self, end)
            if number != int(number):
                raise PartError((end,), "must be a whole number, as whole is true", number)
        return self

    @property
    def size(self) -> float:
        """How many numbers it has; infinity unless they are whole."""
        return self.high - self.low + 1 if self.whole else math.inf

    @property
    def numbers(self) -> range:
        """The numbers of a range of whole ones."""
        return range(int(self.low), int(self.high) + 1)

    def at(self, share: float) -> float:
        """The number at a share in [0, 1) of the range, rounded and kept inside."""
        if self.whole:
            number = round(self._spread(self.low - 0.5, self.high + 0.5, share))
            return min(max(number, int(self.low)), int(self.high))
        value = self._spread(self.low, self.high, share)
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)

    def _spread(self, low: float, high: float, share: float) -> float:
        """The number at a share of an interval, on the scale of the range."""
        if self.scale == "linear":
            return low + share * (high - low)
        start, end = math.log(low), math.log(high)
        return math.exp(start + share * (end - start))
