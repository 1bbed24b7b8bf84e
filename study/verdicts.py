"""Verdicts: a rule from intervals to words; no verdict is written by hand.

A claim is that some differences are positive. With the 95 % interval of each and a margin, the
smallest difference that matters:

1. *contradicted*: an interval lies below 0;
2. *supported*: every interval lies above 0;
3. *not supported*: an interval contains 0 and ends below the margin, so that an advantage that
   matters is excluded;
4. *not decided by this many seeds*: anything else, a missing interval among it.

Rule 2 needs no correction for the number of differences, since all of them must be positive. Rule
1 has none: where an optimizer is compared with four others that are all alike, it applies by chance
in up to 10 % of studies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from study.records import Estimate

__all__ = ["Difference", "Unit", "Verdict", "verdict"]


class Verdict(StrEnum):
    """What the intervals say about a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NOT_SUPPORTED = "not supported"
    NOT_DECIDED = "not decided by this many seeds"


class Unit(StrEnum):
    """Units of differences."""

    POINTS = "points"
    """Hundredths of accuracy."""
    DECADES = "decades"
    """Powers of ten, of a learning rate or a ratio of curvatures."""
    TAU = "tau"
    """A rank correlation."""


_MARGINS = {Unit.POINTS: 0.01, Unit.DECADES: 0.1, Unit.TAU: 0.1}


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference that a claim says is positive.

    Attributes:
        against: What is compared with, in words.
        estimate: The difference with its interval.
        unit: Its unit, which has a margin.
    """

    against: str
    estimate: Estimate
    unit: Unit = Unit.POINTS

    @property
    def margin(self) -> float:
        """The smallest difference that matters."""
        return _MARGINS[self.unit]

    @property
    def verdict(self) -> Verdict:
        """The verdict on this difference alone."""
        return verdict([self])


def verdict(differences: Sequence[Difference]) -> Verdict:
    """The verdict on a claim by the rule above.

    Args:
        differences: At least one.
    """
    ends = [(one.estimate.low, one.estimate.high, one.margin) for one in differences]
    known = [
        (low, high, margin) for low, high, margin in ends if low is not None and high is not None
    ]
    if any(high < 0 for _, high, _ in known):
        return Verdict.CONTRADICTED
    if differences and len(known) == len(ends) and all(low > 0 for low, _, _ in known):
        return Verdict.SUPPORTED
    if any(low <= 0 and high < margin for low, high, margin in known):
        return Verdict.NOT_SUPPORTED
    return Verdict.NOT_DECIDED
